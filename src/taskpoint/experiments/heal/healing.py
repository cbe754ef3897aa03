"""Teaches an adapter under a cut what the uncut model says.

The loss is KL(uncut || cut), the mean over answer tokens, at temperature 1 (Hinton, Vinyals and Dean 2015, section 2,
with soft targets alone).

Shapes: W answer tokens of a batch, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.engine.cut import cut_context
from taskpoint.errors import ModelError
from taskpoint.experiments.heal.config import HealConfig
from taskpoint.experiments.heal.lessons import Lesson, predicted, together
from taskpoint.models.loading import LanguageModel
from taskpoint.tasks.drawing import generator, permutation
from taskpoint.training.adapters import trained
from taskpoint.training.trainer import TrainingSettings

# Prompts of so many batches are sorted by length before they are divided: little padding, and still a random order.
_SORTED = 8

_WARMUP = 0.1
_CLIP = 1.0


@dataclass(frozen=True)
class Divergence:
    """KL(uncut || cut) in nats for each answer token: mean over the first and over the last tenth of the steps."""

    before: float
    after: float


def divergence(predicted: Float[Tensor, "W V"], wanted: Float[Tensor, "W V"]) -> Float[Tensor, ""]:
    """KL(wanted || predicted) of log-probabilities, the mean over tokens."""
    wanted = wanted.to(predicted.device)
    return torch.nn.functional.kl_div(predicted, wanted, log_target=True, reduction="batchmean")


def heal(
    lm: LanguageModel,
    end: AnswerEnd,
    lessons: Sequence[Lesson],
    cut: int,
    config: HealConfig,
    seed: int,
    told: Callable[[str], None],
) -> Divergence:
    """Trains the adapter of a model under a cut; AdamW without decay, linear warm-up and a cosine to zero.

    Args:
        lm: the model, with an adapter whose weights alone can be trained.
        end: where its answers end.
        lessons: what it is taught.
        cut: r.
        config: steps, batch, lr.
        seed: of the order of the lessons.
        told: called after each step with the divergence.

    Raises:
        ModelError: the divergence is NaN or infinite.
    """
    weights = trained(lm.model)
    schedule = TrainingSettings(
        steps=config.steps,
        lr=config.lr,
        warmup=int(_WARMUP * config.steps),
        weight_decay=0.0,
        beta2=0.999,
        clip=_CLIP,
        bfloat16=False,
        checkpoint_every=config.steps,
    )
    optimizer = torch.optim.AdamW(weights, lr=config.lr, weight_decay=0.0, betas=(0.9, schedule.beta2))
    order = _batches(lessons, config.batch, seed)
    steps = config.steps
    found: list[float] = []

    def measured() -> Float[Tensor, ""]:
        batch = together(lm, end, next(order))
        with cut_context(lm.model, cut, batch.hidden):
            loss = divergence(predicted(lm, batch), batch.wanted)
        found.append(loss.item())
        if not math.isfinite(found[-1]):
            raise ModelError(
                f"the divergence under the cut r = {cut} is {found[-1]} after {len(found) - 1} of {steps} steps; "
                "give a smaller --lr or --alpha, or load the model with dtype 'float32'"
            )
        return loss

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            measured().backward()
        torch.nn.utils.clip_grad_norm_(weights, _CLIP)
        optimizer.step()
        told(f"divergence {found[-1]:.3g}")
    with torch.no_grad():
        measured()
    few = max(1, steps // 10)
    return Divergence(sum(found[:few]) / few, sum(found[-few:]) / few)


def _batches(lessons: Sequence[Lesson], size: int, seed: int) -> Iterator[list[Lesson]]:
    """Lessons in random order, those of like length together, again and again."""
    draws = generator("heal", seed)
    while True:
        order = list(permutation(draws, len(lessons)))
        for start in range(0, len(order), size * _SORTED):
            some = sorted(order[start : start + size * _SORTED], key=lambda place: len(lessons[place].ids))
            parts = [some[first : first + size] for first in range(0, len(some), size)]
            for part in permutation(draws, len(parts)):
                yield [lessons[place] for place in parts[part]]
