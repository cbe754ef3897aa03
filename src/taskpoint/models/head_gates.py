"""Gates of heads: a number for every attention head of a model, by which what the head gives is multiplied.

Shapes: N layers, H heads.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from taskpoint.errors import SettingError

if TYPE_CHECKING:
    from torch import nn

_MARK = "taskpoint_gates"


@dataclass(frozen=True, eq=False)
class HeadGates:
    """Gates with what they belong to.

    Attributes:
        values: by layer and head; 1 leaves a head as it is, 0 takes it away. [N, H]
        model: name of the model that they were found on; empty where nobody said it.
        family: its model type, likewise.

    Raises:
        SettingError: another number of axes, no gate at all, or one that is no finite number.
    """

    values: NDArray[np.float32]
    model: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.size:
            raise SettingError(f"gates have shape {list(self.values.shape)}; expected one for each layer and head")
        if not np.isfinite(self.values).all():
            raise SettingError("gates hold NaN or infinity; expected a finite number for every head, such as 0 or 1")

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the numbers; gates that compute the same have the same."""
        content = np.ascontiguousarray(self.values, dtype="<f4") + np.float32(0)  # no zero below zero
        return hashlib.sha256(f"{content.shape}".encode() + content.tobytes()).hexdigest()

    def check_fits(self, layers: int, heads: int, family: str) -> None:
        """Refuses, by a SettingError, gates of another model than one of this type with so many layers and heads."""
        own = f" of {self.model!r} (type {self.family!r})" if self.model else ""
        if self.values.shape != (layers, heads):
            raise SettingError(
                f"gates{own} are for {self.values.shape[0]} layers of {self.values.shape[1]} heads; this model (type "
                f"{family!r}) has {layers} layers of {heads}: give gates that were found on it"
            )
        if self.family and self.family != family:
            raise SettingError(f"gates{own} are not for a model of type {family!r}: give gates that were found on it")


def gates_on(model: nn.Module) -> str | None:
    """The digest of the gates that stand on a model's heads; None without any."""
    return next((vars(module)[_MARK] for module in model.modules() if _MARK in vars(module)), None)


def mark(decoder: nn.Module, digest: str) -> None:
    """Notes on a decoder that gates stand on its heads; `unmark` takes the note away."""
    object.__setattr__(decoder, _MARK, digest)


def unmark(decoder: nn.Module) -> None:
    """See `mark`."""
    object.__delattr__(decoder, _MARK)
