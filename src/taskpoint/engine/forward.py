"""What every path of the engine does around the library's forward: hooks that always come off, and reading its arguments.

Shapes: B batch, L tokens of one forward call, K tokens up to its end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from taskpoint.errors import ModelError, PlanError


@contextmanager
def hooked(
    module: nn.Module, before: Callable[..., Any] | None = None, after: Callable[..., Any] | None = None
) -> Iterator[None]:
    """Hooks a module for the length of the block; the hooks come off also after an exception."""
    handles = []
    if before is not None:
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
    if after is not None:
        handles.append(module.register_forward_hook(after, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def refuse_nesting(decoder: nn.Module) -> Iterator[None]:
    """Marks a decoder as being under a cut.

    Raises:
        PlanError: it already is.
    """
    if getattr(decoder, "taskpoint_cut", False):
        raise PlanError("this model is already under a cut; leave the other block first, cuts cannot be nested")
    object.__setattr__(decoder, "taskpoint_cut", True)
    try:
        yield
    finally:
        object.__delattr__(decoder, "taskpoint_cut")


@dataclass(frozen=True, eq=False)
class DecoderCall:
    """One call of the decoder: its arguments, and the facts that a cut needs of them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    batch: int
    length: int
    cache: Any
    attention_mask: Tensor | None  # [B, K], 1 = token, 0 = padding

    def padding(self, past: int) -> Tensor | None:
        """True for padding tokens of this call. [B, L]"""
        if self.attention_mask is None or self.attention_mask.shape[1] < past + self.length:
            return None
        return ~self.attention_mask[:, past : past + self.length].bool()


def read_decoder_call(decoder: nn.Module, config: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DecoderCall:
    """Names the arguments of a decoder call, and gives it a cache where it would have made its own.

    Raises:
        ModelError: the decoder gets no tokens, or a mask of a form that cannot be read.
    """
    bound = inspect.signature(type(decoder).forward).bind(decoder, *args, **kwargs).arguments
    bound = dict(bound) | dict(bound.pop("kwargs", {}))
    tokens = bound.get("input_ids") if bound.get("input_ids") is not None else bound.get("inputs_embeds")
    if not isinstance(tokens, Tensor):
        raise ModelError(f"{type(decoder).__name__} was called without input_ids or inputs_embeds")
    mask = bound.get("attention_mask")
    if mask is not None and not (isinstance(mask, Tensor) and mask.ndim == 2):
        raise ModelError("under a cut attention_mask must be a [batch, tokens] tensor of ones and zeros")
    cache = bound.get("past_key_values")
    use_cache = bound.get("use_cache")
    if use_cache is None:
        use_cache = getattr(config, "use_cache", False)
    if cache is None and use_cache and not (decoder.training and torch.is_grad_enabled()):
        cache = DynamicCache(config=config)
        named = {k: v for k, v in bound.items() if k != "self"} | {"past_key_values": cache}
        args, kwargs = (), named
    return DecoderCall(args, kwargs, tokens.shape[0], tokens.shape[1], cache, mask)


def inputs_for(model: nn.Module, attention_mask: Tensor | None) -> dict[str, Any]:
    """Mask and positions as `generate` would pass them: padding moves no token."""
    if attention_mask is None:
        return {"use_cache": False}
    named: dict[str, Any] = {"attention_mask": attention_mask, "use_cache": False}
    if "position_ids" in inspect.signature(model.forward).parameters:
        named["position_ids"] = true_positions(attention_mask)
    return named


def true_positions(attention_mask: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Position of every token, padding not counted, as the library's `generate` counts them."""
    return (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 0)
