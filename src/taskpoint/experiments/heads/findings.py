"""What reports of `heads` show, in numbers: table, heat map and sentences all show the same.

Shapes: S seeds, N layers, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from taskpoint.analysis.intervals import Interval
from taskpoint.errors import SettingError


@dataclass(frozen=True)
class Scores:
    """What a training did to the score of prompts with so many examples.

    Attributes:
        untouched: score of the model as it is.
        gates: with the gates as they were trained, numbers from 0 to 1.
        mask: with every gate either 0 or 1.
        random: with as many other heads closed; None where no head was.
        kept: score with the mask as a share of the untouched one; None where that is 0.
        random_kept: likewise with random heads closed.
    """

    shots: int
    untouched: Interval
    gates: Interval
    mask: Interval
    random: Interval | None
    kept: Interval | None
    random_kept: Interval | None


@dataclass(frozen=True, eq=False)
class Trained:
    """The gates of one penalty and one number of training shots.

    Attributes:
        gates: as they were trained. [S, N, H]
        epochs: epochs done, by seed.
        scores: by number of test shots.
    """

    penalty: float
    train_shots: int
    gates: Float[np.ndarray, "S N H"]
    threshold: float
    epochs: tuple[int, ...]
    scores: tuple[Scores, ...]

    @property
    def open_heads(self) -> Bool[np.ndarray, "S N H"]:
        """The mask: whether each gate counts as open."""
        return np.asarray(self.gates > self.threshold)

    @property
    def removed(self) -> tuple[int, ...]:
        """Number of heads closed, by seed."""
        return tuple(int(count) for count in (~self.open_heads).sum((1, 2)))

    @property
    def own_scores(self) -> Scores:
        """The scores of prompts like those of training; of the first number of test shots where none are."""
        return next((each for each in self.scores if each.shots == self.train_shots), self.scores[0])


@dataclass(frozen=True, eq=False)
class HeadsView:
    """Everything that a report of `heads` shows; the first training is the headline.

    Attributes:
        family: type of the model.
        metric: what the scores are, e.g. "exact match".
        seeds: number of trainings for each penalty and number of training shots.
        items: number of test items.
        training: number of training items.
        epochs: epochs at most.
        settings: the run's settings as text, in the order to show.
        versions: library -> version.
    """

    model: str
    family: str
    num_layers: int
    num_heads: int
    task: str
    metric: str
    seeds: int
    items: int
    training: int
    epochs: int
    trained: tuple[Trained, ...]
    settings: Mapping[str, str]
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.trained:
            raise SettingError("a report of 0 trainings was asked for, expected one or more in `trained`")

    @property
    def all_heads(self) -> int:
        """Number of heads of the model."""
        return self.num_layers * self.num_heads

    def of(self, penalty: float | None, train_shots: int | None) -> Trained:
        """The training with these; the first where they are None. A SettingError where there is none."""
        for each in self.trained:
            if penalty in (None, each.penalty) and train_shots in (None, each.train_shots):
                return each
        known = ", ".join(f"({each.penalty:g}, {each.train_shots})" for each in self.trained)
        raise SettingError(
            f"no gates were trained with penalty {penalty} and train_shots {train_shots}; expected one of {known}"
        )
