"""What a report of `ablate` shows, in numbers and texts: page, figure and terminal all show the same.

Shapes: N layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskpoint.analysis.effects import LayerEffects
from taskpoint.analysis.intervals import Interval


@dataclass(frozen=True, eq=False)
class AblatedView:
    """The curve of one number of shots, with or without an instruction.

    Attributes:
        effects: what every layer's attention is worth.
        failed: share of the answers that fail entirely, by layer and at last with nothing removed; None for scores
            that do not tell that from a wrong answer. [N + 1]
        language: share of the answers in the language that was asked for, likewise; None where the task asks for none.
    """

    shots: int
    instruction: bool
    effects: LayerEffects
    failed: tuple[Interval, ...] | None
    language: tuple[Interval, ...] | None

    @property
    def scores(self) -> tuple[float, ...]:
        """The score without the attention of each layer."""
        return tuple(self.effects.full.mean + change.mean for change in self.effects.changes)

    @property
    def label(self) -> str:
        """What legends and sentences call it."""
        return f"{self.shots}-shot {'with' if self.instruction else 'without'} instruction"


@dataclass(frozen=True, eq=False)
class AblateView:
    """Everything that a report of `ablate` shows.

    Attributes:
        num_layers: the number of decoder layers, N.
        metric: what the scores are, e.g. "exact match".
        seeds: number of draws of examples.
        items: number of test items.
        settings: the run's settings as text, in the order to show.
        command: the command line that makes such a run again.
        versions: library -> version.
    """

    model: str
    num_layers: int
    task: str
    metric: str
    seeds: int
    items: int
    conditions: tuple[AblatedView, ...]
    settings: Mapping[str, str]
    command: str
    versions: Mapping[str, str]

    @property
    def headline(self) -> AblatedView:
        """The curve with the most examples, without an instruction where there is one: the one that `locate` cuts."""
        return max(self.conditions, key=lambda one: (one.shots, not one.instruction))
