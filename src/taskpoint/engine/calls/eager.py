"""Keeps torch.compile away from a model whose layers are hooked.

A compiled function does not look at hooks that came after it (torch._dynamo.config.skip_nnmodule_hook_guards), so it
would run without the cut; and one that is compiled inside the block would keep the cut for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from taskpoint.models.wrapping import modules_down_to


@contextmanager
def eager(model: nn.Module, decoder: nn.Module) -> Iterator[None]:
    """Everything from the model down to its decoder runs uncompiled inside the block."""
    with ExitStack() as stack:
        for module in modules_down_to(model, decoder):
            stack.enter_context(_uncompiled(module))
        yield


@contextmanager
def hooked_eagerly(
    module: nn.Module, before: Callable[..., Any] | None = None, after: Callable[..., Any] | None = None
) -> Iterator[None]:
    """Hooks a module that compiled code may call, without the hooks becoming part of that code.

    `after` also runs where the module's forward failed: then the output is None.
    """
    disable: Callable[..., Any] = torch.compiler.disable
    with ExitStack() as stack:
        if before is not None:
            stack.callback(module.register_forward_pre_hook(disable(before), with_kwargs=True).remove)
        if after is not None:
            stack.callback(module.register_forward_hook(disable(after), with_kwargs=True, always_call=True).remove)
        yield


@contextmanager
def _uncompiled(module: nn.Module) -> Iterator[None]:
    own = vars(module).get("forward")  # accelerate puts one there
    # Compiled code does look at this attribute, and goes back to Python when it finds another one.
    object.__setattr__(module, "forward", torch.compiler.disable(module.forward))
    try:
        yield
    finally:
        if own is None:
            object.__delattr__(module, "forward")
        else:
            object.__setattr__(module, "forward", own)
