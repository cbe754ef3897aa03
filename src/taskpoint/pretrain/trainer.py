"""The training loop: next-token loss on the taught tokens, and checkpoints from which a killed run goes on bit for bit.

B sequences, T tokens, A taught tokens of the whole batch, V vocabulary.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.pretrain.data import TrainingBatch

Progress = Callable[[int, int, float, float], None]
"""Called after each step with: steps done, steps in all, loss (nats per taught token), accuracy of the last answers."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes:
        steps: Optimiser steps.
        lr: Peak of the learning rate: linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017, equation 5).
        warmup: Steps of the warm-up.
        weight_decay: Decoupled decay of the matrices (Loshchilov & Hutter 2019, algorithm 2); vectors have none.
        beta2: AdamW's second moment keeps this share at each step.
        clip: Largest norm of the gradient (Pascanu et al. 2013, section 3.2).
        bfloat16: Compute in bfloat16 where autocast allows it; weights stay float32.
        checkpoint_every: Steps between checkpoints.

    Raises:
        SettingError: a value out of its range.
    """

    steps: int
    lr: float
    warmup: int
    weight_decay: float
    beta2: float
    clip: float
    bfloat16: bool
    checkpoint_every: int

    def __post_init__(self) -> None:
        for name in ("steps", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("lr", "clip"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise SettingError(f"{name} is {getattr(self, name)}; expected a number above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise SettingError(f"weight_decay is {self.weight_decay}; expected 0 or more")
        if not 0 < self.beta2 < 1:
            raise SettingError(f"beta2 is {self.beta2}; expected a number between 0 and 1")
        if not 0 <= self.warmup < self.steps:
            raise SettingError(f"warmup is {self.warmup}; expected 0 to {self.steps - 1}, fewer than steps")

    def rate(self, step: int) -> float:
        """The learning rate of one step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / (self.steps - self.warmup)))


@dataclass(frozen=True)
class Training:
    """Where a training stands.

    Attributes:
        steps: Steps done.
        seconds: Time spent in them, over all the processes that did them.
        loss: Loss of the last step, nats per taught token.
        accuracy: Share of the sequences of the last step whose last answer was right, each token given those before.
    """

    steps: int
    seconds: float
    loss: float
    accuracy: float


def train(
    model: PreTrainedModel,
    draw: Callable[[int], TrainingBatch],
    settings: TrainingSettings,
    checkpoint: Path,
    progress: Progress | None = None,
) -> Training:
    """Train a model in place, from `checkpoint` if that file exists; the last step leaves a checkpoint too.

    Args:
        model: A causal decoder on the device where it shall be trained.
        draw: Gives the batch of a step, the same whenever it is asked.
        settings: How to train.
        checkpoint: The file that is written and continued from.
        progress: Called after each step.

    Raises:
        RunFolderError: the checkpoint is damaged or belongs to another model.
    """
    optimizer = _optimizer(model, settings)
    done = _resume(model, optimizer, checkpoint) if checkpoint.exists() else Training(0, 0.0, math.nan, math.nan)
    model.train()
    for step in range(done.steps, settings.steps):
        start = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        loss, accuracy = _step(model, draw(step).to(model.device), optimizer, settings)
        done = Training(step + 1, done.seconds + time.monotonic() - start, loss, accuracy)
        if done.steps % settings.checkpoint_every == 0 or done.steps == settings.steps:
            _save(model, optimizer, done, checkpoint)
        if progress is not None:
            progress(done.steps, settings.steps, loss, accuracy)
    model.eval()
    return done


def _optimizer(model: PreTrainedModel, settings: TrainingSettings) -> torch.optim.AdamW:
    matrices = [weight for weight in model.parameters() if weight.ndim >= 2]
    vectors = [weight for weight in model.parameters() if weight.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=settings.lr,
        betas=(0.9, settings.beta2),
        fused=True,
    )


def _step(
    model: PreTrainedModel, batch: TrainingBatch, optimizer: torch.optim.AdamW, settings: TrainingSettings
) -> tuple[float, float]:
    """One update; gives loss and accuracy before it."""
    # The head is paid for where a token is taught, which is less than half of the places.
    taught = batch.targets[:, 1:]
    wanted = batch.input_ids[:, 1:][taught]
    with torch.autocast(model.device.type, torch.bfloat16, enabled=settings.bfloat16):
        states = model.base_model(input_ids=batch.input_ids[:, :-1], use_cache=False).last_hidden_state
        scores = model.get_output_embeddings()(states[taught])
    loss = nn.functional.cross_entropy(scores.float(), wanted)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    return loss.item(), _accuracy(scores.detach(), wanted, batch)


def _accuracy(scores: Tensor, wanted: Tensor, batch: TrainingBatch) -> float:
    wrong = torch.zeros_like(batch.targets[:, 1:])
    wrong[batch.targets[:, 1:]] = scores.argmax(-1) != wanted
    return 1.0 - (wrong & batch.last[:, 1:]).any(1).float().mean().item()


def _save(model: PreTrainedModel, optimizer: torch.optim.AdamW, done: Training, path: Path) -> None:
    """Write a checkpoint so that a crash at any moment leaves the old one or the new one."""
    draft = path.with_name(f"{path.name}.tmp")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": vars(done)}
    with draft.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _resume(model: PreTrainedModel, optimizer: torch.optim.AdamW, path: Path) -> Training:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return Training(**state["done"])
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFolderError(
            f"checkpoint {path} cannot be continued ({reason}); delete it to begin again, or choose another out folder"
        ) from error
