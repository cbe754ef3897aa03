"""Hooks and forwards that somebody else put on a model: a user who steers or probes, or another library.

They may count tokens, so that where they stand every token has to be at its place.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

# Hooks of these see to it that a model computes what it should (offloading, capturing of states, adapters), whatever
# its number of tokens; hooks of everybody else may count tokens.
_OF_THE_LIBRARIES = (
    "accelerate",
    "bitsandbytes",
    "compressed_tensors",
    "deepspeed",
    "hqq",
    "kernels",
    "liger_kernel",
    "optimum",
    "peft",
    "taskpoint",
    "torch",
    "torchao",
    "transformers",
    "jaxtyping",  # these two stand around the functions of others, which are looked at themselves
    "beartype",
)

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

_GLOBAL_HOOKS = [vars(torch.nn.modules.module)[f"_global{kind}"] for kind in _HOOKS]


def forward_of_others(module: nn.Module) -> bool:
    """Whether somebody outside the libraries put a forward of theirs on this very module."""
    found = vars(module).get("forward")
    return found is not None and _is_foreign(found)


def has_foreign_hooks(module: nn.Module) -> bool:
    """Whether somebody outside the libraries hooked this very module, or put a forward of theirs on it."""
    found = vars(module)
    hooked = any(found[kind] and any(map(_is_foreign, found[kind].values())) for kind in _HOOKS)
    return hooked or forward_of_others(module)


def hooked_by_others(modules: Iterable[nn.Module]) -> bool:
    """Whether somebody outside the libraries hooked one of some modules, or all modules that there are.

    A forward that was put on a module, in place of its class's, is such a hook.
    """
    return any(map(has_foreign_hooks, modules)) or any(
        _is_foreign(hook) for hooks in _GLOBAL_HOOKS for hook in hooks.values()
    )


def _is_foreign(hook: Any) -> bool:
    """Whether the code that runs is foreign, also under a decorator; `__module__` may be copied from what it wraps."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    function = getattr(hook, "__func__", hook)  # of a bound method
    home = getattr(function, "__globals__", {}).get("__name__") or type(hook).__module__
    if str(home).partition(".")[0] not in _OF_THE_LIBRARIES:
        return True
    wrapped = getattr(function, "__wrapped__", None)
    return wrapped is not None and _is_foreign(wrapped)


@contextmanager
def without_foreign_hooks(model: nn.Module) -> Iterator[None]:
    """Hooks of others stand aside for the length of the block."""
    put_back: list[tuple[Any, dict[Any, Any]]] = []
    try:
        for module in model.modules():
            for kind in _HOOKS:
                hooks = vars(module)[kind]
                foreign = {key for key, hook in hooks.items() if _is_foreign(hook)}
                if foreign:
                    put_back.append((hooks, dict(hooks)))
                    for key in foreign:
                        del hooks[key]
        yield
    finally:
        for hooks, before in put_back:
            hooks.clear()
            hooks.update(before)  # the very order in which they ran
