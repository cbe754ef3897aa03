"""The training loop: next-token loss on the taught tokens, and checkpoints from which a killed run goes on bit for bit.

B sequences, T tokens, A taught tokens of the whole batch, V vocabulary.
"""

from __future__ import annotations

import errno
import math
import os
import pickle
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.models.anatomy import anatomy
from taskpoint.progress import Progress
from taskpoint.results.atomic import sync_folder
from taskpoint.settings import whole
from taskpoint.training.sequences import TrainingBatch

_MOST_STEPS = 100_000_000


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes:
        lr: Peak of the learning rate: linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017, equation 5).
        weight_decay: Decoupled decay of the matrices (Loshchilov & Hutter 2019, algorithm 2); vectors have none.
        beta2: AdamW's second moment keeps this share at each step.
        clip: Largest norm of the gradient (Pascanu et al. 2013, section 3.2).
        bfloat16: Compute in bfloat16 where autocast allows it; weights stay float32.
        optimizer: "adamw"; or "muon", which orthogonalises the updates of the layers' matrices (Jordan et al. 2024), at
            the size that AdamW's have (Liu et al. 2025, section 2.2), and leaves embeddings and vectors to AdamW.
        compiled: Compile each layer: a third faster on a CPU, after half a minute.

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
    optimizer: str = "adamw"
    compiled: bool = False

    def __post_init__(self) -> None:
        whole("steps", self.steps, 1, _MOST_STEPS)
        whole("checkpoint_every", self.checkpoint_every, 1)
        for name in ("lr", "clip"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise SettingError(f"{name} is {getattr(self, name)}; expected a number above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise SettingError(f"weight_decay is {self.weight_decay}; expected 0 or more")
        if not 0 < self.beta2 < 1:
            raise SettingError(f"beta2 is {self.beta2}; expected a number between 0 and 1")
        if self.optimizer not in ("adamw", "muon"):
            raise SettingError(f"optimizer is {self.optimizer!r}; expected 'adamw' or 'muon'")
        if self.optimizer == "muon" and not hasattr(torch.optim, "Muon"):
            raise SettingError(f"optimizer 'muon' needs torch 2.9 or later, found {torch.__version__}; take 'adamw'")
        if not 0 <= self.warmup < self.steps:
            raise SettingError(f"warmup is {self.warmup}; expected 0 to {self.steps - 1}, fewer than steps")

    def rate(self, step: int) -> float:
        """The learning rate of one step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / (self.steps - self.warmup)))


@dataclass(frozen=True)
class Training:
    """Where a training stands after its steps.

    Attributes:
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
    draw: Callable[[int], Sequence[TrainingBatch]],
    settings: TrainingSettings,
    checkpoint: Path,
    progress: Progress | None = None,
    after: Callable[[Training], None] | None = None,
) -> Training:
    """Trains a model in place, from `checkpoint` if that file exists; the last step leaves a checkpoint too.

    `draw` gives the sequences of a step, the same whenever it is asked, in parts that are computed one by one and count
    as one batch. `progress` is told after each step, with loss and accuracy as its note. `after` is called after each
    step, before a checkpoint is written: what it does may be done again by a run that was killed.

    Raises:
        RunFolderError: the checkpoint is damaged or belongs to another model.
    """
    optimizers = _optimizers(model, settings)
    done = _resume(model, optimizers, checkpoint) if checkpoint.exists() else Training(0, 0.0, math.nan, math.nan)
    model.train()
    if settings.compiled and _can_compile(model.device):
        # Lengths vary from step to step; all layers share what is compiled for one.
        for layer in anatomy(model).layers:
            layer.compile(dynamic=True)
    for step in range(done.steps, settings.steps):
        start = time.monotonic()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step)
        loss, accuracy = _step(model, [part.to(model.device) for part in draw(step)], optimizers, settings)
        done = Training(step + 1, done.seconds + time.monotonic() - start, loss, accuracy)
        if after is not None:
            after(done)
            model.train()
        if done.steps % settings.checkpoint_every == 0 or done.steps == settings.steps:
            _save(model, optimizers, done, checkpoint)
        if progress is not None:
            progress(done.steps, settings.steps, f"loss {loss:.3f}, right {accuracy:.0%}")
    model.eval()
    return done


def _can_compile(device: torch.device) -> bool:
    """Whether layers can be compiled here; on a CPU that takes a C++ compiler."""
    if device.type != "cpu" or shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"):
        return True
    warnings.warn("no C++ compiler was found, so the layers are not compiled: training takes longer", stacklevel=3)
    return False


def _optimizers(model: PreTrainedModel, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    hidden: list[nn.Parameter] = []
    if settings.optimizer == "muon":
        hidden = [weight for layer in anatomy(model).layers for weight in layer.parameters() if weight.ndim == 2]
    taken = set(map(id, hidden))
    others = [weight for weight in model.parameters() if id(weight) not in taken]
    matrices = [weight for weight in others if weight.ndim >= 2]
    vectors = [weight for weight in others if weight.ndim < 2]
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=settings.lr,
        betas=(0.9, settings.beta2),
        fused=True,
    )
    if not hidden:
        return [adamw]
    muon = torch.optim.Muon(hidden, lr=settings.lr, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [adamw, muon]


def _step(
    model: PreTrainedModel,
    parts: Sequence[TrainingBatch],
    optimizers: Sequence[torch.optim.Optimizer],
    settings: TrainingSettings,
) -> tuple[float, float]:
    """One update; gives loss and accuracy before it."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    wanted = sum(int(part.targets[:, 1:].sum()) for part in parts)
    sequences = sum(len(part.input_ids) for part in parts)
    loss = accuracy = 0.0
    for part in parts:
        one, right = _backward(model, part, wanted, settings)
        loss += one
        accuracy += right / sequences
    nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    for optimizer in optimizers:
        optimizer.step()
    return loss, accuracy


def _backward(
    model: PreTrainedModel, batch: TrainingBatch, wanted: int, settings: TrainingSettings
) -> tuple[float, float]:
    """Adds the gradients of one part; gives its share of the loss and its number of right answers."""
    # The head is paid for where a token is taught, which is less than half of the places.
    taught = batch.targets[:, 1:]
    labels = batch.input_ids[:, 1:][taught]
    with torch.autocast(model.device.type, torch.bfloat16, enabled=settings.bfloat16):
        ids = batch.input_ids[:, :-1]
        given: dict[str, Tensor] = {}
        if batch.positions is not None:
            # Without a mask the library takes a gap in positions for the start of another sequence.
            given = {"position_ids": batch.positions[:, :-1], "attention_mask": torch.ones_like(ids)}
        states = model.base_model(input_ids=ids, **given, use_cache=False).last_hidden_state
        scores = model.get_output_embeddings()(states[taught])
    loss = nn.functional.cross_entropy(scores.float(), labels, reduction="sum") / wanted
    loss.backward()
    return loss.item(), _right(scores.detach(), labels, batch)


def _right(scores: Tensor, labels: Tensor, batch: TrainingBatch) -> float:
    wrong = torch.zeros_like(batch.targets[:, 1:])
    wrong[batch.targets[:, 1:]] = scores.argmax(-1) != labels
    return len(wrong) - (wrong & batch.last[:, 1:]).any(1).float().sum().item()


def _save(model: PreTrainedModel, optimizers: Sequence[torch.optim.Optimizer], done: Training, path: Path) -> None:
    """Writes a checkpoint so that a crash at any moment leaves the old one or the new one."""
    draft = path.with_name(f"{path.name}.tmp")
    state = {"model": model.state_dict(), "optimizers": [each.state_dict() for each in optimizers], "done": vars(done)}
    try:
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, RuntimeError):  # torch tells a full disk in words of its own
            raise OSError(errno.EIO, "a checkpoint was not written whole; is the disk full?") from error
        raise
    draft.replace(path)
    sync_folder(path.parent)


def _resume(model: PreTrainedModel, optimizers: Sequence[torch.optim.Optimizer], path: Path) -> Training:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, found in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
        return Training(**state["done"])
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFolderError(
            f"checkpoint {path} cannot be continued ({reason}); delete it to begin again, or choose another out folder"
        ) from error
