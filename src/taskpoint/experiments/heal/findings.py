"""What table, figure and sentence of a `heal` run show: numbers only, no tensor and no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskpoint.analysis.intervals import Interval
from taskpoint.analysis.kept import LowestCut
from taskpoint.analysis.recognition import CurvePoint, RecognitionPoint


@dataclass(frozen=True, eq=False)
class Healed:
    """One of the two curves.

    Attributes:
        points: score by cut with its interval; the last one is N, where nothing is cut.
        lowest: the lowest cut that keeps the share of the ceiling that was asked for.
        others: the same for other shares.
        work: share of the uncut prompt's operations that are left under that cut; None where the model's sizes are not
            known.
    """

    points: tuple[CurvePoint, ...]
    lowest: LowestCut
    others: tuple[LowestCut, ...]
    work: float | None

    def at(self, cut: int) -> CurvePoint | None:
        """The score under one cut; None where it was not measured."""
        return next((point for point in self.points if point.cut == cut), None)


@dataclass(frozen=True, eq=False)
class HealView:
    """Everything that a report of `heal` shows.

    Attributes:
        metric: what the scores are, e.g. "exact match".
        hidden: what is hidden, in words.
        unhealed: the model as it is, at every cut.
        healed: with the adapter of each cut.
        uncut: by cut: the score with its adapter, but nothing cut.
        divergence: by cut: from the uncut model, in nats for each answer token, before and after training.
        lower: by how many layers healing lowers the lowest cut.
        zero_shot: the model without what is hidden; None where it has no such control.
        by_heart: the same with an adapter that was taught so.
        recognition: the recognition point of the unhealed curve.
        subtasks: number of sub-tasks among the items.
    """

    model: str
    num_layers: int
    task: str
    metric: str
    hidden: str
    shots: int
    seeds: int
    items: int
    unhealed: Healed
    healed: Healed
    uncut: tuple[CurvePoint, ...]
    divergence: Mapping[int, tuple[float, float]]
    lower: Interval
    zero_shot: Interval | None
    by_heart: Interval | None
    recognition: RecognitionPoint
    subtasks: int
    settings: Mapping[str, str]
    command: str
    versions: Mapping[str, str]

    @property
    def ceiling(self) -> float:
        """Score of the model as it is, with nothing cut."""
        return self.unhealed.lowest.ceiling

    @property
    def keep(self) -> float:
        """The share of the ceiling that is to be kept."""
        return self.unhealed.lowest.share

    @property
    def cuts(self) -> tuple[int, ...]:
        """The cuts that were healed, ascending."""
        return tuple(point.cut for point in self.healed.points[:-1])
