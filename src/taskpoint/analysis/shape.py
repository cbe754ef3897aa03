"""The sizes of a decoder that decide what a token costs in each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from taskpoint.errors import ModelError, SettingError

# Configurations do not say whether an MLP has a gate. These families have none; nearly all others have one.
_UNGATED = frozenset(
    [
        *("apertus", "arcee", "biogpt", "bloom", "codegen", "falcon", "gpt-sw3", "gpt2", "gpt_bigcode", "gpt_neo"),
        *(
            "gpt_neox",
            "gpt_neox_japanese",
            "gptj",
            "jais2",
            "mpt",
            "nanochat",
            "nemotron",
            "openai-gpt",
            "opt",
            "persimmon",
        ),
        *("phi", "starcoder2", "xglm"),
    ]
)
# Families whose layers hold other matrices than the attribute names below let one expect.
_UNLIKE = frozenset(
    [
        *("afmoe", "beam", "cpmant", "ctrl", "doge", "ernie4_5_moe", "jetmoe", "laguna", "lfm2", "lfm2_moe"),
        *("granitemoeshared", "hunyuan_v1_moe", "hy_v3"),
        *("mimo_v2_flash", "minimax_m3_vl_text", "moshi", "xlstm"),
    ]
)
# Names under which families keep a size, the usual one first.
_NUM_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
_MLP = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_k")
# What makes layers unlike a plain decoder's, with the words for the message.
_UNKNOWN = {
    "kv_lora_rank": "latent attention",
    "num_kv_shared_layers": "layers that share keys and values",
    "attn_layer_period": "layers without attention",
    "ssm_cfg": "layers without attention",
    "mamba_d_state": "layers without attention",
    "ffn_config": "a nested MLP configuration",
    "interleave_moe_layer_step": "interleaved mixtures of another size",
    "hidden_size_per_layer_input": "per-layer inputs",
}


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder; all are numbers of elements.

    Attributes:
        num_layers: Number of decoder layers, N.
        width: Size of the residual stream.
        heads: Number of query heads.
        kv_heads: Number of key and value heads; fewer than `heads` with grouped-query attention.
        head_size: Size of one head.
        mlp: Inner size of a dense MLP.
        vocab: Number of rows of the language-model head.
        gated: Whether an MLP has three matrices (gate, up, down) and not two.
        windows: Per layer, how many tokens a token sees, itself included; None = all before it. Empty = all None.
        experts: Number of routed experts in a mixture layer; 0 when the model has none.
        experts_per_token: Routed experts that one token passes through.
        expert_mlp: Inner size of one routed expert.
        shared_mlp: Inner size of the expert that every token passes through besides; 0 when there is none.
        dense_layers: Layers with a dense MLP in a model whose other layers are mixtures.

    Raises:
        SettingError: A size below 1, windows of another number than layers, or experts that do not fit together.
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

    def __post_init__(self) -> None:
        for name in ("num_layers", "width", "heads", "kv_heads", "head_size", "mlp", "vocab"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} of a model must be at least 1, found {getattr(self, name)}")
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

    @classmethod
    def from_config(cls, config: object, *, gated: bool | None = None) -> ModelShape:
        """The shape that a Hugging Face configuration describes.

        Args:
            config: Anything with the attribute names that the families use, such as `hidden_size` or `n_embd`.
            gated: Whether MLPs have a gate; None decides by `config.model_type`, since no configuration says it.

        Returns:
            The shape.

        Raises:
            ModelError: A size is missing, or the layers are not those of a plain decoder (latent or linear attention,
                shared keys and values, sizes that differ by layer).
        """
        config = _text_config(config)
        family = str(_read(config, "model_type") or "")
        if family in _UNLIKE or _read(config, "is_encoder_decoder"):
            raise ModelError(
                f"savings are not known for {family or 'an encoder-decoder'}: its layers are of another kind"
            )
        for name, words in _UNKNOWN.items():
            if _read(config, name):
                raise ModelError(f"savings are not known for {family or 'a model'} with {words} ({name})")
        num_layers = _size(config, _NUM_LAYERS)
        width = _size(config, _WIDTH)
        heads = _size(config, _HEADS)
        experts = _size(config, _EXPERTS, 0)
        # The families that leave it open, and MPT whatever its expansion_ratio says, take four times the width.
        mlp = _size(config, _MLP, 4 * width)
        expert_mlp = _size(config, ("moe_intermediate_size",), mlp) if experts else 0
        shared = _size(config, ("n_shared_experts", "num_shared_experts"), 0) * expert_mlp
        return cls(
            num_layers=num_layers,
            width=width,
            heads=heads,
            kv_heads=_kv_heads(config, heads),
            head_size=_size(config, ("head_dim",), width // heads),
            mlp=mlp,
            vocab=_size(config, ("vocab_size",)),
            gated=family not in _UNGATED if gated is None else gated,
            windows=_windows(config, num_layers),
            experts=experts,
            experts_per_token=_size(config, _EXPERTS_PER_TOKEN) if experts else 0,
            expert_mlp=expert_mlp,
            shared_mlp=_size(config, ("shared_expert_intermediate_size",), shared) if experts else 0,
            dense_layers=_dense_layers(config, num_layers) if experts else frozenset(),
        )

    def window(self, layer: int) -> int | None:
        """How many tokens a token sees in `layer`, itself included; None = all before it."""
        return self.windows[layer] if self.windows else None

    def weights(self, layer: int) -> int:
        """Number of elements of all weight matrices of `layer`: projections, MLP or all experts and their router."""
        if not self.experts or layer in self.dense_layers:
            return self._attention_weights + self._matrices * self.width * self.mlp
        return self._attention_weights + self._mixture_weights(self.experts)

    def weights_per_token(self, layer: int) -> int:
        """Number of elements of the weight matrices of `layer` that one token is multiplied with."""
        if not self.experts or layer in self.dense_layers:
            return self.weights(layer)
        return self._attention_weights + self._mixture_weights(self.experts_per_token)

    @property
    def _attention_weights(self) -> int:
        return 2 * self.width * self.head_size * (self.heads + self.kv_heads)

    @property
    def _matrices(self) -> int:
        return 3 if self.gated else 2

    def _mixture_weights(self, routed: int) -> int:
        inner = routed * self.expert_mlp + self.shared_mlp
        return self._matrices * self.width * inner + self.width * self.experts


def _text_config(config: object) -> object:
    """The part of a configuration that describes the language model."""
    inner = getattr(config, "get_text_config", None)
    if not callable(inner):
        return config
    try:
        return cast(object, inner())
    except ValueError as error:
        raise ModelError(
            f"savings need a configuration with one language model: {' '.join(str(error).split())}"
        ) from None


def _read(config: object, name: str) -> object:
    """A value of the configuration; None when it has none."""
    try:
        return cast(object, getattr(config, name, None))
    except Exception as error:  # transformers refuses, with an error of its own, what differs by layer
        raise ModelError(f"savings need one {name} for all layers: {' '.join(str(error).split())}") from None


def _size(config: object, names: Sequence[str], default: int | None = None) -> int:
    """The first of `names` that `config` has a number for."""
    for name in names:
        value = _read(config, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if value is not None:
            raise ModelError(f"savings need one whole number for {name}, the configuration has {value!r:.60}")
    if default is None:
        raise ModelError(f"the model's configuration names none of {', '.join(names)}: savings cannot be computed")
    return default


def _kv_heads(config: object, heads: int) -> int:
    """Number of key and value heads; Falcon and BigCode say it by flags."""
    if _read(config, "new_decoder_architecture"):
        return _size(config, ("num_kv_heads",), heads)
    if _read(config, "multi_query"):
        return 1
    return _size(config, ("num_key_value_heads",), heads)


def _windows(config: object, num_layers: int) -> tuple[int | None, ...]:
    """The window of each layer; empty when every layer sees everything."""
    local = _read(config, "attention_layers")
    if isinstance(local, Sequence):
        size = _size(config, ("window_size",))
        return tuple(size if kind == "local" else None for kind in local)
    kinds = _read(config, "layer_types")
    named = [str(kind) for kind in kinds] if isinstance(kinds, Sequence) else None
    if named is not None and (other := set(named) - {"full_attention", "sliding_attention"}):
        raise ModelError(f"savings are not known for layers of type {', '.join(sorted(other))}")
    window = _size(config, ("sliding_window",), 0)
    if not window or _read(config, "use_sliding_window") is False:
        return ()
    if named is None:
        return (window,) * num_layers
    return tuple(window if kind == "sliding_attention" else None for kind in named)


def _dense_layers(config: object, num_layers: int) -> frozenset[int]:
    """Layers of a mixture model that have a dense MLP."""
    step = _size(config, ("decoder_sparse_step",), 1)
    first = _size(config, ("first_k_dense_replace",), 0)
    named = _read(config, "mlp_only_layers")
    dense = set(named) if isinstance(named, Sequence) else set()
    return frozenset(
        layer for layer in range(num_layers) if layer in dense or layer < first or (step > 1 and (layer + 1) % step)
    )
