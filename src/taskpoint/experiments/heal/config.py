"""The settings of a `heal` run, and what its folder says beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from taskpoint.asking.condition import Condition
from taskpoint.configuration import Configuration, Option, optional, setting
from taskpoint.errors import SettingError
from taskpoint.experiments.subjects import ModelAndTask
from taskpoint.settings import flag, from_to, number_above, shown, text, wholes

MOST_SEEDS = 1_000
"""Repetitions at most: each trains an adapter for every cut again."""


class Layers(StrEnum):
    """Which layers have an adapter."""

    all = "all"
    below = "below"
    above = "above"


def _after(name: str, value: Any) -> tuple[int, ...] | str | None:
    if value is None or value == "all":
        return value  # type: ignore[no-any-return]
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise SettingError(f"{name} is {shown(value)}; expected 'all' or a list of layers")
    return wholes(name, value, 0)


def _typed_after(after: str | None) -> tuple[int, ...] | str | None:
    if after is None or after == "all":
        return after
    try:
        return tuple(int(part) for part in after.split(","))
    except ValueError:
        raise SettingError(f"--after is {shown(after)}; expected all, or layers such as 0,4,8") from None


def _layers(name: str, value: Any) -> str:
    try:
        return Layers(value).value
    except ValueError:
        raise SettingError(f"{name} is {shown(value)}; expected {', '.join(Layers)}") from None


@dataclass(frozen=True)
class HealConfig(Configuration):
    """Everything that decides the rows of a run beside model and task."""

    after: tuple[int, ...] | Literal["all"] | None = setting(
        None,
        "Cuts r to heal, such as 0,4,8, or all. (default: six from 0 on, evenly spread)",
        _after,
        options={"after": Option(str | None)},
        read=_typed_after,
        words=lambda cuts: [] if cuts is None else ["--after", cuts if cuts == "all" else ",".join(map(str, cuts))],
    )
    shots: int = setting(5, "Examples in the prompt.", from_to(1))
    seeds: int = setting(2, "Repetitions: examples, training prompts and first adapter anew.", from_to(1, MOST_SEEDS))
    items: int = setting(100, "Test items at most; none of them is trained on.", from_to(1))
    training: int = setting(1000, "Training prompts at most.", from_to(1))
    template: str | None = setting(None, "Prompt template. (default: the task's)", optional(text))
    hide: str = setting("examples", "What is hidden: examples, instruction,examples, ...", text)
    instruction: bool = setting(False, "Prompts with an instruction.", flag)
    fresh: bool = setting(False, "New examples for each test item.", flag)
    steps: int = setting(150, "Training steps for each adapter.", from_to(1, 1_000_000))
    batch: int = setting(32, "Training prompts in a step.", from_to(1))
    lr: float = setting(1e-2, "Peak of the learning rate.", number_above(0.0, 1.0))
    rank: int = setting(8, "Rank of the adapters.", from_to(1))
    alpha: float = setting(16.0, "Their scale: alpha / rank.", number_above(0.0))
    layers: str = setting(
        "all",
        "Layers with an adapter: all, or those below or above the cut.",
        _layers,
        options={"layers": Option(Layers, default=Layers.all)},
        read=lambda layers: layers.value,
        words=lambda layers: ["--layers", layers],
    )
    references: bool = setting(False, "Teach at the reference answers instead of the model's own.", flag)
    keep: float = setting(0.98, "Share of the score without a cut that is to be kept.", number_above(0.0, 1.0))
    save_adapters: bool = setting(True, "Keep the adapters in the run folder.", flag)
    batch_size: int = setting(64, "Items computed at once.", from_to(1))
    max_new_tokens: int | None = setting(None, "Longest answer. (default: by the references)", optional(from_to(1)))

    @property
    def condition(self) -> Condition:
        """What is hidden, with or without instruction; a SettingError where the two do not fit."""
        return Condition(self.hide, self.instruction)


@dataclass(frozen=True)
class HealFacts:
    """What else config.json says of a run, found and not asked for: which model, which task.

    Attributes:
        shape: sizes of the model (analysis.costs.shape.ModelShape); None for a family whose sizes are not known.
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


SUBJECT, CONFIG = ModelAndTask, HealConfig
