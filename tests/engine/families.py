"""Tiny random models of every family that is known to be cut exactly, and prompts with every kind of hole.

Weights are drawn wide enough that hiding tokens changes logits clearly, and so does every single layer of a cut; a test
says so (test_families.py). Windows are shorter than the prompts. Shapes: B prompts, T tokens.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

LAYERS, TOKENS, VOCAB, WINDOW = 5, 20, 99, 6
FEW_LAYERS = 3
TOLERANCE = 1e-4
CUTS = range(LAYERS + 1)

Config = Callable[[int], hf.PretrainedConfig]
"""From the number of layers to a config."""

_NO_ENDS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
_ROPE = _NO_ENDS | {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}
_GQA = _ROPE | {"num_key_value_heads": 2}
_EIGHT = _GQA | {"head_dim": 8}
_WINDOW = {"sliding_window": WINDOW}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_GPT = _NO_ENDS | {"vocab_size": VOCAB, "n_embd": 32, "n_head": 4, "n_positions": 128}
_OLD = _NO_ENDS | {"vocab_size": VOCAB, "hidden_size": 32}
_FALCON = {name: value for name, value in _ROPE.items() if name != "intermediate_size"}
_OPT = _OLD | {"num_attention_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 128}
_XGLM = _NO_ENDS | {"vocab_size": VOCAB, "d_model": 32, "ffn_dim": 48, "attention_heads": 4}
_MPT = _NO_ENDS | {"vocab_size": VOCAB, "d_model": 32, "n_heads": 4, "max_seq_len": 128}
_DEEPSEEK = _ROPE | {
    "num_key_value_heads": 4,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 24,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
}


def _gpt_neo(layers: int, window: int) -> hf.PretrainedConfig:
    kinds = [[["global", "local"], layers // 2], [["global"], layers % 2]]
    sizes = {"num_layers": layers, "num_heads": 4, "attention_types": kinds, "max_position_embeddings": 128}
    return hf.GPTNeoConfig(**_OLD | sizes, window_size=window)


def _local(layers: int) -> dict[str, Any]:
    """Windows in every other layer."""
    kinds = ("sliding_attention", "full_attention")
    return _WINDOW | {"layer_types": [kinds[index % 2] for index in range(layers)]}


def _gemma3(layers: int) -> hf.PretrainedConfig:
    """As checkpoints of Gemma 3 are: beside a tower for images, here with as many layers."""
    text = hf.Gemma3TextConfig(**_EIGHT | _local(layers), num_hidden_layers=layers)
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    vision = hf.SiglipVisionConfig(**tower, num_hidden_layers=layers)
    return hf.Gemma3Config(text_config=text, vision_config=vision, image_token_index=98)


def _of(config: Callable[..., hf.PretrainedConfig], layers: str = "num_hidden_layers", **named: Any) -> Config:
    return lambda count: config(**named, **{layers: count})


CONFIGS: dict[str, Config] = {
    "llama": _of(hf.LlamaConfig, **_GQA),
    "mistral": _of(hf.MistralConfig, **_GQA | _WINDOW),
    "gemma2": _of(hf.Gemma2Config, **_EIGHT | _WINDOW),
    "gpt2": _of(hf.GPT2Config, "n_layer", **_GPT),
    "gpt_neo": lambda layers: _gpt_neo(layers, WINDOW),
    "bloom": _of(hf.BloomConfig, "n_layer", **_OLD, n_head=4),
    "mpt": _of(hf.MptConfig, "n_layers", **_MPT),
    "gpt_oss": lambda n: hf.GptOssConfig(
        **_EIGHT | _local(n),
        num_local_experts=4,
        num_experts_per_tok=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        num_hidden_layers=n,
    ),
    "cohere": _of(hf.CohereConfig, **_GQA, logit_scale=1.0),
    "deepseek_v3": _of(hf.DeepseekV3Config, **_DEEPSEEK),
    "falcon": _of(hf.FalconConfig, **_FALCON),
    "falcon_alibi": _of(hf.FalconConfig, **_FALCON, alibi=True),
    "falcon_new": _of(hf.FalconConfig, **_FALCON, new_decoder_architecture=True, num_kv_heads=2),
    "gemma": _of(hf.GemmaConfig, **_EIGHT),
    "gemma3": _gemma3,
    "gemma3_text": lambda n: hf.Gemma3TextConfig(**_EIGHT | _local(n), num_hidden_layers=n),
    "gpt_bigcode": _of(hf.GPTBigCodeConfig, "n_layer", **_GPT),
    "gpt_bigcode_many_heads": _of(hf.GPTBigCodeConfig, "n_layer", **_GPT, multi_query=False),
    "gpt_neox": _of(hf.GPTNeoXConfig, **_ROPE),
    "gptj": _of(hf.GPTJConfig, "n_layer", **_GPT, rotary_dim=4),
    "granite": _of(hf.GraniteConfig, **_GQA),
    "mixtral": _of(hf.MixtralConfig, **_GQA, num_local_experts=4),
    "olmo": _of(hf.OlmoConfig, **_GQA),
    "olmo2": _of(hf.Olmo2Config, **_GQA),
    "olmo3": lambda n: hf.Olmo3Config(**_GQA | _local(n), num_hidden_layers=n),
    "opt": _of(hf.OPTConfig, **_OPT),
    "phi": _of(hf.PhiConfig, **_GQA),
    "phi3": _of(hf.Phi3Config, **_GQA | _WINDOW),
    "qwen2": _of(hf.Qwen2Config, **_GQA | _WINDOW, use_sliding_window=True, max_window_layers=1),
    "qwen2_moe": _of(hf.Qwen2MoeConfig, **_GQA | _EXPERTS, shared_expert_intermediate_size=24),
    "qwen3": _of(hf.Qwen3Config, **_EIGHT),
    "qwen3_moe": _of(hf.Qwen3MoeConfig, **_EIGHT | _EXPERTS),
    "smollm3": _of(hf.SmolLM3Config, **_GQA, no_rope_layer_interval=2),
    "starcoder2": _of(hf.Starcoder2Config, **_GQA | _WINDOW),
    "xglm": _of(hf.XGLMConfig, "num_layers", **_XGLM, max_position_embeddings=128),
    "gpt_neo_wide": lambda layers: _gpt_neo(layers, 64),
}
EAGER_ONLY = frozenset(
    name for name, of in CONFIGS.items() if not hf.MODEL_FOR_CAUSAL_LM_MAPPING[type(of(FEW_LAYERS))]._supports_sdpa
)
"""Families that this version of the library offers no other attention for; a test asks the models."""


@functools.cache
def family(name: str, attention: str | None = None, layers: int = LAYERS) -> Any:
    """A model of that family, the same object for every test: a cut must leave it as it was."""
    return fresh(name, attention, layers)


def fresh(name: str, attention: str | None = None, layers: int = LAYERS) -> Any:
    """A model of that family for this test alone."""
    named = {} if attention is None else {"attn_implementation": attention}
    torch.manual_seed(0)
    with torch.inference_mode(False):  # a test that builds it inside inference mode must not spoil it for the others
        return randomised(hf.AutoModelForCausalLM.from_config(CONFIGS[name](layers), **named))


def randomised(model: Any) -> Any:
    """The model with wide random weights, ready for greedy decoding."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.15)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()


FAMILIES = ("llama", "mistral", "gemma2", "gpt2", "gpt_neo", "bloom", "mpt", "gpt_oss")
"""One of every kind: tested in full. All others are tested in test_every_family.py."""


def _cases(names: Iterable[str]) -> list[Any]:
    return [
        pytest.param(name, attention, id=f"{name}-{attention}")
        for name in names
        for attention in ("eager", "sdpa")
        if attention == "eager" or name not in EAGER_ONLY
    ]


CASES, EVERY_CASE = _cases(FAMILIES), _cases(name for name in CONFIGS if name != "gpt_neo_wide")
"""Families with every attention implementation that they offer."""


@dataclass(frozen=True, eq=False)
class Prompt:
    input_ids: Tensor  # [B, T]
    drop: Tensor  # [B, T]
    mask: Tensor | None = None  # [B, T]

    @property
    def kept(self) -> Tensor:
        return ~self.drop if self.mask is None else ~self.drop & self.mask.bool()

    @property
    def padding(self) -> dict[str, Tensor]:
        """What `generate` is told of it."""
        return {} if self.mask is None else {"attention_mask": self.mask}


def _prompts() -> dict[str, Prompt]:
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(3, VOCAB, (3, TOKENS), generator=random)
    place = torch.arange(TOKENS).expand(3, -1)
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    mask[2, :2] = 0
    pieces = (place > 1) & (place < 8) | (place == 10) | (place > 12) & (place < 15)
    scattered = torch.rand(3, TOKENS, generator=random) < 0.5
    scattered[:, -1] = False
    alone = pieces.clone()
    alone[1, :-1] = True
    return {
        "start": Prompt(ids, place < 12),
        "middle": Prompt(ids, (place > 4) & (place < 14)),
        "pieces": Prompt(ids, pieces),
        "rows differ": Prompt(ids, scattered),
        "alone": Prompt(ids, alone),
        "ragged": Prompt(ids, pieces & mask.bool(), mask),
        "ragged, rows differ": Prompt(ids, scattered, mask),
    }


PROMPTS = _prompts()


def positions(mask: Tensor) -> Tensor:
    """Where every token stands, padding not counted. [B, T]"""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def inputs(model: Any, mask: Tensor | None, length: int | None = None) -> dict[str, Tensor]:
    """Mask and positions of the last `length` tokens, for a plain call of a left-padded batch."""
    if mask is None:
        return {}
    named = {"attention_mask": mask}
    if "position_ids" in inspect.signature(model.forward).parameters:  # ALiBi reads the mask
        named["position_ids"] = positions(mask)[:, -(length or mask.shape[1]) :]
    return named


class _Noting:
    """A forward that the engine takes for its own: one of others would change how it runs."""

    __module__ = "taskpoint"

    def __init__(self, module: nn.Module, forward: Callable[..., Any], before: Callable[..., Any]) -> None:
        self._module, self._forward, self._before = module, forward, before

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._before(self._module, args, kwargs)
        return self._forward(*args, **kwargs)


@contextmanager
def inside(module: nn.Module, before: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Any]) -> Iterator[None]:
    """Runs `before` within the module's forward, where rows are computed; hooks see what stands between modules."""
    own, forward = vars(module).get("forward"), module.forward
    object.__setattr__(module, "forward", _Noting(module, forward, before))
    try:
        yield
    finally:
        object.__delattr__(module, "forward")
        if own is not None:
            object.__setattr__(module, "forward", own)


@contextmanager
def computing(layer: nn.Module, lengths: list[int]) -> Iterator[None]:
    """Notes for how many tokens a layer is computed: those that its first norm is given."""
    norm = next(child for name, child in layer.named_children() if "norm" in name or "ln" in name)
    with inside(norm, lambda module, args, kwargs: lengths.append(args[0].shape[1])):
        yield


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Asserts that the block, also when it raises, leaves the model bit for bit as it was."""
    before = snapshot(model)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        yield
    finally:
        assert snapshot(model) == before
        after = model.state_dict()
        assert list(after) == list(weights)
        assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())


def snapshot(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Every attribute of every module: values of plain ones, identity and hooks of the rest."""
    return {name: {key: _seen(value) for key, value in vars(module).items()} for name, module in model.named_modules()}


def _seen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _seen(item) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | str | tuple | None) else id(value)
