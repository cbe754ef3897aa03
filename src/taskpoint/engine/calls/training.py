"""What training through a cut needs: no dropout, and no label that a token must predict which is not there.

Shapes: B batch, L tokens of one forward call, T tokens of the prompt.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.eager import hooked_eagerly
from taskpoint.engine.plan import CutPlan
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import PreTrainedModel, accepts, cache_in, named_arguments, replays_calls, tested_range
from taskpoint.models.wrapping import modules_down_to

# The label that every loss of the library leaves out (torch.nn.functional.cross_entropy, ignore_index).
_IGNORED = -100


@contextmanager
def trainable(model: nn.Module, parts: Anatomy, plan: CutPlan) -> Iterator[None]:
    """Watches over losses and random numbers of everything the model does inside the block.

    A label counts towards the loss where both its token and the one before it, which predicts it, are there above the
    cut; the others are left out, as if they were -100.

    Raises:
        PlanError: a layer in training mode draws random numbers, or would run again in backward without the cut.
    """
    watch = _DropoutWatch(parts)
    with ExitStack() as stack:
        stack.enter_context(hooked_eagerly(parts.decoder, before=watch.begin, after=watch.end))
        for head in modules_down_to(model, parts.decoder):
            if isinstance(head, PreTrainedModel) and accepts(head, "labels"):
                stack.enter_context(hooked_eagerly(head, before=_Labels(head, plan).leave_out))
        yield


class _DropoutWatch:
    """Finds dropout by what it does, whether a module, a number in an attention class or an entry of the config."""

    def __init__(self, parts: Anatomy) -> None:
        self._parts = parts
        self._before = threading.local()

    def begin(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.is_grad_enabled() and any(map(replays_calls, self._parts.layers)):
            raise PlanError(
                "gradient checkpointing runs layers again in backward, where nothing is cut; call "
                f"model.gradient_checkpointing_disable(), or install transformers 5.23 or later ({tested_range()})"
            )
        self._before.states = self._random_states() if self._training() else None

    def end(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        before, self._before.states = self._before.states, None
        if before is None or output is None:  # the call failed
            return
        if all(torch.equal(a, b) for a, b in zip(before, self._random_states(), strict=True)):
            return
        raise PlanError(
            "the model is in training mode and draws random numbers (dropout), so that nothing it computes can be "
            "equal under a cut; call model.eval(), or set its dropout to 0"
        )

    def _training(self) -> bool:
        return self._parts.decoder.training or any(layer.training for layer in self._parts.layers)

    def _random_states(self) -> list[Tensor]:
        devices = {p.device for p in self._parts.decoder.parameters()} - {torch.device("meta"), torch.device("cpu")}
        others = [torch.get_device_module(device).get_rng_state(device) for device in sorted(devices, key=str)]
        return [torch.get_rng_state(), *others]


class _Labels:
    """The labels of one language-model head."""

    def __init__(self, head: PreTrainedModel, plan: CutPlan) -> None:
        self._plan = plan
        # A causal head predicts the next token, a token classifier the token itself.
        self._next = bool(head.can_generate())

    def leave_out(
        self, head: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The hook: labels that the cut leaves undefined become the label that losses leave out."""
        given = named_arguments(head, args, kwargs)
        changed = {}
        for name in ("labels", "shift_labels"):
            labels = given.get(name)
            if isinstance(labels, Tensor) and labels.ndim == 2 and not labels.is_floating_point():
                changed[name] = self._left_out(labels, given, shifted=name == "shift_labels")
        return ((), given | changed) if changed else None

    def _left_out(self, labels: Tensor, given: dict[str, Any], shifted: bool) -> Tensor:
        batch, length = labels.shape  # [B, L]
        cache, mask = cache_in(given), given.get("attention_mask")
        past = cache.get_seq_length() if cache is not None else 0
        gone = self._plan.hidden(past, length, batch).to(labels.device)
        if isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] >= past + length:
            gone = gone | ~mask[:, past : past + length].bool().to(labels.device)
        if shifted:  # every label stands at the token that predicts it
            gone = gone | torch.nn.functional.pad(gone[:, 1:], (0, 1))
        elif self._next:
            gone = gone | torch.nn.functional.pad(gone[:, :-1], (1, 0))
        return labels.masked_fill(gone, _IGNORED)
