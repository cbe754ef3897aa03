"""Tiny random models of ten families, and prompts with every kind of hole.

Weights are drawn wide enough that hiding tokens changes logits clearly, and so does every single layer of a cut; a test
says so (test_families.py). Shapes: B prompts, T tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

LAYERS, TOKENS, VOCAB, WINDOW = 5, 20, 99, 6
TOLERANCE = 1e-4
CUTS = range(LAYERS + 1)

_ROPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
}
_GQA = _ROPE | {"num_key_value_heads": 2}
_OLD = {"vocab_size": VOCAB, "hidden_size": 32, "bos_token_id": None, "eos_token_id": None}


def _gpt_neo(window: int) -> nn.Module:
    kinds = [[["global", "local"], 2], [["global"], 1]]
    sizes = {"num_layers": LAYERS, "num_heads": 4, "attention_types": kinds, "max_position_embeddings": 128}
    return hf.GPTNeoForCausalLM(hf.GPTNeoConfig(**_OLD | sizes, window_size=window))


_GPT2 = {"vocab_size": VOCAB, "n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_positions": 128}
_BLOOM = {"n_layer": LAYERS, "n_head": 4}
_OPT = {"num_hidden_layers": LAYERS, "num_attention_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 32}

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_GQA)),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**_GQA, sliding_window=WINDOW)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**_GQA, head_dim=8)),
    "gemma2": lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**_GQA, head_dim=8, sliding_window=WINDOW)),
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**_GPT2, bos_token_id=None, eos_token_id=None)),
    "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**_ROPE)),
    "gpt_neo": lambda: _gpt_neo(WINDOW),
    "bloom": lambda: hf.BloomForCausalLM(hf.BloomConfig(**_OLD | _BLOOM)),
    "opt": lambda: hf.OPTForCausalLM(hf.OPTConfig(**_OLD | _OPT, max_position_embeddings=128)),
    "starcoder2": lambda: hf.Starcoder2ForCausalLM(hf.Starcoder2Config(**_GQA, sliding_window=WINDOW)),
    "gpt_neo_wide": lambda: _gpt_neo(64),
}
_EAGER_ONLY = ("gemma2", "gpt_neo", "bloom", "gpt_neo_wide")


@functools.cache
def family(name: str, attention: str | None = None) -> Any:
    """A model of that family, the same object for every test: a cut must leave it as it was."""
    return fresh(name, attention)


def fresh(name: str, attention: str | None = None) -> Any:
    """A model of that family for this test alone."""
    torch.manual_seed(0)
    with torch.inference_mode(False):  # a test that builds it inside inference mode must not spoil it for the others
        model = randomised(BUILDERS[name]())
    if attention is not None:
        model.set_attn_implementation(attention)
    return model


def randomised(model: Any) -> Any:
    """The model with wide random weights, ready for greedy decoding."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.15)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()


FAMILIES = tuple(name for name in BUILDERS if name != "gpt_neo_wide")
CASES = [
    pytest.param(name, attention, id=f"{name}-{attention}")
    for name in FAMILIES
    for attention in ("eager", "sdpa")
    if attention == "eager" or name not in _EAGER_ONLY
]
"""Every family with every attention implementation that it offers."""


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
    if type(model).__name__ != "BloomForCausalLM":  # ALiBi reads the mask
        named["position_ids"] = positions(mask)[:, -(length or mask.shape[1]) :]
    return named


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
