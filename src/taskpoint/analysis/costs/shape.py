"""The sizes of a decoder that decide what a token costs in each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskpoint.analysis.costs import config_sizes as sizes
from taskpoint.errors import SettingError


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder; all are numbers of elements.

    Attributes:
        kv_heads: Number of key and value heads; fewer than `heads` with grouped-query attention.
        head_size: Size of a query and of a key.
        gated: Whether an MLP has three matrices (gate, up, down) and not two.
        windows: Per layer, how many tokens a token sees, itself included; None = all before it. Empty = all None.
        experts: Number of routed experts in a mixture layer; 0 when the model has none.
        shared_mlp: Inner size of the expert that every token passes through besides; 0 when there is none.
        dense_layers: Layers with a dense MLP in a model whose other layers are mixtures.
        shared_gate: Whether the shared expert has a gate of its own, one number per token (Qwen2-MoE).
        value_size: Size of a value; 0 = that of a key.
        query_rank: Size of the latent that queries are made of; 0 = queries are made of the residual stream.
        kv_rank: Size of the latent that a token's keys and values are made of, and that is cached in their stead
            (DeepSeek-V2, 2024); 0 = ordinary keys and values.
        rope_size: Size of the rotated key that all heads share, cached beside the latent; 0 without one.
        forgets: Whether the cache of a layer with a window drops what lies outside it; that of GPT-Neo keeps all.

    Raises:
        SettingError: A size below 1, windows of another number than layers, or sizes that do not fit together.
    """

    num_layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    mlp: int
    vocab: int
    gated: bool = True
    windows: tuple[int | None, ...] = ()
    experts: int = 0
    experts_per_token: int = 0
    expert_mlp: int = 0
    shared_mlp: int = 0
    dense_layers: frozenset[int] = frozenset()
    shared_gate: bool = False
    value_size: int = 0
    query_rank: int = 0
    kv_rank: int = 0
    rope_size: int = 0
    forgets: bool = True

    def __post_init__(self) -> None:
        for name in ("num_layers", "width", "heads", "kv_heads", "head_size", "mlp", "vocab"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} of a model must be at least 1, found {getattr(self, name)}")
        for name in ("shared_mlp", "value_size", "query_rank", "kv_rank", "rope_size"):
            if getattr(self, name) < 0:
                raise SettingError(f"{name} of a model must be at least 0, found {getattr(self, name)}")
        if self.heads % self.kv_heads:
            raise SettingError(f"heads must be a multiple of kv_heads, found {self.heads} and {self.kv_heads}")
        if self.windows and len(self.windows) != self.num_layers:
            raise SettingError(f"windows must name {self.num_layers} layers or none, found {len(self.windows)}")
        if any(window is not None and window < 1 for window in self.windows):
            raise SettingError(f"a window must be at least 1 token or None, found {self.windows}")
        if self.experts and not (1 <= self.experts_per_token <= self.experts and self.expert_mlp >= 1):
            raise SettingError(
                f"{self.experts} experts need 1 to {self.experts} experts_per_token and an expert_mlp, "
                f"found {self.experts_per_token} and {self.expert_mlp}"
            )
        if self.kv_rank and self.rope_size >= self.head_size:
            raise SettingError(
                f"rope_size is the rotated part of a key, found {self.rope_size} of head_size {self.head_size}"
            )

    @classmethod
    def from_config(cls, config: object, *, gated: bool | None = None) -> ModelShape:
        """The shape that a Hugging Face configuration describes.

        No configuration says whether MLPs have a gate; where `gated` is None, `config.model_type` decides.

        Raises:
            ModelError: A size is missing, or the layers are not those of a plain decoder (linear attention, shared
                keys and values, sizes that differ by layer).
        """
        config = sizes.text_config(config)
        family = sizes.family_of(config)
        num_layers = sizes.size(config, sizes.NUM_LAYERS)
        width = sizes.size(config, sizes.WIDTH)
        heads = sizes.size(config, sizes.HEADS)
        experts = sizes.size(config, sizes.EXPERTS, 0)
        # The families that leave it open, and MPT whatever its expansion_ratio says, take four times the width.
        mlp = sizes.size(config, sizes.MLP, 4 * width)
        expert_mlp = sizes.size(config, ("moe_intermediate_size",), mlp) if experts else 0
        shared = sizes.size(config, ("n_shared_experts", "num_shared_experts"), 0) * expert_mlp
        shared = sizes.size(config, ("shared_expert_intermediate_size",), shared) if experts else 0
        kv_rank = sizes.size(config, ("kv_lora_rank",), 0)
        rope = sizes.size(config, ("qk_rope_head_dim",)) if kv_rank else 0
        return cls(
            num_layers=num_layers,
            width=width,
            heads=heads,
            kv_heads=heads if kv_rank else sizes.kv_heads(config, heads),
            head_size=rope + sizes.size(config, ("qk_nope_head_dim",))
            if kv_rank
            else sizes.size(config, ("head_dim",), width // heads),
            mlp=mlp,
            vocab=sizes.size(config, ("vocab_size",)),
            gated=sizes.is_gated(family) if gated is None else gated,
            windows=sizes.windows(config, num_layers),
            experts=experts,
            experts_per_token=sizes.size(config, sizes.EXPERTS_PER_TOKEN) if experts else 0,
            expert_mlp=expert_mlp,
            shared_mlp=shared,
            dense_layers=sizes.dense_layers(config, num_layers) if experts else frozenset(),
            shared_gate=bool(experts) and sizes.has_shared_gate(family),
            value_size=sizes.size(config, ("v_head_dim",)) if kv_rank else 0,
            query_rank=sizes.size(config, ("q_lora_rank",), 0) if kv_rank else 0,
            kv_rank=kv_rank,
            rope_size=rope,
            forgets=sizes.read(config, "attention_layers") is None,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelShape:
        """The shape that `dataclasses.asdict` wrote to a JSON file, where tuples and sets have become lists.

        Sizes that were not known when the file was written take their defaults. Errors are those of the class.
        """
        lists = {"windows": tuple, "dense_layers": frozenset}
        return cls(**{name: lists[name](value) if name in lists else value for name, value in values.items()})

    def window(self, layer: int) -> int | None:
        """How many tokens a token sees in `layer`, itself included; None = all before it."""
        return self.windows[layer] if self.windows else None

    def is_mixture(self, layer: int) -> bool:
        """Whether the MLP of `layer` is a mixture of experts."""
        return bool(self.experts) and layer not in self.dense_layers

    @property
    def one_value(self) -> int:
        """Size of one value of one head."""
        return self.value_size or self.head_size

    @property
    def kv_elements(self) -> int:
        """Elements that one token leaves in the cache of one layer."""
        if self.kv_rank:
            return self.kv_rank + self.rope_size
        return self.kv_heads * (self.head_size + self.one_value)

    @property
    def projection_weights(self) -> int:
        """Elements of the attention matrices of a layer that a token meets once, when it is read."""
        if self.query_rank:
            queries = self.query_rank * (self.width + self.heads * self.head_size)
        else:
            queries = self.width * self.heads * self.head_size
        made = self.kv_rank + self.rope_size if self.kv_rank else self.kv_elements
        return queries + self.width * made + self.heads * self.one_value * self.width

    @property
    def expansion_weights(self) -> int:
        """Elements of the matrix that makes keys and values of a latent, again for every key in every step; else 0."""
        return self.kv_rank * self.heads * (self.head_size - self.rope_size + self.one_value) if self.kv_rank else 0

    def mlp_weights(self, layer: int, routed: int | None = None) -> int:
        """Elements of the MLP matrices of a layer; of a mixture those of the shared expert and of `routed` others.

        None counts the experts of one token.
        """
        matrices = 3 if self.gated else 2
        if not self.is_mixture(layer):
            return matrices * self.width * self.mlp
        inner = (self.experts_per_token if routed is None else routed) * self.expert_mlp + self.shared_mlp
        return matrices * self.width * inner

    def router_weights(self, layer: int) -> int:
        """Elements of the matrices of a mixture that choose and weigh experts; 0 for a dense MLP."""
        return self.width * (self.experts + self.shared_gate) if self.is_mixture(layer) else 0
