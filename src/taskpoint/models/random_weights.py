"""A decoder of a given shape with random weights: for what depends on sizes alone, such as time and memory."""

from __future__ import annotations

import re
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from taskpoint.errors import SettingError
from taskpoint.models.device import free_bytes, usable_device
from taskpoint.models.loading import MOST_LAYERS
from taskpoint.settings import shown

_FORM = re.compile(r"llama:(\d{1,12})x(\d{1,12})((?:,[a-z]+=\d{1,12})*)", re.ASCII)
_SIZES = ("heads", "kv", "mlp", "vocab")
_DTYPES = ("float32", "bfloat16", "float16")
# The head size of the Llama models below 7B (Touvron et al. 2023) and of GPT-2.
_HEAD = 64
# As many positions as Llama 3.1 (2024) was made for; rotary positions cost no weights.
_POSITIONS = 131_072


def random_decoder(
    spec: str, *, dtype: str | torch.dtype | None = None, device: str | torch.device | None = None
) -> PreTrainedModel:
    """A Llama decoder of a given shape whose weights are random numbers; the same ones each time.

    Args:
        spec: `llama:LAYERSxWIDTH`, then as many as wanted of `,heads=`, `,kv=`, `,mlp=`, `,vocab=`. Such as
            `llama:16x512`, or for the shape of Llama-3.1-8B `llama:32x4096,heads=32,kv=8,mlp=14336,vocab=128256`.
            What is left out: heads of 64, as many key and value heads as heads, an MLP of 8/3 of the width rounded up
            to 256 (Touvron et al. 2023), 32000 tokens.
        dtype: float32 (None), bfloat16 or float16.
        device: Where the weights are made; None for the CPU.

    Raises:
        SettingError: A spec of another form, sizes that do not fit together, an unknown dtype or device.
    """
    kind = str(dtype or "float32").removeprefix("torch.")
    if kind not in _DTYPES:
        raise SettingError(f"dtype is {kind!r}; expected one of {', '.join(_DTYPES)}")
    place = usable_device(device or "cpu")
    config = _config(spec)
    _check_memory(config, getattr(torch, kind).itemsize, place)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []), place:
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, kind))
    model.eval()
    return model


def _check_memory(config: Any, size: int, place: torch.device) -> None:
    """Refuses, with a SettingError, weights that take more memory than is free, before anything is made."""
    heads = config.head_dim * (config.num_attention_heads + config.num_key_value_heads)
    layer = config.hidden_size * (2 * heads + 3 * config.intermediate_size)
    needed = (config.num_hidden_layers * layer + 2 * config.vocab_size * config.hidden_size) * size
    free = free_bytes(place)
    if needed > free:
        raise SettingError(
            f"a model of this shape takes {needed / 1e9:,.0f} GB for its weights, but {place} has {free / 1e9:,.0f} GB "
            "free; give a smaller --shape, or a --dtype of 16 bits"
        )
    if config.num_hidden_layers > MOST_LAYERS:
        raise SettingError(
            f"a model of this shape has {config.num_hidden_layers} layers; expected at most {MOST_LAYERS}"
        )


def _config(spec: str) -> Any:
    form = _FORM.fullmatch(spec.replace(" ", ""))
    if form is None:
        raise SettingError(
            f"shape is {shown(spec)}; expected llama:LAYERSxWIDTH, such as llama:16x512 or llama:32x4096,heads=32,kv=8"
        )
    layers, width = int(form[1]), int(form[2])
    named = {name: int(value) for name, _, value in (part.partition("=") for part in form[3].split(",") if part)}
    unknown = sorted(set(named) - set(_SIZES))
    if unknown:
        raise SettingError(f"shape {shown(spec)} names {unknown[0]}; its sizes are {', '.join(_SIZES)}")
    heads = named.get("heads", max(1, width // _HEAD))
    kv = named.get("kv", heads)
    if min(layers, width, heads, kv, *named.values()) < 1:
        raise SettingError(f"shape {shown(spec)} has a size of 0; expected at least 1")
    # Rotary positions turn pairs of numbers.
    if width % heads or heads % kv or width // heads % 2:
        raise SettingError(
            f"shape {shown(spec)} has {heads} heads and kv={kv} for a width of {width}; expected heads that divide the "
            "width into even sizes, and kv that divides heads"
        )
    return LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        intermediate_size=named.get("mlp", -(-8 * width // (3 * 256)) * 256),
        vocab_size=named.get("vocab", 32_000),
        max_position_embeddings=_POSITIONS,
        bos_token_id=None,
        eos_token_id=None,
    )
