"""Training of head gates on a frozen model, after Sia, Mueller and Duh 2024, version 1, sections 6.3 to 6.5.

The loss is the mean over the tokens of the answers, in nats, plus the penalty of a head times the number of heads that
are expected to be open. The penalty is thus what a head must be worth, in nats per token, to stay.

Shapes: B prompts, T tokens, L tokens of the longest answer and one before it, N layers, H heads, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.pristine import evaluating
from taskpoint.engine.calls.projections import OutputProjection
from taskpoint.engine.gates import gating
from taskpoint.errors import ModelError
from taskpoint.models.library import inputs_for, read_out
from taskpoint.prompts.batch import pad_left
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.training.hard_concrete import HardConcrete

# By how much a loss is less, as a share of itself, where it counts as better: the paper's threshold of 0.01, which says
# no more of it.
_BETTER = 0.01


@dataclass(frozen=True)
class GateTraining:
    """How gates are trained.

    Attributes:
        penalty: nats per answer token that a head must be worth, lambda.
        epochs: passes over the training prompts, at most.
        patience: epochs after which training ends where the loss on the held-out prompts, penalty included, got no
            better by a hundredth.
        lr: Adam's step (Kingma and Ba 2015, algorithm 1, with its betas 0.9 and 0.999).
        start: log alpha of every gate before training.
        seed: draws the order of batches and the noise.
    """

    penalty: float
    epochs: int
    patience: int
    lr: float
    start: float
    seed: int
    distribution: HardConcrete


@dataclass(frozen=True, eq=False)
class TrainedGates:
    """Gates after training: those of the epoch with the best loss on the held-out prompts.

    Attributes:
        values: by layer and head, without noise. [N, H]
        epochs: epochs that were done.
        loss: mean loss of the held-out prompts with them, nats per answer token, without the penalty.
    """

    values: Float[np.ndarray, "N H"]
    epochs: int
    loss: float


@dataclass(frozen=True, eq=False)
class AnswerBatch:
    """Prompts with their answers, left-padded: every answer ends in the last column.

    Attributes:
        lengths: number of tokens of each answer.
    """

    input_ids: Int[Tensor, "B T"]
    attention_mask: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]

    @classmethod
    @torch.inference_mode(mode=False)  # gradients do not go through what was made in it
    def of(cls, prompts: Sequence[SegmentedPrompt], pad_id: int, device: torch.device) -> AnswerBatch:
        """The batch of prompts whose answers are their OUTPUT segments."""
        batch = pad_left(prompts, [np.zeros(len(prompt), dtype=bool) for prompt in prompts], pad_id)
        lengths = torch.tensor([len(prompt) - prompt.prompt_length for prompt in prompts])
        return cls(batch.input_ids.to(device), batch.attention_mask.to(device), lengths.to(device))


@torch.inference_mode(mode=False)
@torch.enable_grad()
def train_gates(
    model: nn.Module,
    projections: Sequence[OutputProjection],
    training: Sequence[AnswerBatch],
    held_out: Sequence[AnswerBatch],
    settings: GateTraining,
    step: Callable[[str], None] | None = None,
) -> TrainedGates:
    """Trains a gate for every head; the model stays as it is.

    One draw of all gates serves a batch. The same arguments give the same gates on one machine.

    Args:
        model: the model; its weights get no gradients, and it has no dropout meanwhile.
        projections: of the model, from `output_projections`.
        training: batches to learn from.
        held_out: batches that say when to stop, by their loss with gates without noise, penalty included.
        settings: see there.
        step: told after each epoch, with a note.

    Raises:
        ModelError: a loss is NaN or infinite.
    """
    shape, gates = (len(projections), projections[0].heads), settings.distribution
    log_alpha = torch.full(shape, float(settings.start), requires_grad=True)
    optimizer = torch.optim.Adam([log_alpha], lr=settings.lr, betas=(0.9, 0.999))
    chance = torch.Generator().manual_seed(settings.seed)
    best = mark = math.inf
    kept, loss, waited, done = gates.expected(log_alpha).detach(), math.nan, 0, 0
    with _frozen(model):
        while done < settings.epochs and waited < settings.patience:
            for place in torch.randperm(len(training), generator=chance).tolist():
                drawn = gates.drawn(log_alpha, torch.rand(shape, generator=chance))
                total = _loss(model, projections, [training[place]], drawn)
                total = total + settings.penalty * gates.open_probability(log_alpha).sum()
                optimizer.zero_grad()
                total.backward()
                optimizer.step()
            with torch.no_grad():
                values = gates.expected(log_alpha)
                measured = float(_loss(model, projections, held_out, values))
                open_heads = float(gates.open_probability(log_alpha).sum())
            done, waited, reached = done + 1, waited + 1, measured + settings.penalty * open_heads
            if not math.isfinite(reached):
                raise ModelError(
                    f"the loss of head gates is {reached} after {done} epochs; load the model with dtype float32, or "
                    "train with a smaller lr"
                )
            if reached < best:
                best, kept, loss = reached, values.clone(), measured
            if reached < mark * (1 - _BETTER):
                mark, waited = reached, 0
            if step is not None:
                step(f"loss {measured:.3f}, {open_heads:.1f} of {log_alpha.numel()} heads open")
    return TrainedGates(kept.numpy(), done, loss)


def _loss(
    model: nn.Module, projections: Sequence[OutputProjection], batches: Sequence[AnswerBatch], gates: Tensor
) -> Tensor:
    """Mean loss of all answer tokens of some batches, in nats."""
    with gating(projections, gates):
        sums = [_sum(model, batch) for batch in batches]
    return torch.stack(sums).sum() / sum(int(batch.lengths.sum()) for batch in batches)


def _sum(model: nn.Module, batch: AnswerBatch) -> Float[Tensor, ""]:
    """Summed loss of the answers of a batch, on the CPU."""
    last = int(batch.lengths.max()) + 1
    mask = None if bool(batch.attention_mask.all()) else batch.attention_mask
    logits = read_out(model(batch.input_ids, **inputs_for(model, mask, last)))[:, -last:-1]  # [B, L - 1, V]
    targets = batch.input_ids[:, -last + 1 :].to(logits.device)  # [B, L - 1]
    place = torch.arange(last - 1, device=logits.device)
    answered = place >= last - 1 - batch.lengths.to(logits.device)[:, None]  # [B, L - 1]
    return nn.functional.cross_entropy(logits[answered].float(), targets[answered], reduction="sum").cpu()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No weight gets a gradient, and nothing is dropped; both flags of everything are put back."""
    wanted = [weight for weight in model.parameters() if weight.requires_grad]
    with evaluating(model):
        try:
            for weight in wanted:
                weight.requires_grad = False
            yield
        finally:
            for weight in wanted:
                weight.requires_grad = True
