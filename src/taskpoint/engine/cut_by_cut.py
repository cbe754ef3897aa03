"""A sweep of logits, one pass a cut: where hooks of others want to find every token at its place, in rows of its own.

Shapes: B batch, T tokens, N layers, r cut.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import first_tensor, like_output, read_call
from taskpoint.engine.calls.forward import hooked, under_cut
from taskpoint.engine.cut import cut_context
from taskpoint.models.anatomy import Anatomy, anatomy
from taskpoint.models.library import inputs_for
from taskpoint.models.others import hooked_by_others


def follows_hooks(model: nn.Module, each: str = "cut") -> bool:
    """Whether a sweep in one pass is right as far as hooks go: the model has none of others; else a warning says so.

    `each` is what it is a sweep of.
    """
    if not hooked_by_others(model.modules()):
        return True
    warnings.warn(
        f"the model is hooked, and hooks may count tokens or rows: every {each} is run by itself, with as many passes",
        stacklevel=3,
    )
    return False


def logits_cut_by_cut(
    model: nn.Module, input_ids: Tensor, drop: Tensor, attention_mask: Tensor | None, *, last: int, skip: bool
) -> Tensor:
    """Logits at the last positions for every cut; arguments as for `sweep_last_logits`. [N + 1, B, last, vocab]."""
    named, parts = inputs_for(model, attention_mask, last), anatomy(model)
    rows = []
    for after in range(parts.num_layers + 1):
        with _exit_at(parts, after) if skip else cut_context(model, after, drop):
            rows.append(model(input_ids, **named).logits[:, -last:])
    return torch.stack(rows)


@contextmanager
def _exit_at(parts: Anatomy, after: int) -> Iterator[None]:
    """What layer r is given, before its hooks, comes out of the last layer, after its hooks."""
    entered: list[Tensor] = []

    def note(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered[:] = [read_call(layer, args, kwargs).hidden]

    def leave(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        return like_output(output, entered[0].to(first_tensor(output).device))

    with under_cut(parts), ExitStack() as stack:
        if after < parts.num_layers:
            first = parts.layers[after].register_forward_pre_hook(note, prepend=True, with_kwargs=True)
            stack.callback(first.remove)
            stack.enter_context(hooked(parts.layers[-1], after=leave))
        yield
