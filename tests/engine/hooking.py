"""Hooks as users put them on models: they edit some tokens of what a module is given or gives back, by their places.

Shapes: B prompts, L tokens of one call, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

from taskpoint.models.anatomy import anatomy

Edit = Callable[[Tensor], Tensor]
"""From hidden states to others. [B, L, D]"""

ON_LAYERS = ("what a layer gives back", "what a layer is given")
WITHIN = ("attention", "MLP", "first norm", "out projection")


def hook(module: nn.Module, edit: Edit, *, given: bool = False, named: bool = False) -> Any:
    """Puts a hook on a module; returns its handle.

    Args:
        module: the module.
        edit: what the hook does to the hidden states, the first of what the module is given or gives back.
        given: edits what the module is given.
        named: the hook is also given arguments that are passed by name.
    """

    def changed(value: Any) -> Any:
        return (edit(value[0]), *value[1:]) if isinstance(value, tuple) else edit(value)

    def with_names(_: nn.Module, args: Any, kwargs: Any) -> Any:
        return (changed(args), kwargs) if args else (args, kwargs | {"hidden_states": edit(kwargs["hidden_states"])})

    if not given:
        if named:
            return module.register_forward_hook(lambda _, args, kwargs, out: changed(out), with_kwargs=True)
        return module.register_forward_hook(lambda _, args, out: changed(out))
    if named:
        return module.register_forward_pre_hook(with_names, with_kwargs=True)
    return module.register_forward_pre_hook(lambda _, args: changed(args))


@contextmanager
def hooks(handles: Iterable[Any]) -> Iterator[None]:
    """Takes hooks off at the end of the block."""
    put = list(handles)
    try:
        yield
    finally:
        for handle in put:
            handle.remove()


def on(model: Any, where: str, edit: Edit, layers: Iterable[int] | None = None) -> list[Any]:
    """Hooks of one kind on some layers (all where none are named): one of `ON_LAYERS` or `WITHIN`."""
    every = anatomy(model).layers
    handles = []
    for index in range(len(every)) if layers is None else layers:
        module = every[index] if where in ON_LAYERS else part(every[index], where)
        given = where in ("what a layer is given", "out projection")
        handles.append(hook(module, edit, given=given, named=where in ("what a layer is given", "MLP")))
    return handles


def part(layer: nn.Module, where: str) -> nn.Module:
    """A module within a layer; families name them differently."""
    children = dict(layer.named_children())
    if where == "first norm":
        return next(child for name, child in children.items() if "norm" in name or "ln" in name)
    if where == "MLP":
        names = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "fc2")
        return next(children[name] for name in names if name in children)
    attention = next(child for name, child in children.items() if "att" in name and any(child.children()))
    if where == "attention":
        return attention
    maps = [module for module in attention.modules() if isinstance(module, nn.Linear | hf.pytorch_utils.Conv1D)]
    return maps[-1]


def adding(places: Iterable[int], length: int, size: float = 1.0) -> Edit:
    """Adds a vector of its own to the token at every one of some places, in calls of that many tokens."""

    def edit(hidden: Tensor) -> Tensor:
        if hidden.shape[1] != length:
            return hidden
        edited = hidden.clone()
        for place in places:
            edited[:, place] += size * vector(hidden.shape[-1], place)
        return edited

    return edit


def everywhere(hidden: Tensor) -> Tensor:
    """Adds a vector to every token of every call."""
    return hidden + vector(hidden.shape[-1], 1)


def last(hidden: Tensor) -> Tensor:
    """Adds a vector to the last token of every call."""
    return torch.cat([hidden[:, :-1], hidden[:, -1:] + vector(hidden.shape[-1], 2)], dim=1)


def vector(width: int, seed: int) -> Tensor:
    """The same random vector for the same seed. [D]"""
    return torch.randn(width, generator=torch.Generator().manual_seed(seed + 1000))
