"""What a preset says: a figure or table of a paper as runs, and the numbers that were published for each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, field_validator, model_validator

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

_RUN = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_ABOUT = re.compile(r"~ *([0-9.]+)")


@dataclass(frozen=True)
class Value:
    """A published number, or a range that it lies in.

    Attributes:
        about: whether it is a guess: hidden behind other curves in the picture, or "about" in the text.
    """

    low: float
    high: float
    about: bool = False

    @property
    def middle(self) -> float:
        """The number itself."""
        return (self.low + self.high) / 2

    def off(self, measured: float) -> float:
        """How far a measured number lies above it, or with a minus below; 0 within the range."""
        return measured - min(max(measured, self.low), self.high)

    def scaled(self, more: float, times: float) -> Value:
        """The same on another axis."""
        return Value((self.low + more) * times, (self.high + more) * times, self.about)


def _value(given: object) -> Value:
    if isinstance(given, str) and (about := _ABOUT.fullmatch(given)) is not None:
        try:
            return Value(float(about[1]), float(about[1]), about=True)
        except ValueError:
            pass
    ends: list[Any] = given if isinstance(given, list) and len(given) == 2 else [given, given]
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends) or ends[0] > ends[1]:
        raise ValueError("expected a number, a guess such as ~40.7, or a range such as [15, 20]")
    return Value(float(ends[0]), float(ends[1]))


Number = Annotated[Value, PlainValidator(_value)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelNamed(_Part):
    """A model as `taskpoint.load` takes it."""

    name: Text
    revision: Text | None = None
    dtype: Text | None = None


class PublishedCurve(_Part):
    """A curve of the paper.

    Attributes:
        curve: the measured curve that it stands beside: its label in the run's report, or the part before a colon.
        points: by the paper's own x.
    """

    curve: Text
    points: dict[float, Number] = Field(min_length=2)

    @field_validator("points")
    @classmethod
    def _ascending(cls, points: dict[float, Value]) -> dict[float, Value]:
        return dict(sorted(points.items()))


class InTable(_Part):
    """A cell of a table in the run's report.

    Attributes:
        title: how the table's title begins.
        row: the first cells of the row.
        column: how the heading begins.
    """

    title: str = ""
    row: list[Text] = Field(min_length=1)
    column: Text


class PublishedNumber(_Part):
    """A number of the paper, or what it says in words where it has none.

    Attributes:
        value: the number.
        says: or the words; beside them stands the whole text of the cell of `table`.
        curve: the measured curve that it is read from; as in `PublishedCurve`.
        read: what is read there: the x of its ring (the recognition point), or its y at the first, last, highest or
            lowest point.
        table: or the cell of the run's tables that holds it.
        note: what to know of it.
    """

    name: Text
    value: Number | None = None
    says: Text | None = None
    curve: Text | None = None
    read: Literal["ring", "first", "last", "highest", "lowest"] | None = None
    table: InTable | None = None
    note: Text | None = None

    @model_validator(mode="after")
    def _one_place(self) -> PublishedNumber:
        if (self.curve is None) != (self.read is None):
            raise ValueError("`curve` and `read` belong together: give both or none")
        if self.table is not None and self.curve is not None:
            raise ValueError("is read from a curve and from a table; give one of the two")
        if (self.value is None) == (self.says is None):
            raise ValueError("needs one of `value`, a number, and `says`, what the paper says in words")
        if self.says is not None and self.curve is not None:
            raise ValueError("`says` stands beside a cell of a table; words cannot be read from a curve")
        return self


class Published(_Part):
    """What a paper gives for one run.

    Attributes:
        model: whose numbers they are.
        layers: how many it has.
        axis: what the paper's x is.
        shift: what is added to it to get the x of the run.
        precision: how far a number may be off, being read from a picture.
    """

    model: Text
    layers: int = Field(ge=1, le=10_000)
    axis: Text = "the same"
    shift: float = 0.0
    precision: float = Field(0.0, ge=0)
    curves: list[PublishedCurve] = []
    numbers: list[PublishedNumber] = []


class PresetRun(_Part):
    """A run of one experiment.

    Attributes:
        data: the other options that say what it is about, such as `task` and `metric`; `{flores101}` and its like
            stand for folders that `data.py` knows.
        settings: fields of the experiment's configuration, as its config.json has them.
    """

    experiment: Text
    model: ModelNamed | None = None
    data: dict[str, Text] = {}
    settings: dict[str, Any] = {}
    published: Published | None = None


class Preset(_Part):
    """A figure or table of a paper.

    Attributes:
        shows: what the paper shows with it.
        source: where it stands, and where its numbers are from.
        cost: what it takes, roughly.
    """

    title: Text
    shows: Text
    source: Text
    cost: Text
    runs: dict[str, PresetRun] = Field(min_length=1)

    @field_validator("runs")
    @classmethod
    def _folders(cls, runs: dict[str, PresetRun]) -> dict[str, PresetRun]:
        for name in runs:
            if _RUN.fullmatch(name) is None:
                raise ValueError(f"{name[:60]!r} names a folder; expected small letters, digits, dots and dashes")
        return runs
