"""The blocks that are drawn: curves and heat maps, as plain numbers and texts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from taskpoint.errors import SettingError
from taskpoint.report.numbers import Unit
from taskpoint.report.palette import Style, step, style
from taskpoint.settings import shown

Sign = Literal["dashed curve", "dashed level", "dotted level", "band", "bar", "ring"]
Dash = Literal["solid", "dashed", "dotted"]


def _finite(owner: str, name: str, values: Iterable[float | None]) -> None:
    for value in values:
        if value is not None and not math.isfinite(value):
            raise SettingError(f"{owner}: {name} holds {shown(value)}, expected finite numbers")


def _as_many(owner: str, name: str, values: tuple[object, ...], expected: int, each: str) -> None:
    if len(values) != expected:
        raise SettingError(f"{owner}: {name} has {len(values)} values, expected {expected}, one for each {each}")


def _ascending(owner: str, name: str, ends: tuple[float, float]) -> None:
    _finite(owner, name, ends)
    if ends[0] >= ends[1]:
        raise SettingError(f"{owner}: {name} are {ends[0]} and {ends[1]}, expected the lower one first")


@dataclass(frozen=True)
class Curve:
    """One line of a panel.

    Attributes:
        label: its name in the legend; "" leaves it out there. Curves of one style and label share one entry.
        style: number of its colour and marks (palette.style).
        x: where it was measured, ascending.
        low: lower ends of the intervals of `y`.
        high: upper ends.
        ring: the one of `x` that is ringed.
        dashed: whether it is a thin dashed line without marks: what was counted, not measured.

    Raises:
        SettingError: columns of different length, numbers that are not finite, an x that does not ascend, one end of
            an interval without the other, or a ring where nothing was measured.
    """

    label: str
    style: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    ring: float | None = None
    dashed: bool = False

    def __post_init__(self) -> None:
        owner = f"curve {self.label!r}"
        for name, values in (("x", self.x), ("y", self.y), ("low", self.low), ("high", self.high)):
            if values is not None:
                _as_many(owner, name, values, len(self.x), "x")
                _finite(owner, name, values)
        if list(self.x) != sorted(set(self.x)):
            raise SettingError(f"{owner}: x is {shown(self.x)}, expected ascending numbers")
        if (self.low is None) != (self.high is None):
            raise SettingError(f"{owner}: one end of the interval is missing, expected both or none")
        if self.ring is not None and self.ring not in self.x:
            raise SettingError(f"{owner}: ring is {shown(self.ring)}, expected one of its x")


@dataclass(frozen=True)
class Level:
    """A horizontal line to hold curves against."""

    y: float
    dash: Dash = "solid"

    def __post_init__(self) -> None:
        _finite("level", "y", [self.y])


@dataclass(frozen=True)
class Row:
    """Panels side by side with one scale.

    Attributes:
        label: what the scale is; the name of a metric also settles the decimals.
        title: what the row shows, where the label does not say it.
        levels: lines in every panel.
        levels_by_panel: lines in each panel alone.
        unit: how the numbers of the scale are meant.
        height: inches.
    """

    panels: tuple[tuple[Curve, ...], ...]
    label: str = ""
    title: str = ""
    unit: Unit = ""
    levels: tuple[Level, ...] = ()
    levels_by_panel: tuple[tuple[Level, ...], ...] = ()
    from_zero: bool = False
    height: float = 2.9


@dataclass(frozen=True)
class Point:
    """One x with its interval.

    Attributes:
        style: that of the curve that it belongs to.
    """

    style: int
    x: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _finite("point", "its interval", [self.low, self.x, self.high])


@dataclass(frozen=True)
class Strip:
    """A strip below the panels with one point on each line.

    Attributes:
        label: what the points are.
        empty: what stands there where there are none.
    """

    label: str
    points: tuple[Point, ...]
    empty: str


@dataclass(frozen=True)
class Key:
    """An entry of the legend that explains a sign; curves have their own."""

    sign: Sign
    label: str


@dataclass(frozen=True)
class Curves:
    """Panels of curves over one axis.

    Attributes:
        rows: from top to bottom.
        x_label: what the axis is; the part before a colon is its name.
        heads: what stands over each column of panels, where there are several or one needs a name.
        ticks: where the axis has numbers; where it is empty, at most `most_ticks` of them are chosen.
        strip: a strip below every column of panels.
        strips: one for each column in its place.
        scale: number of steps of one colour scale that the styles of all curves are, from few to many; 0: colours of
            their own.
        second: a second axis above: its label, and by how much its numbers are higher.
        bars: whether an interval is a bar at each mark instead of a band along the curve.
        apart: how far curves with bars stand beside each other, in units of the axis: equal values would hide one
            another.
        keys: entries of the legend after those of the curves.
        key_columns: columns of the legend.
        width: inches.
        around: inches of the height for titles, texts of the axes and the legend.

    Raises:
        SettingError: no row, rows of different length, another number of heads, or ends that do not ascend.
    """

    title: str
    rows: tuple[Row, ...]
    x_label: str
    x_ends: tuple[float, float]
    heads: tuple[str, ...] = ()
    ticks: tuple[float, ...] = ()
    most_ticks: int = 14
    second: tuple[str, float] | None = None
    strip: Strip | None = None
    strips: tuple[Strip, ...] = ()
    scale: int = 0
    bars: bool = False
    apart: float = 0.0
    keys: tuple[Key, ...] = ()
    key_columns: int = 2
    width: float = 6.4
    around: float = 1.5

    @property
    def under(self) -> tuple[Strip, ...]:
        """The strips below the columns of panels, none or one for each."""
        return self.strips or (() if self.strip is None else (self.strip,) * len(self.rows[0].panels))

    def look(self, number: int) -> Style:
        """How curves and points of a style are drawn here."""
        return step(number, self.scale) if self.scale else style(number)

    def __post_init__(self) -> None:
        owner = f"curves {self.title!r}"
        if not self.rows or not self.rows[0].panels:
            raise SettingError(f"{owner} have no panel, expected one or more")
        for row in self.rows:
            told = f"row {row.label or row.title!r}"
            _as_many(owner, told, row.panels, len(self.rows[0].panels), "column")
            if row.levels_by_panel:
                _as_many(owner, f"levels of {told}", row.levels_by_panel, len(row.panels), "column")
        for name, given in (("heads", self.heads), ("strips", self.strips)):
            if given:
                _as_many(owner, name, given, len(self.rows[0].panels), "column")
        _ascending(owner, "x_ends", self.x_ends)


@dataclass(frozen=True)
class HeatMap:
    """Numbers as colours in rows and columns; where some are below zero, colours tell both sides of zero apart.

    Attributes:
        rows: names of the rows, from top to bottom.
        values: by row and column; None where nothing was measured.
        x_label: what the columns are.
        y_label: what the rows are.
        label: what the numbers are; the name of a metric also settles the decimals.
        ends: numbers of the first and the last colour; None for the least and the greatest.

    Raises:
        SettingError: no number, a row of another length, a number that is not finite, or ends that do not ascend.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    x_label: str = ""
    y_label: str = ""
    label: str = ""
    unit: Unit = ""
    ends: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        owner = f"map {self.title!r}"
        _as_many(owner, "values", self.values, len(self.rows), "row")
        for name, row in zip(self.rows, self.values, strict=True):
            _as_many(owner, f"row {name!r}", row, len(self.columns), "column")
            _finite(owner, f"row {name!r}", row)
        if not self.known:
            raise SettingError(f"{owner} holds no number, expected one or more")
        if self.ends is not None:
            _ascending(owner, "ends", self.ends)

    @property
    def known(self) -> tuple[float, ...]:
        """The numbers that were measured."""
        return tuple(value for row in self.values for value in row if value is not None)
