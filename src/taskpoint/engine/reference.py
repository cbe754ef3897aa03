"""The slow path, obviously right: every token stays, and masks hide the dropped ones from layer r on.

It is what the fast path is tested against, and what is used where the fast path cannot be.

Shapes: B batch, T tokens of the prompt, L tokens of one forward call, K keys as the library counts them, N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from taskpoint.engine.arguments import hide, read_call
from taskpoint.engine.forward import DecoderCall, hooked, inputs_for, read_decoder_call, refuse_nesting
from taskpoint.engine.plan import CutPlan
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy


@contextmanager
def mask_context(model: nn.Module, after: int, drop: Bool[Tensor, "B T"]) -> Iterator[nn.Module]:
    """Hides the dropped tokens from every other token in the layers from `after` on, by attention masks alone.

    Same meaning as `cut_context`, at the full cost of the model (paper A, section 2: layer-from context masking). A dropped
    token still sees itself, so no row of attention is ever fully masked.

    Args:
        model: any transformers decoder with a language-model head.
        after: the cut r.
        drop: True for the tokens of the prompt that are hidden. [B, T]

    Yields:
        The same model.

    Raises:
        PlanError: `after` or `drop` do not fit, or the model is already under a cut.
        ModelError: the layers take a mask of a form that is not known.
    """
    parts = anatomy(model)
    plan = CutPlan(parts.num_layers, after, drop)
    running: list[tuple[DecoderCall, int]] = []

    def begin(decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        call = read_decoder_call(decoder, parts.config, args, kwargs)
        running[:] = [(call, call.cache.get_seq_length() if call.cache is not None else 0)]
        return call.args, call.kwargs

    def mask_layer(index: int) -> Any:
        def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            call = read_call(layer, args, kwargs)
            decoder, past = running[0]
            keys = (
                decoder.cache.get_mask_sizes(decoder.length, index)[0] if decoder.cache is not None else decoder.length
            )
            given = call.named.get("attention_mask")
            mask = _whole_mask(given, past, decoder.length, keys, call.hidden.device)  # [B, 1, L, K]
            hidden = plan.hidden(0, past + decoder.length, decoder.batch).to(mask.device)[
                :, -mask.shape[-1] :
            ]  # [B, K]
            positions = torch.arange(past + decoder.length, device=mask.device)
            other = positions[past:, None] != positions[None, -mask.shape[-1] :]  # [L, K]
            return (call.hidden,), call.named | {"attention_mask": hide(mask, hidden[:, None, None] & other)}

        return before

    with ExitStack() as stack:
        stack.enter_context(refuse_nesting(parts.decoder))
        stack.enter_context(hooked(parts.decoder, before=begin))
        for index in range(after, parts.num_layers):
            stack.enter_context(hooked(parts.layers[index], before=mask_layer(index)))
        yield model


def _whole_mask(mask: Any, past: int, length: int, keys: int, device: torch.device) -> Tensor:
    """The mask as a tensor; the library gives None where causality is all there is."""
    if mask is None:
        queries = torch.arange(past, past + length, device=device)
        return (torch.arange(past + length - keys, past + length, device=device) <= queries[:, None])[None, None]
    if not isinstance(mask, Tensor) or mask.ndim != 4:
        raise ModelError(
            f"an attention mask of type {type(mask).__name__} is not supported; load the model with "
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
    cuts = range(anatomy(model).num_layers + 1)
    rows = []
    for after in cuts:
        with mask_context(model, after, drop):
            rows.append(model(input_ids, **inputs_for(model, attention_mask)).logits[:, -1])
    return torch.stack(rows)
