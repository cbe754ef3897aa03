"""The settings of an `ablate` run, and what its folder says beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from taskpoint.configuration import Configuration, Option, optional, setting
from taskpoint.errors import SettingError
from taskpoint.experiments.subjects import ModelAndTask
from taskpoint.settings import each_from, flag, from_to, shown, text

MOST_SEEDS = 1_000
"""Draws of examples at most: intervals hardly narrow any more, and every draw costs all items again."""


class Instruction(StrEnum):
    """Whether prompts have an instruction."""

    yes = "yes"
    no = "no"
    both = "both"


_FLAGS = {Instruction.yes: (True,), Instruction.no: (False,), Instruction.both: (False, True)}


def _flags(name: str, value: Any) -> tuple[bool, ...]:
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    found = tuple(dict.fromkeys(listed))
    if not found or not all(isinstance(one, bool) for one in found):
        raise SettingError(f"{name} is {shown(value)}; expected True, False, or both in a list")
    return tuple(sorted(found))


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise SettingError(
            f"{name} is {shown(value)}; expected a share of the full score between 0 and 1, such as 0.05"
        )
    return float(value)


@dataclass(frozen=True)
class AblateConfig(Configuration):
    """Everything that decides the rows of a run, or what is said of them, beside model and task."""

    shots: tuple[int, ...] = setting((0, 5), "Examples in the prompt; one curve for each number.", each_from(0))
    seeds: int = setting(3, "Draws of examples.", from_to(1, MOST_SEEDS))
    items: int = setting(100, "Test items at most.", from_to(1))
    template: str | None = setting(None, "Prompt template. (default: the task's)", optional(text))
    instruction: tuple[bool, ...] = setting(
        (False, True),
        "Whether prompts have an instruction. With both, those without examples have one: nothing else names the task.",
        _flags,
        options={"instruction": Option(Instruction, default=Instruction.both)},
        read=lambda instruction: _FLAGS[instruction],
        words=lambda flags: ["--instruction", next(name for name, each in _FLAGS.items() if each == flags)],
    )
    critical: float = setting(
        0.05, "Share of the full score: a layer is critical when clearly more is lost without it.", _share
    )
    batch_size: int = setting(64, "Items computed, and written, at once.", from_to(1))
    fresh: bool = setting(False, "New examples for each item.", flag)
    max_new_tokens: int | None = setting(None, "Longest answer. (default: by the references)", optional(from_to(1)))

    @property
    def conditions(self) -> tuple[tuple[int, bool], ...]:
        """Numbers of shots, each with whether there is an instruction: one curve for each (paper A, section 5)."""
        both = len(self.instruction) > 1
        return tuple((shots, told) for shots in self.shots for told in self.instruction if told or shots or not both)


@dataclass(frozen=True)
class AblateFacts:
    """What else config.json says of a run, found and not asked for: which model, which task.

    Attributes:
        metric: what scores measure, in words.
        metric_name: the metric that was asked for in place of the task's own; None for its own.
        metric_signature: signature of a score that has one.
    """

    model: str
    revision: str | None
    dtype: str
    attention: str
    num_layers: int
    task: str
    task_sha256: str
    metric: str
    metric_name: str | None = None
    metric_signature: str | None = None


SUBJECT, CONFIG = ModelAndTask, AblateConfig
