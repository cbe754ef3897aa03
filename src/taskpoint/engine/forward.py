"""What every path of the engine does around the library's forward: hooks that come off again, and reading arguments.

Shapes: B batch, L tokens of one forward call, K tokens up to its end.
"""

from __future__ import annotations

import functools
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
from taskpoint.models.anatomy import Anatomy

# Flash kernels read positions and windows by cache index, flex masks cannot be narrowed.
_ATTENTION = (None, "eager", "sdpa")


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
def under_cut(parts: Anatomy) -> Iterator[None]:
    """Marks a decoder as being under a cut for the length of the block.

    Raises:
        PlanError: it already is.
        ModelError: its attention implementation cannot be cut.
    """
    decoder = parts.decoder
    _check_attention(parts.config)
    if getattr(decoder, "taskpoint_cut", False):
        raise PlanError("this model is already under a cut; leave the other block first, cuts cannot be nested")
    object.__setattr__(decoder, "taskpoint_cut", True)
    try:
        yield
    finally:
        object.__delattr__(decoder, "taskpoint_cut")


def _check_attention(config: Any) -> None:
    attention = getattr(config, "_attn_implementation", None)
    if attention not in _ATTENTION:
        raise ModelError(
            f"attention implementation {attention!r} cannot be cut; load the model with attn_implementation='sdpa' or "
            "'eager'"
        )


def by_itself() -> PlanError:
    """What a hooked layer raises that is called outside of its decoder's forward, say by code that is compiled."""
    return PlanError(
        "a decoder layer ran by itself under a cut, where nothing says which of its tokens are dropped; call the model"
    )


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
        """Where the tokens of this call are padding; None when the mask does not reach them.

        Args:
            past: tokens before this call.

        Returns:
            True for padding. [B, L]
        """
        if self.attention_mask is None or self.attention_mask.shape[1] < past + self.length:
            return None
        return ~self.attention_mask[:, past : past + self.length].bool()


# Reading a signature takes as long as a small layer; a decoding step must not pay for it.
_signature = functools.cache(inspect.signature)


def read_decoder_call(decoder: nn.Module, config: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DecoderCall:
    """Names the arguments of a decoder call, and gives it a cache where it would have made its own.

    Raises:
        ModelError: the decoder gets no tokens, or a mask of a form that cannot be read.
    """
    _check_attention(config)  # again, because generate_batch changes it for as long as it runs
    signature = _signature(type(decoder).forward)
    bound = dict(signature.bind(decoder, *args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            bound |= bound.pop(name, {})
    tokens = bound.get("input_ids") if bound.get("input_ids") is not None else bound.get("inputs_embeds")
    if not isinstance(tokens, Tensor):
        raise ModelError(f"{type(decoder).__name__} was called without input_ids or inputs_embeds")
    mask = bound.get("attention_mask")
    if isinstance(mask, dict):
        mask = _seen_columns(mask)
    if mask is not None and not (isinstance(mask, Tensor) and mask.ndim == 2):
        form = f"of shape {list(mask.shape)}" if isinstance(mask, Tensor) else f"of type {type(mask).__name__}"
        raise ModelError(
            f"under a cut an attention_mask {form} is not supported; pass a [batch, tokens] tensor of ones and zeros"
        )
    cache = bound.get("past_key_values")
    use_cache = bound.get("use_cache")
    if use_cache is None:
        use_cache = getattr(config, "use_cache", False)
    if cache is None and use_cache and not (decoder.training and torch.is_grad_enabled()):
        cache = DynamicCache(config=config)
        named = {k: v for k, v in bound.items() if k != "self"} | {"past_key_values": cache}
        args, kwargs = (), named
    return DecoderCall(args, kwargs, tokens.shape[0], tokens.shape[1], cache, mask)


def _seen_columns(masks: dict[Any, Any]) -> Any:
    """1 for tokens, 0 for padding, out of the masks by layer type that a module around the decoder made (Gemma 3).

    The last token of the call sees every token but padding, in layers without a window.
    """
    mask = masks.get("full_attention", masks)
    if not isinstance(mask, Tensor) or mask.ndim != 4:
        return mask
    last = mask[:, 0, -1]  # [1|B, K]
    return (last if last.dtype == torch.bool else last == 0).long()


def accepts(model: nn.Module, name: str) -> bool:
    """Whether the model's forward takes an argument of that name, also behind a peft wrapper that passes all on."""
    base: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return name in inspect.signature(base.forward).parameters


def inputs_for(model: nn.Module, attention_mask: Tensor | None, last: int | None = None) -> dict[str, Any]:
    """Arguments of an ordinary pass without a cache, as `generate` would pass them: padding moves no token.

    Args:
        model: the model that is to be called.
        attention_mask: 1 for tokens, 0 for padding; None when there is none. [B, T]
        last: number of positions, from the end, whose logits are wanted where the model can leave out the others.
    """
    named: dict[str, Any] = {"use_cache": False}
    if attention_mask is not None:
        named["attention_mask"] = attention_mask
        if accepts(model, "position_ids"):
            named["position_ids"] = true_positions(attention_mask)
    if last is not None and accepts(model, "logits_to_keep"):
        named["logits_to_keep"] = last
    return named


def true_positions(attention_mask: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Position of every token, padding not counted, as the library's `generate` counts them."""
    return (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 0)
