"""A model as it was built, for the length of a check: what it found neither depends on what ran before nor stays.

Models keep things beside their weights: the distances that the last image made (Qwen2-VL and its like), the longest
prompt so far and frequencies that go with it (dynamic rotary positions), hooks of others, dropout switched on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.models.library import PreTrainedModel
from taskpoint.models.others import without_foreign_hooks

# Larger buffers (tables of positions, masks) are made once and never changed in place.
_SMALL = 2**16

# What a layer of an unknown family may raise when it gets fewer tokens than it counts on.
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)


@contextmanager
def pristine(model: nn.Module) -> Iterator[None]:
    """Dropout, autocast and hooks of others off, remembered tensors forgotten; all comes back at the end."""
    with evaluating(model), without_foreign_hooks(model), _state_kept(model), _precise(model):
        forget(model)
        yield


def forget(model: nn.Module) -> None:
    """Drops the tensors that a whole model, not a part of it, keeps beside its weights: they are of earlier calls."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            for name in [name for name, value in vars(module).items() if isinstance(value, Tensor)]:
                vars(module)[name] = None


@contextmanager
def _precise(model: nn.Module) -> Iterator[None]:
    """Autocast off: it rounds more than a comparison in the model's own precision allows."""
    with ExitStack() as stack:
        for kind in {weight.device.type for weight in model.parameters()} - {"meta"}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off, as a comparison needs it; every module's flag is put back."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def _state_kept(model: nn.Module) -> Iterator[None]:
    """Attributes and buffers of all modules are put back at the end of the block."""
    before: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]] = []
    values: list[tuple[Tensor, Tensor]] = []
    for module in model.modules():
        buffers: dict[str, Any] = vars(module)["_buffers"]
        before.append((module, dict(vars(module)), dict(buffers)))
        values += [(b, b.clone()) for b in buffers.values() if b is not None and not b.is_meta and b.numel() <= _SMALL]
    try:
        yield
    finally:
        for module, attributes, buffers in before:
            for holder, kept in ((vars(module), attributes), (vars(module)["_buffers"], buffers)):
                if holder.keys() != kept.keys() or any(holder[name] is not kept[name] for name in kept):
                    holder.clear()
                    holder.update(kept)
        for buffer, value in values:
            if not torch.equal(buffer, value):  # a graph of the caller may hold it, and counts every write
                buffer.copy_(value)
