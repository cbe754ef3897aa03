"""What a report of `locate` shows, in numbers and texts: page, figure and terminal all show the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from taskpoint.analysis.costs.savings import Saving
from taskpoint.analysis.layers import LayerValues
from taskpoint.analysis.loss import gap_share
from taskpoint.analysis.movement import Movement
from taskpoint.analysis.recognition import RecognitionPoint
from taskpoint.errors import SettingError
from taskpoint.prompts.content import Place


def _same_length(owner: str, expected: int, **columns: tuple[object, ...] | None) -> None:
    for name, column in columns.items():
        if column is not None and len(column) != expected:
            raise SettingError(f"{owner}: {name} has {len(column)} values, expected {expected}, one for each cut")


def _finite(owner: str, **columns: Iterable[float] | None) -> None:
    for name, column in columns.items():
        bad = next((value for value in column or () if not math.isfinite(value)), None)
        if bad is not None:
            raise SettingError(f"{owner}: {name} holds {bad}, expected finite numbers; leave the measure out instead")


def _shares(owner: str, **columns: tuple[float, ...] | None) -> None:
    for name, column in columns.items():
        bad = next((value for value in column or () if not 0 <= value <= 1), None)
        if bad is not None:
            raise SettingError(f"{owner}: {name} holds {bad}, expected shares from 0 to 1")


def _both_ends(owner: str, what: str, low: object, high: object) -> None:
    if (low is None) != (high is None):
        raise SettingError(f"{owner}: one end of the {what} interval is missing, expected both or none")


@dataclass(frozen=True)
class ControlScore:
    """The mean score of one control, such as "ceiling" or "zero-shot", with its interval."""

    name: str
    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _finite(f"control {self.name!r}", mean=[self.mean], low=[self.low], high=[self.high])


@dataclass(frozen=True)
class PartView:
    """The curve of one sub-task (a direction of translation, say), at the cuts of the condition that it belongs to.

    Attributes:
        name: name of the sub-task, e.g. "eng-fra".
        mean: mean score by cut; `low` and `high` are the ends of its interval.
        point: the task recognition point of this sub-task alone.
        language: share (0 to 1) of the answers in the language that was asked for, by cut; None where none is.

    Raises:
        SettingError: a column of another length than `mean`, a number that is not finite or no share.
    """

    name: str
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    point: RecognitionPoint
    language: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        owner = f"part {self.name!r}"
        columns = {"mean": self.mean, "low": self.low, "high": self.high, "language": self.language}
        _same_length(owner, len(self.mean), **columns)
        _finite(owner, **columns)
        _shares(owner, language=self.language)


@dataclass(frozen=True)
class ConditionView:
    """One curve: what is hidden, how the score moves with the cut, and what follows from it.

    Attributes:
        label: name in legends and tables, e.g. "examples hidden, no instruction".
        hide: the selector of the hidden tokens, e.g. "instruction,examples".
        instruction: whether the prompt has an instruction.
        place: where it stands.
        wording: which of the task's wordings it is.
        cuts: the measured cuts r, ascending.
        mean: mean score by cut; `low` and `high` are the ends of its interval, as for the measures below.
        controls: scores to hold the curve against.
        early_exit: score by cut r when layers r and above are skipped for every token, if measured.
        saving: what the cut at the recognition point saves, if there is a point and the model's sizes are known.
        tokens: mean length of a prompt in tokens.
        hidden: mean number of hidden tokens in a prompt.
        language: share (0 to 1) of the answers in the language that was asked for, by cut, where the task asks for one.
        parts: one curve for each sub-task where the task has several, at the same cuts; else empty.

    Raises:
        SettingError: cuts that do not ascend, a column or part that does not fit them, a number that is not finite or
            no share, one end of an interval without the other.
    """

    label: str
    hide: str
    instruction: bool
    shots: int
    cuts: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    point: RecognitionPoint
    controls: tuple[ControlScore, ...]
    early_exit: tuple[float, ...] | None
    saving: Saving | None
    tokens: int
    hidden: int
    early_exit_low: tuple[float, ...] | None = None
    early_exit_high: tuple[float, ...] | None = None
    language: tuple[float, ...] | None = None
    language_low: tuple[float, ...] | None = None
    language_high: tuple[float, ...] | None = None
    parts: tuple[PartView, ...] = ()
    place: Place = Place.first
    wording: int = 0

    def __post_init__(self) -> None:
        owner = f"condition {self.label!r}"
        if not self.cuts or list(self.cuts) != sorted(set(self.cuts)) or self.cuts[0] < 0:
            raise SettingError(f"{owner}: cuts are {self.cuts}, expected one or more, ascending, none below 0")
        shares = {
            "language": self.language,
            "language_low": self.language_low,
            "language_high": self.language_high,
        }
        columns = {
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "early_exit": self.early_exit,
            "early_exit_low": self.early_exit_low,
            "early_exit_high": self.early_exit_high,
            **shares,
        }
        _same_length(owner, len(self.cuts), **columns)
        _finite(owner, **columns)
        _shares(owner, **shares)
        _both_ends(owner, "early exit", self.early_exit_low, self.early_exit_high)
        _both_ends(owner, "language", self.language_low, self.language_high)
        if self.language is None and self.language_low is not None:
            raise SettingError(f"{owner}: an interval of the language, but no `language`, expected both or none")
        for part in self.parts:
            _same_length(f"{owner}, part {part.name!r}", len(self.cuts), mean=part.mean)

    @property
    def score_at_point(self) -> float | None:
        """Mean score at the recognition point; None where there is no point, or that cut was not measured."""
        layer = self.point.layer
        return self.mean[self.cuts.index(layer)] if layer is not None and layer in self.cuts else None

    @property
    def kept(self) -> float | None:
        """Score at the recognition point as a share of the ceiling; None without a point or a positive ceiling."""
        score = self.score_at_point
        return score / self.point.ceiling if score is not None and self.point.ceiling > 0 else None

    @property
    def gap(self) -> tuple[float | None, ...]:
        """By cut below the point, the share of the loss that zero-shot would not have (`analysis.loss`).

        None from the point on (below N where there is none), where nothing is lost, without a zero-shot control, and
        where that lacks more or less than what is hidden.
        """
        zero, end = self.point.zero_shot, self.cuts[-1] if self.point.layer is None else self.point.layer
        alike = self.hide in ("examples", "instruction,examples")
        return tuple(
            None if zero is None or not alike or cut >= end else gap_share(score, self.point.ceiling, zero)
            for cut, score in zip(self.cuts, self.mean, strict=True)
        )


@dataclass(frozen=True)
class MovementView:
    """How the recognition point of one condition goes with the number of examples.

    Attributes:
        label: name of the condition, without a number of examples.
        conditions: indices of its curves in `LocateView.conditions`, by ascending number of examples.
        found: the test over those that have a point; None where fewer than two have one.
    """

    label: str
    conditions: tuple[int, ...]
    found: Movement | None


@dataclass(frozen=True)
class AnswerView:
    """What the model answered to one test item under one condition, at every cut.

    Attributes:
        condition: index of the condition in `LocateView.conditions`; the cuts are its cuts.
        item: name of the test item.
        reference: the expected answer.
        texts: the model's answer by cut.
        scores: its score by cut.
        languages: name of the answer's language by cut, "" when unknown; None where the task asks for none.
    """

    condition: int
    item: str
    subtask: str
    query: str
    reference: str
    texts: tuple[str, ...]
    scores: tuple[float, ...]
    languages: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LocateView:
    """Everything that a report of `locate` shows; the first condition is the headline.

    Attributes:
        num_layers: the number of decoder layers, N.
        metric: what the scores are, e.g. "exact match".
        seeds: number of draws of examples.
        items: number of test items.
        answers: by item and condition; may be empty.
        settings: the run's settings as text, in the order to show.
        command: the command line that makes such a run again.
        versions: library -> version.
        movements: one for each condition that was measured with several numbers of examples.
        layers: what the first condition says of each layer; None where not every cut was measured.
    """

    model: str
    num_layers: int
    task: str
    metric: str
    template: str
    seeds: int
    items: int
    conditions: tuple[ConditionView, ...]
    answers: tuple[AnswerView, ...]
    settings: Mapping[str, str]
    command: str
    versions: Mapping[str, str]
    movements: tuple[MovementView, ...] = ()
    layers: LayerValues | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.conditions:
            raise SettingError("a report of 0 conditions was asked for, expected one or more in `conditions`")
        for condition in self.conditions:
            if condition.cuts[-1] > self.num_layers:
                raise SettingError(
                    f"condition {condition.label!r}: cut {condition.cuts[-1]} is above the model's "
                    f"{self.num_layers} layers, expected cuts from 0 to {self.num_layers}"
                )
        for answer in self.answers:
            if not 0 <= answer.condition < len(self.conditions):
                raise SettingError(
                    f"answer to item {answer.item!r}: condition {answer.condition}, "
                    f"expected an index from 0 to {len(self.conditions) - 1}"
                )
            owner = f"answer to item {answer.item!r}"
            cuts = len(self.conditions[answer.condition].cuts)
            _same_length(owner, cuts, texts=answer.texts, scores=answer.scores, languages=answer.languages)
            _finite(owner, scores=answer.scores)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Every cut that some condition measured, ascending."""
        return tuple(sorted({cut for condition in self.conditions for cut in condition.cuts}))
