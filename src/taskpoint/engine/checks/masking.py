"""Is masking itself right on this model? A mask must hide a token wholly, and later tokens must not be seen anyway.

Nothing is compared with cutting here: a family that keeps a state beside attention, reads masks the other way round or
attends to later tokens would make both ways wrong alike.

Shapes: B batch, T tokens, N layers, r cut.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import read_call
from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.checks.compare import Prompt
from taskpoint.engine.paths.reference import mask_context
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import inputs_for, read_out

# Tokens at the end of the prompt that are exchanged to see whether earlier ones notice.
_LATER = 3


def fault_of_masking(model: nn.Module, parts: Anatomy, prompt: Prompt, cuts: list[int], share: float) -> str | None:
    """Why masking is not to be trusted on this model; None where it is.

    The prompt is one row without padding. A change is rounding up to a `share` of the change without masks.
    """
    order = layers_run(model, parts, prompt)
    if order != sorted(set(order)):
        return f"its layers do not run one after the other (they ran {', '.join(map(str, order))})"
    ids = prompt.input_ids
    other = torch.cat([ids[:, :-_LATER], ids[:, -_LATER:].roll(1, 1)], dim=1)
    change = (_logits(model, ids) - _logits(model, other)).abs().amax(-1)[0]  # [T]
    if not change[:-_LATER].max() <= share * change[-_LATER:].max():
        return "it attends to later tokens; pass a causal language model (is_decoder=True in its config)"
    for cut in cuts:
        open_way = _change(model, parts, prompt, cut, nullcontext)
        leak = _change(model, parts, prompt, cut, lambda cut=cut: mask_context(model, cut, prompt.drop))
        if not leak <= share * open_way:
            return (
                f"hidden tokens still change the answer under masks at cut {cut} ({leak:.1e}, without masks "
                f"{open_way:.1e}): it keeps a state beside attention, or reads masks in another way"
            )
    return None


def layers_run(model: nn.Module, parts: Anatomy, prompt: Prompt) -> list[int]:
    """The layers in the order in which one pass runs them."""
    order: list[int] = []
    with ExitStack() as stack:
        for index, layer in enumerate(parts.layers):
            stack.enter_context(hooked(layer, before=lambda *_, index=index: order.append(index)))
        _logits(model, prompt.input_ids)
    return order


def _change(model: nn.Module, parts: Anatomy, prompt: Prompt, cut: int, context: Any) -> float:
    """How far the logits of kept tokens move when hidden tokens enter layer `cut` with the opposite sign."""

    def turn(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        call = read_call(layer, args, kwargs)
        drop = prompt.drop.to(call.hidden.device).view(*prompt.drop.shape, *[1] * (call.hidden.ndim - 2))
        return (torch.where(drop, -call.hidden, call.hidden),), call.named

    entered: AbstractContextManager[Any] = context()
    with entered:
        plain = _logits(model, prompt.input_ids)
        with hooked(parts.layers[cut], before=turn):
            turned = _logits(model, prompt.input_ids)
    return float((turned - plain).abs()[prompt.kept].max())


def _logits(model: nn.Module, ids: Tensor) -> Tensor:
    return read_out(model(ids, **inputs_for(model, None))).float()
