"""What every path of the engine does around the library's forward: hooks that come off again, and reading arguments.

Shapes: B batch, L tokens of one forward call, K tokens up to its end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import LayerCall, read_call
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import (
    DynamicCache,
    attention_name,
    cache_argument,
    cache_in,
    exchange_cache,
    named_arguments,
    no_cache_argument,
)

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
def around(layer: nn.Module, run: Callable[[Callable[..., Any], LayerCall], Any]) -> Iterator[Callable[..., Any]]:
    """Lets `run` take the place of a layer's forward for the length of the block; yields what stands there now.

    `run` is given the layer's own forward and the call. Hooks of the layer, whoever registered them and when, stay
    outside: they see what the layer is given and gives back as without the block.
    """
    own, inner = vars(layer).get("forward"), layer.forward  # accelerate puts a forward of its own there
    over = False

    @functools.wraps(inner)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs) if over else run(inner, read_call(layer, args, kwargs))

    object.__setattr__(layer, "forward", forward)
    try:
        yield forward
    finally:
        over = True
        # Whoever put another forward there inside the block may still hold this one, and put it back later.
        if vars(layer).get("forward") is forward:
            if own is None:
                object.__delattr__(layer, "forward")
            else:
                object.__setattr__(layer, "forward", own)


@contextmanager
def under_cut(parts: Anatomy) -> Iterator[None]:
    """Marks a decoder as being under a cut for the length of the block.

    Raises:
        PlanError: it already is.
        ModelError: its attention implementation cannot be cut.
    """
    decoder = parts.decoder
    _check_attention(parts.config)
    check_free(parts)
    object.__setattr__(decoder, "taskpoint_cut", True)
    try:
        yield
    finally:
        object.__delattr__(decoder, "taskpoint_cut")


def check_free(parts: Anatomy) -> None:
    """Refuses, by a PlanError, a model that is under a cut."""
    if getattr(parts.decoder, "taskpoint_cut", False):
        raise PlanError("this model is already under a cut; leave the other block first, cuts cannot be nested")


def _check_attention(config: Any) -> None:
    attention = attention_name(config)
    if attention not in _ATTENTION:
        raise ModelError(
            f"attention implementation {attention!r} cannot be cut; load the model with attn_implementation='sdpa' or "
            "'eager'"
        )


def by_itself() -> PlanError:
    """The error of a hooked layer that is called outside of its decoder's forward, say by code that is compiled."""
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
        """True for padding of this call, after `past` tokens; None when the mask does not reach it. [B, L]."""
        if self.attention_mask is None or self.attention_mask.shape[1] < past + self.length:
            return None
        return ~self.attention_mask[:, past : past + self.length].bool()


def read_decoder_call(decoder: nn.Module, config: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DecoderCall:
    """Names the arguments of a decoder call, and gives it a cache where it would have made its own.

    Raises:
        ModelError: the decoder gets no tokens, or a mask of a form that cannot be read.
    """
    _check_attention(config)  # again, because generate_batch changes it for as long as it runs
    bound = named_arguments(decoder, args, kwargs)
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
    cache = cache_in(bound)
    use_cache = bound.get("use_cache")
    if use_cache is None:
        use_cache = getattr(config, "use_cache", False)
    if cache is None and use_cache and not (decoder.training and torch.is_grad_enabled()):
        if cache_argument(decoder) is None:
            raise no_cache_argument(decoder)  # the cache that it makes itself would be out of sight
        cache = DynamicCache(config=config)
        args, kwargs = (), exchange_cache(bound, cache, decoder)
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
