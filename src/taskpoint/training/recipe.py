"""What the settings of all recipes have in common: checks, and what model and training loop are told."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from taskpoint.errors import SettingError
from taskpoint.models.device import usable_device
from taskpoint.settings import whole
from taskpoint.training.architecture import Architecture
from taskpoint.training.trainer import TrainingSettings


class Recipe:
    """The base of a recipe's settings, a frozen dataclass that has these fields among others."""

    steps: int
    layers: int
    width: int
    heads: int
    mlp: int
    positions: int
    vocab: int
    lr: float
    warmup_share: float
    weight_decay: float
    beta2: float
    clip: float
    bfloat16: bool
    seed: int
    device: str
    checkpoint_every: int

    # A recipe that names these has them as fields; the others train so.
    optimizer: str = "adamw"
    compiled: bool = False

    @property
    def architecture(self) -> Architecture:
        """The model's shape."""
        return Architecture(self.layers, self.width, self.heads, self.mlp, self.positions, self.vocab)

    @property
    def training(self) -> TrainingSettings:
        """What the training loop is told."""
        return TrainingSettings(
            steps=self.steps,
            lr=self.lr,
            warmup=int(self.steps * self.warmup_share),
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            clip=self.clip,
            bfloat16=self.bfloat16,
            checkpoint_every=self.checkpoint_every,
            optimizer=self.optimizer,
            compiled=self.compiled,
        )

    def deciding(self, free: tuple[str, ...]) -> dict[str, Any]:
        """The settings that decide the model: all fields but those that may differ between its processes."""
        chosen: Any = self
        return {field.name: getattr(self, field.name) for field in fields(chosen) if field.name not in free}

    def check(self, *counts: str) -> None:
        """Refuses what no recipe can use; the fields named in `counts` must be at least 1.

        Raises:
            SettingError: A value out of its range, or two that do not fit.
        """
        for name in counts:
            whole(name, getattr(self, name), 1)
        whole("seed", self.seed, 0, 2**63 - 1)
        if not 0 <= self.warmup_share < 1:
            raise SettingError(f"warmup_share is {self.warmup_share}; expected a share from 0 to below 1")
        usable_device(self.device)
        _ = self.architecture, self.training
