"""Trains the adapters that are on a model: from the lowest of their layers on, on states that are kept below it.

B sequences, T tokens, A taught tokens of a batch, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from taskpoint.engine.some_layers import SomeLayers
from taskpoint.errors import ModelError, SettingError
from taskpoint.settings import shown, whole
from taskpoint.training.adapters import dropping_out, trained
from taskpoint.training.kept_states import KeptStates, padded

# Largest norm of the gradient: the default of the Trainer of transformers, which paper A's script leaves as it is.
_CLIP = 1.0


@dataclass(frozen=True, eq=False)
class Lesson:
    """One sequence to train on.

    Attributes:
        taught: True at the tokens that are to be predicted; never at the first. [T]

    Raises:
        SettingError: no token is taught.
    """

    ids: Int64[np.ndarray, " T"]
    taught: Bool[np.ndarray, " T"]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.taught) or not self.taught.any() or self.taught[0]:
            raise SettingError("a lesson needs one taught token or more, none of them the first")


@dataclass(frozen=True)
class AdapterTraining:
    """How an adapter is trained: AdamW, whose rate falls in a straight line to zero, as the Trainer's does.

    Attributes:
        batch: sequences in a step.
        patience: checks in a row that may pass without the loss on other sequences falling by more than `threshold`;
            the weights with the smallest one are kept. None trains all steps.
        check_every: steps between checks.
        seed: of the order of the sequences, and of what dropout leaves out.

    Raises:
        SettingError: a value out of its range.
    """

    steps: int
    batch: int = 32
    lr: float = 1e-4
    patience: int | None = None
    threshold: float = 0.01
    check_every: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "check_every", *(["patience"] if self.patience is not None else [])):
            whole(name, getattr(self, name), 1)
        whole("seed", self.seed, 0)
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise SettingError(f"lr is {shown(self.lr)}; expected a number above 0")
        if not (math.isfinite(self.threshold) and self.threshold >= 0):
            raise SettingError(f"threshold is {shown(self.threshold)}; expected 0 or more")


@dataclass(frozen=True)
class Trained:
    """How a training went.

    Attributes:
        steps: those that were made.
        loss: mean over the last tenth of them, nats per taught token.
        check: smallest loss on the other sequences; None where it was not looked at.
    """

    steps: int
    loss: float
    check: float | None


class Lessons:
    """Sequences to train on, with what is kept of them."""

    def __init__(
        self, model: nn.Module, lessons: Sequence[Lesson], pad: int, device: torch.device, most_bytes: int
    ) -> None:
        """Arguments as those of `KeptStates`; a ModelError where the model's layers are not found."""
        self._lessons, self._pad, self._device = lessons, pad, device
        self._layers, self._model = SomeLayers(model), model
        self._kept = KeptStates(self._layers, [one.ids for one in lessons], pad, device, most_bytes)

    def train(
        self,
        first: int,
        rows: Sequence[int],
        settings: AdapterTraining,
        checked: Sequence[int] = (),
        step: Callable[[str], None] = lambda note: None,
    ) -> Trained:
        """Trains the adapters that are on the model now.

        Args:
            first: the lowest layer that has one.
            rows: the sequences to train on.
            settings: how.
            checked: the sequences of the checks.
            step: called after each step with a note.

        Raises:
            ModelError: the loss is NaN or infinite, or a weight is.
        """
        self._kept.enter(first)
        weights = trained(self._model)
        optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=0.0)
        best = _Best(weights, settings)
        losses: list[float] = []
        order = batches(rows, settings.batch, settings.seed)
        with torch.random.fork_rng(_devices(weights)):
            for number in range(settings.steps):
                for group in optimizer.param_groups:
                    group["lr"] = settings.lr * (1 - number / settings.steps)
                optimizer.zero_grad(set_to_none=True)
                torch.manual_seed(_seed(settings.seed, number))
                with dropping_out(self._model):
                    loss = self._loss(first, next(order))
                losses.append(_finite(loss.item(), number, settings))
                loss.backward()
                nn.utils.clip_grad_norm_(weights, _CLIP)
                optimizer.step()
                step(f"loss {losses[-1]:.3f}")
                look = settings.patience is not None and (number + 1) % settings.check_every == 0
                if look and best.over(_finite(self._checked(first, checked, settings), number, settings)):
                    break
        best.put_back()
        if not all(bool(weight.isfinite().all()) for weight in weights):
            raise _no_number(len(losses), settings)
        tenth = losses[-max(1, len(losses) // 10) :]
        return Trained(len(losses), sum(tenth) / len(tenth), best.loss)

    def _loss(self, first: int, rows: Sequence[int], reduction: str = "mean") -> Tensor:
        """Cross entropy of the taught tokens of a batch, in nats."""
        some = [self._lessons[row] for row in rows]
        ids = padded([one.ids for one in some], self._pad)
        taught = torch.zeros(ids.shape, dtype=torch.bool)
        for place, one in enumerate(some):
            taught[place, : len(one.taught)] = torch.from_numpy(one.taught)
        hidden = self._kept.of(rows, ids.shape[1])
        # The head is paid for from where the first token is taught on.
        last = ids.shape[1] - min(int(one.taught.argmax()) for one in some) + 1
        logits = self._layers.logits(ids.to(self._device), 0 if hidden is None else first, hidden, last)
        wanted = taught[:, -last + 1 :]
        labels = ids[:, -last + 1 :][wanted].to(logits.device)
        scores = logits[:, :-1][wanted.to(logits.device)].float()
        return nn.functional.cross_entropy(scores, labels, reduction=reduction)

    @torch.no_grad()
    def _checked(self, first: int, rows: Sequence[int], settings: AdapterTraining) -> float:
        total = 0.0
        for start in range(0, len(rows), settings.batch):
            total += self._loss(first, rows[start : start + settings.batch], "sum").item()
        return total / sum(int(self._lessons[row].taught.sum()) for row in rows)


class _Best:
    """The weights with the smallest loss, and how long ago it last fell by more than a little."""

    def __init__(self, weights: Sequence[nn.Parameter], settings: AdapterTraining) -> None:
        self._weights, self._settings = weights, settings
        self._kept: list[Tensor] = []
        self._mark, self._waited = math.inf, 0
        self.loss: float | None = None

    def over(self, loss: float) -> bool:
        """Notes the loss of a check; whether to stop."""
        if self.loss is None or loss < self.loss:
            self.loss, self._kept = loss, [weight.detach().clone() for weight in self._weights]
        if loss < self._mark - self._settings.threshold:
            self._mark, self._waited = loss, 0
        else:
            self._waited += 1
        return self._settings.patience is not None and self._waited >= self._settings.patience

    @torch.no_grad()
    def put_back(self) -> None:
        """Gives the weights their values with the smallest loss, where one was looked at."""
        for weight, kept in zip(self._weights, self._kept, strict=bool(self._kept)):
            weight.copy_(kept)


def batches(rows: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """The rows of step after step without end: every epoch in an order of its own, its last batch as small as it is."""
    epoch = 0
    while True:
        order = np.random.default_rng((seed, epoch)).permutation(len(rows))
        for start in range(0, len(rows), size):
            yield [rows[place] for place in order[start : start + size]]
        epoch += 1


def steps_of(epochs: int, size: int, batch: int) -> int:
    """Steps that some epochs over so many sequences take."""
    return epochs * -(-size // batch)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _devices(weights: Sequence[Tensor]) -> list[Any]:
    return sorted({weight.device for weight in weights if weight.device.type == "cuda"}, key=str)


def _finite(loss: float, number: int, settings: AdapterTraining) -> float:
    if not math.isfinite(loss):
        raise _no_number(number, settings)
    return loss


def _no_number(number: int, settings: AdapterTraining) -> ModelError:
    return ModelError(
        f"the loss is NaN or infinite after {number} training steps; give a smaller lr than {settings.lr:g}, or load "
        "the model with dtype 'float32'"
    )
