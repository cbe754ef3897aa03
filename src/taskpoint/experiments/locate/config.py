"""The settings of a `locate` run, and what its folder says beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from taskpoint.asking.condition import GRID_CONDITIONS, PAPER_CONDITIONS, Condition, conditions
from taskpoint.configuration import Configuration, Option, optional, setting
from taskpoint.errors import SettingError
from taskpoint.experiments.subjects import ModelAndTask
from taskpoint.prompts.content import Place
from taskpoint.settings import each_from, flag, from_to, shown, text, wholes

MOST_SEEDS = 1_000
"""Draws of examples at most: intervals hardly narrow any more, and every draw costs all items again."""


class Instruction(StrEnum):
    """Whether prompts have an instruction."""

    yes = "yes"
    no = "no"
    both = "both"


def _one_or_more(name: str, value: Any) -> Any:
    if not value:
        raise SettingError(f"{name} are empty; expected at least one")
    return value


_SETS = {"--paper": PAPER_CONDITIONS, "--grid": GRID_CONDITIONS}


def _conditions(
    hide: Sequence[str] | None,
    instruction: Instruction,
    place: Place,
    wording: Sequence[int] | None,
    paper: bool,
    grid: bool,
) -> tuple[Condition, ...]:
    asked = [name for name, wanted in (("--paper", paper), ("--grid", grid)) if wanted]
    if not asked:
        flags = {Instruction.yes: (True,), Instruction.no: (False,), Instruction.both: (False, True)}[instruction]
        return conditions(hide or ["examples"], flags, place, wording or 0)
    if len(asked) > 1:
        raise SettingError("--paper and --grid were both asked for; --grid has the conditions of --paper among its own")
    if hide or wording or instruction is not Instruction.no or place is not Place.first:
        raise SettingError(
            f"{asked[0]} brings its own conditions; leave --hide, --instruction, --place and --wording out"
        )
    return _SETS[asked[0]]


def _condition_words(found: Sequence[Condition]) -> list[str]:
    for name, known in _SETS.items():
        if tuple(found) == known:
            return [name]
    words = [word for hide in dict.fromkeys(c.hide for c in found) for word in ("--hide", hide)]
    flags = list(dict.fromkeys(c.instruction for c in found))
    words += ["--instruction", "both" if len(flags) > 1 else "yes" if flags[0] else "no"]
    told = [c for c in found if c.instruction]
    words += [word for place in {c.place for c in told} - {Place.first} for word in ("--place", str(place))]
    wordings = list(dict.fromkeys(c.wording for c in told))
    return words if wordings in ([], [0]) else [*words, *(w for each in wordings for w in ("--wording", str(each)))]


def _cuts(name: str, value: Any) -> tuple[int, ...] | str:
    if isinstance(value, str) and value in ("all", "bisect"):
        return value
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise SettingError(f"{name} is {shown(value)}; expected 'all', 'bisect' or a list of layers")
    return wholes(name, value, 0)


def _typed_cuts(cuts: str) -> tuple[int, ...] | str:
    if cuts in ("all", "bisect"):
        return cuts
    try:
        return tuple(int(part) for part in cuts.split(","))
    except ValueError:
        raise SettingError(f"--cuts is {shown(cuts)}; expected all, bisect, or layers such as 0,4,8") from None


@dataclass(frozen=True)
class LocateConfig(Configuration):
    """Everything that decides the rows of a run beside model and task."""

    shots: tuple[int, ...] = setting((5,), "Examples in the prompt; one curve for each number.", each_from(0))
    seeds: int = setting(3, "Draws of examples (paper A uses up to 4).", from_to(1, MOST_SEEDS))
    # 200: enough for an interval of a few percent, quick on a laptop.
    items: int = setting(200, "Test items at most.", from_to(1))
    template: str | None = setting(None, "Prompt template. (default: the task's)", optional(text))
    conditions: tuple[Condition, ...] = setting(
        lambda: (Condition("examples", False),),
        "What is hidden, with or without instruction; one curve for each, the first is the headline.",
        _one_or_more,
        options={
            "hide": Option(
                list[str] | None, "What is hidden: examples, instruction,examples, query, ... May be repeated."
            ),
            "instruction": Option(Instruction, "Whether prompts have an instruction.", Instruction.no),
            "place": Option(Place, "Where the instruction stands.", Place.first),
            "wording": Option(
                list[int] | None, "Which wording of the instruction, from 0. May be repeated. (default: 0)"
            ),
            "paper": Option(bool, "The five conditions of paper A.", False),
            "grid": Option(
                bool, "Every condition: the paper's and more, as far as the task has wordings and examples.", False
            ),
        },
        read=_conditions,
        words=_condition_words,
    )
    cuts: tuple[int, ...] | Literal["all", "bisect"] = setting(
        "all",
        "Layers such as 0,4,8 (0 and all N are always among them), all, or bisect: only those that a bisection needs.",
        _cuts,
        options={"cuts": Option(str, "all, bisect, or layers such as 0,4,8.", "all")},
        read=_typed_cuts,
        words=lambda cuts: ["--cuts", cuts if isinstance(cuts, str) else ",".join(map(str, cuts))],
    )
    batch_size: int = setting(64, "Items computed, and written, at once.", from_to(1))
    fresh: bool = setting(False, "New examples for each item.", flag)
    max_new_tokens: int | None = setting(None, "Longest answer. (default: by the references)", optional(from_to(1)))
    controls: bool = setting(True, "Zero-shot, shuffled answers, early exit.", flag)


@dataclass(frozen=True)
class LocateFacts:
    """What else config.json says of a run, found and not asked for: which model, which task.

    Attributes:
        shape: sizes of the model (analysis.costs.shape.ModelShape); None for a family whose sizes are not known.
        metric: what scores measure, in words.
        metric_name: the metric that was asked for in place of the task's own; None for its own.
        metric_signature: signature of a score that has one.
        left_out: conditions of the grid that the task cannot be asked under, as rows would call them.
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
    left_out: tuple[str, ...] = ()


SUBJECT, CONFIG = ModelAndTask, LocateConfig
