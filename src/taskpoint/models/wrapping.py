"""Models in a wrapping through which the engine's hooks do not reach, or beside which a drop mask cannot stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from taskpoint.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


def modules_down_to(model: nn.Module, inner: nn.Module) -> list[nn.Module]:
    """The modules that a call of the model passes through on its way to a module inside it, both included."""
    for name, module in model.named_modules():
        if module is inner:
            parts = name.split(".") if name else []
            return [model.get_submodule(".".join(parts[:depth])) for depth in range(len(parts) + 1)]
    return [model]


def check_wrapping(model: nn.Module, decoder: nn.Module, layers: Iterable[nn.Module]) -> None:
    """Refuses compiled models, and adapters of peft that add tokens or count them.

    Raises:
        ModelError: what was found, and what to pass instead.
    """
    for module in (*modules_down_to(model, decoder), *layers):
        # Both are how torch itself marks what it compiled: torch.compile(module), module.compile().
        if type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None:
            raise ModelError(
                f"{type(model).__name__} is compiled (torch.compile), and compiled code does not see the hooks of a "
                "cut; pass the model as it was before it was compiled"
            )
    configs: Any = getattr(model, "peft_config", None)
    for name, config in configs.items() if isinstance(configs, dict) else ():
        kind = getattr(getattr(config, "peft_type", None), "value", type(config).__name__)
        if getattr(config, "is_prompt_learning", False):
            raise ModelError(
                f"adapter {name!r} ({kind}) puts tokens of its own before the prompt, which drop does not know; use an "
                "adapter that changes weights (LoRA, IA3, ...)"
            )
        if getattr(config, "alora_invocation_tokens", None):
            raise ModelError(
                f"adapter {name!r} counts tokens from the end of the prompt (alora_invocation_tokens), which a cut "
                "makes shorter; use an adapter without it"
            )
