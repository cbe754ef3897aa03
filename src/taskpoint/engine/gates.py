"""Gates on attention heads: `gated_heads`.

A gate multiplies what its head hands to the output projection of attention, so that 1 leaves the head as it is and 0
takes it away. What the projection adds of its own, its bias, stays.

Shapes: N layers, H heads, D head size, B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from taskpoint.engine.calls.eager import eager, hooked_eagerly
from taskpoint.engine.calls.projections import OutputProjection, output_projections
from taskpoint.engine.calls.uninterrupted import uninterrupted
from taskpoint.errors import ModelError, PlanError, SettingError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.head_gates import HeadGates, gates_on, mark, unmark
from taskpoint.settings import shown


@contextmanager
def gated_heads(model: nn.Module, gates: object) -> Iterator[nn.Module]:
    """Multiplies every head by its gate, in everything the model does inside the block.

    Works with padding, `generate`, adapters of peft, and around `cut_context` and the sweeps. With all gates 1 every
    number is the model's own.

    Args:
        model: any transformers decoder whose attention has an output projection.
        gates: by layer and head, from `taskpoint.load_gates`; or a tensor of numbers or truth values, which may be
            trained through; or what becomes one. [N, H]

    Yields:
        The same model, gated in every thread until the block ends.

    Raises:
        SettingError: gates of another model, of another shape, or that are no finite numbers.
        ModelError: the model has no output projection, or is compiled.
        PlanError: the model is under a cut, or has gates already.

    Example:
        >>> with gated_heads(model, gates):  # doctest: +SKIP
        ...     model.generate(input_ids, attention_mask=attention_mask, max_new_tokens=20)
    """
    parts = anatomy(model)
    if getattr(parts.decoder, "taskpoint_cut", False):
        raise PlanError("this model is under a cut; enter gated_heads first, and cut_context within it")
    if gates_on(model) is not None:
        raise PlanError("this model has gates on its heads already; leave the other block first")
    given, values = _read(gates)
    found = output_projections(model)
    given.check_fits(len(found), heads_of(found, parts.family), parts.family)
    with uninterrupted(eager(model, parts.decoder), _marked(parts.decoder, given), gating(found, values)):
        yield model


@contextmanager
def gating(projections: Sequence[OutputProjection], gates: Float[Tensor, "N H"]) -> Iterator[None]:
    """Multiplies the heads before these projections by their gates, for the length of the block.

    Gradients reach the gates.
    """
    with ExitStack() as stack:
        for projection, row in zip(projections, gates, strict=True):
            stack.enter_context(hooked_eagerly(projection.module, before=_scaling(projection, row)))
        yield


def heads_of(projections: Sequence[OutputProjection], family: str) -> int:
    """The number of heads of every layer; a ModelError where layers differ in it."""
    counts = {each.heads for each in projections}
    if len(counts) > 1:
        raise ModelError(
            f"the layers of this model (type {family!r}) have {' and '.join(map(str, sorted(counts)))} heads; gates "
            "need layers with equally many"
        )
    return counts.pop()


def _scaling(projection: OutputProjection, row: Tensor) -> Callable[..., Any]:
    """The hook of one projection; `row` has the gates of its heads, [H]."""

    def scale(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        heads, *others = args  # [..., H * D]
        factors = row.to(heads).repeat_interleave(projection.head_size)  # [H * D]
        return (heads * factors, *others), kwargs

    return scale


@contextmanager
def _marked(decoder: nn.Module, gates: HeadGates) -> Iterator[None]:
    mark(decoder, gates.digest)
    try:
        yield
    finally:
        unmark(decoder)


def _read(gates: object) -> tuple[HeadGates, Tensor]:
    """The gates as numbers to check, and as the tensor that is computed with."""
    if isinstance(gates, HeadGates):
        return gates, torch.from_numpy(gates.values)
    try:
        values = torch.as_tensor(gates)
    except (TypeError, ValueError, RuntimeError):
        raise SettingError(f"gates are {shown(gates)}; expected a number for each layer and head") from None
    if values.is_complex():
        raise SettingError("gates are complex numbers; expected one real number for each layer and head")
    values = values if values.is_floating_point() else values.float()
    return HeadGates(values.detach().float().cpu().numpy()), values
