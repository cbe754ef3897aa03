"""The settings of a `locate` run, and how they are read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from taskpoint.asking.condition import Condition
from taskpoint.errors import SettingError
from taskpoint.settings import flag, keep, shown, text, whole, wholes

DEFAULT_ITEMS = 200
"""Test items when the user names no number: enough for an interval of a few percent, quick on a laptop."""

MOST_SEEDS = 1_000
"""Draws of examples at most: intervals hardly narrow any more, and every draw costs all items again."""


@dataclass(frozen=True)
class LocateConfig:
    """The settings of a run; everything that decides its rows beside model and task.

    Attributes:
        shots: examples in the prompt; one curve for each number.
        seeds: number of draws of examples.
        conditions: what is hidden, with or without instruction; the first is the headline.
        cuts: "all", "bisect", or the cuts to measure (0 and N are always among them).
        items: test items at most.
        fresh: new examples for each item, instead of the same for the whole test set.
        template: name of the prompt template; None takes the task's.
        max_new_tokens: longest answer; None takes the longest reference and a little more.
        batch_size: items that are computed, and written, at once.
        controls: whether zero-shot, shuffled answers and early exit are measured too.

    Raises:
        SettingError: a value is of another type or out of range.
    """

    shots: tuple[int, ...] = (5,)
    seeds: int = 3
    conditions: tuple[Condition, ...] = (Condition("examples", False),)
    cuts: tuple[int, ...] | Literal["all", "bisect"] = "all"
    items: int = DEFAULT_ITEMS
    fresh: bool = False
    template: str | None = None
    max_new_tokens: int | None = None
    batch_size: int = 64
    controls: bool = True

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {
            "shots": wholes("shots", self.shots, 0),
            "seeds": whole("seeds", self.seeds, 1, MOST_SEEDS),
            "cuts": self.cuts if isinstance(self.cuts, str) else wholes("cuts", self.cuts, 0),
            "items": whole("items", self.items, 1),
            "batch_size": whole("batch_size", self.batch_size, 1),
            "fresh": flag("fresh", self.fresh),
            "controls": flag("controls", self.controls),
        }
        if self.max_new_tokens is not None:
            plain["max_new_tokens"] = whole("max_new_tokens", self.max_new_tokens, 1)
        if self.template is not None:
            text("template", self.template)
        if isinstance(self.cuts, str) and self.cuts not in ("all", "bisect"):
            raise SettingError(f"cuts is {shown(self.cuts)}; expected 'all', 'bisect' or a list of layers")
        if not self.conditions:
            raise SettingError("conditions are empty; expected at least one")
        keep(self, **plain)


@dataclass(frozen=True)
class LocateFacts:
    """What else config.json says of a run: which model, which task; not asked for, but found.

    Attributes:
        model: name of the model.
        revision: its revision, if it has one.
        dtype: its precision.
        attention: name of its attention.
        num_layers: its layers, N.
        shape: its sizes (analysis.shape.ModelShape); None for a family whose sizes are not known.
        task: name of the task.
        task_sha256: fingerprint of the task.
        metric: what scores measure, in words.
        metric_name: the metric that was asked for in place of the task's own; None for its own.
        metric_signature: signature of a score that has one.
    """

    model: str
    revision: str | None
    dtype: str
    attention: str
    num_layers: int
    shape: dict[str, Any] | None
    task: str
    task_sha256: str
    metric: str
    metric_name: str | None = None
    metric_signature: str | None = None
