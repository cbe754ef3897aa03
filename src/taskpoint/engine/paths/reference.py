"""The slow path, obviously right: every token stays, and masks hide the dropped ones from layer r on.

It is what the fast path is tested against, and what is used where the fast path cannot be.

Shapes: B batch, T tokens of the prompt, L tokens of one forward call, K keys as the library counts them, N layers, r
cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import hide, read_call
from taskpoint.engine.calls.eager import eager, hooked_eagerly
from taskpoint.engine.calls.forward import DecoderCall, by_itself, hooked, read_decoder_call, under_cut
from taskpoint.engine.calls.training import trainable
from taskpoint.engine.calls.uninterrupted import uninterrupted
from taskpoint.engine.paths.present_cache import check_cache, check_empty
from taskpoint.engine.plan import CutPlan
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import Anatomy, anatomy
from taskpoint.models.library import cache_in, inputs_for


@contextmanager
def mask_context(model: nn.Module, after: int, drop: Bool[Tensor, "B T"]) -> Iterator[nn.Module]:
    """Hides the dropped tokens from every other token in the layers from `after` on, by attention masks alone.

    Same meaning, arguments and errors as `cut_context`, at the full cost of the model (Sia, Mueller, Duh, *Where does
    In-context Learning Happen in Large Language Models?*, section 2: layer-from context masking). A dropped token still
    sees itself, so no row of attention is ever fully masked. A mask of a form that is not known is a ModelError.
    """
    parts = anatomy(model)
    plan = CutPlan(parts.num_layers, after, drop)
    contexts = [under_cut(parts)]
    if after < parts.num_layers:
        contexts += [eager(model, parts.decoder), trainable(model, parts, plan), _Masks(parts, plan).hooks()]
    with uninterrupted(*contexts):
        yield model


class _Masks:
    """What the hooks share: the forward call that runs in each thread, and the tokens before it."""

    def __init__(self, parts: Anatomy, plan: CutPlan) -> None:
        self._parts, self._plan = parts, plan
        self._here = threading.local()
        self._first = True

    @contextmanager
    def hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(hooked_eagerly(self._parts.decoder, before=self.begin, after=self.end))
            for index in range(self._plan.after, self._parts.num_layers):
                stack.enter_context(hooked(self._parts.layers[index], before=self.at(index)))
            yield

    def begin(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        check_cache(cache_in(kwargs))  # first: a static cache also comes with a mask of another form
        call = read_decoder_call(decoder, self._parts.config, args, kwargs)
        if call.cache is not None:
            check_cache(call.cache)
            if self._first:
                check_empty(call.cache)
        past = call.cache.get_seq_length() if call.cache is not None else 0
        if past == 0:
            self._plan.check_prompt(call.length, grown=call.cache is None and not self._first)
        self._here.call, self._first = (call, past), False
        return call.args, call.kwargs

    def end(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self._here.call = None

    def at(self, index: int) -> Any:
        """The hook of layer `index`, which hides."""

        def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            running: tuple[DecoderCall, int] | None = getattr(self._here, "call", None)
            if running is None:
                raise by_itself()
            decoder, past = running
            call = read_call(layer, args, kwargs)
            end = past + decoder.length
            keys = decoder.cache.get_mask_sizes(decoder.length, index)[0] if decoder.cache is not None else end
            mask = _whole_mask(call.named.get("attention_mask"), past, decoder.length, keys, call.hidden.device)
            keys = mask.shape[-1]  # [B, 1, L, K], the last K positions
            hidden = self._plan.hidden(0, end, decoder.batch).to(mask.device)[:, -keys:]  # [B, K]
            positions = torch.arange(end, device=mask.device)
            other = positions[past:, None] != positions[None, -keys:]  # [L, K]
            hides = self._parts.facts.mask_hides
            return (call.hidden,), call.named | {"attention_mask": hide(mask, hidden[:, None, None] & other, hides)}

        return before


def _whole_mask(mask: Any, past: int, length: int, keys: int, device: torch.device) -> Tensor:
    """The mask as a tensor; the library gives None where causality is all there is."""
    if mask is None:
        queries = torch.arange(past, past + length, device=device)
        return (torch.arange(past + length - keys, past + length, device=device) <= queries[:, None])[None, None]
    if not isinstance(mask, Tensor) or mask.ndim != 4:
        form = f"of shape {list(mask.shape)}" if isinstance(mask, Tensor) else f"of type {type(mask).__name__}"
        raise ModelError(
            f"layers get an attention mask {form}, which is not supported; load the model with "
            "attn_implementation='sdpa' or 'eager'"
        )
    return mask


@torch.inference_mode()
def reference_sweep_logits(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "cuts B vocab"]:
    """Logits at the last position for every cut, one masked pass a cut: what `sweep_logits` must equal."""
    return reference_last_logits(model, input_ids, drop, attention_mask, last=1)[:, :, 0]


@torch.inference_mode()
def reference_last_logits(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
    *,
    last: int,
) -> Float[Tensor, "cuts B last vocab"]:
    """Logits at the last positions for every cut, one masked pass a cut: what `sweep_last_logits` must equal."""
    named = inputs_for(model, attention_mask, last)
    rows = []
    for after in range(anatomy(model).num_layers + 1):
        with mask_context(model, after, drop):
            rows.append(model(input_ids, **named).logits[:, -last:])
    return torch.stack(rows)
