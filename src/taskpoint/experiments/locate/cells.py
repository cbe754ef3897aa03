"""The work of `locate` in cells: what is computed at once, written at once, and skipped when a run continues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from taskpoint.asking.condition import EARLY_EXIT, SHUFFLED, ZERO_SHOT, Condition
from taskpoint.results.rows import cell_key
from taskpoint.tasks.base import Item


@dataclass(frozen=True)
class Cell:
    """Some items under one setting.

    Attributes:
        kind: "cut" for a point of the curve, otherwise the control.
        condition: what is hidden; for controls only the instruction counts.
        shots: examples in the prompt.
        seed: draw of the examples.
        part: which batch of items, from 0.
        cuts: the cuts to measure, ascending.
    """

    kind: Literal["cut", "zero-shot", "shuffled answers", "early exit"]
    condition: Condition
    shots: int
    seed: int
    part: int
    items: tuple[Item, ...]
    cuts: tuple[int, ...]

    @property
    def name(self) -> str:
        """The condition or control as rows call it."""
        return self.condition.name if self.kind == "cut" else self.condition.control(self.kind)

    @property
    def key(self) -> str:
        """What its part of the rows is called in a run folder."""
        cuts = ",".join(map(str, self.cuts))
        return f"{cell_key(self.name, self.shots, self.seed, self.part)} cuts={cuts}"


@dataclass(frozen=True)
class Grid:
    """Everything that one run of `locate` measures, apart from the cuts that a bisection chooses on its way.

    Attributes:
        conditions: what is hidden; the first is the headline.
        shots: examples in the prompt.
        seeds: number of draws of examples, 0 ... seeds - 1.
        blocks: the test items in batches.
        layers: number of layers of the model, N.
        shuffled: shots for which the answers can be shuffled.
    """

    conditions: tuple[Condition, ...]
    shots: tuple[int, ...]
    seeds: int
    blocks: tuple[tuple[Item, ...], ...]
    layers: int
    shuffled: tuple[int, ...]

    def curves(self) -> Iterator[tuple[Condition, int]]:
        """Every condition with every number of shots."""
        for condition in self.conditions:
            for shots in self.shots:
                yield condition, shots

    def curve_cells(self, condition: Condition, shots: int, cuts: Sequence[int]) -> Iterator[Cell]:
        """The cells of one curve, at some cuts."""
        for seed in range(self.seeds):
            for part, items in enumerate(self.blocks):
                yield Cell("cut", condition, shots, seed, part, items, tuple(cuts))

    def control_cells(self) -> Iterator[Cell]:
        """Zero-shot, shuffled answers and early exit, once for prompts that are told alike what to do."""
        zero_shot = {one.zero_shot for one in self.conditions if one.zero_shot is not None}
        for condition in sorted(zero_shot, key=lambda one: one.name):
            for part, items in enumerate(self.blocks):
                yield Cell(ZERO_SHOT, condition, 0, 0, part, items, (self.layers,))
        for condition in {condition.telling: condition for condition in self.conditions}.values():
            for shots in self.shots:
                for seed in range(self.seeds):
                    for part, items in enumerate(self.blocks):
                        if shots in self.shuffled:
                            yield Cell(SHUFFLED, condition, shots, seed, part, items, (self.layers,))
                        yield Cell(EARLY_EXIT, condition, shots, seed, part, items, tuple(range(self.layers + 1)))
