"""Published curves and numbers beside measured ones, whatever the experiment: both are read from its report's blocks.

Where the measured model has another number of layers than the paper's, both stand on the relative depth: a layer's
number divided by the number of layers.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from taskpoint.experiments.presets.preset import InTable, Published, PublishedCurve, PublishedNumber, Value
from taskpoint.experiments.presets.reproduce import Measured
from taskpoint.report.blocks import Block, Cell, Column, Report, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, Key, Row
from taskpoint.report.numbers import score

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

_ABSENT = "not measured"

# Inches of one panel: many stand below one another.
_HEIGHT = 1.35


@dataclass(frozen=True)
class Place:
    """A measured curve, and the panel that it stands in."""

    block: Curves
    row: Row
    curve: Curve


@dataclass(frozen=True)
class Pair:
    """A published curve and the measured one beside it, on one axis.

    Attributes:
        place: where the measured curve is from; None where none is called so.
        ours: x and y of the measured curve.
        theirs: x and value of the published one.
        named: the paper's own x, in the order of `theirs`.
    """

    name: str
    place: Place | None
    ours: tuple[tuple[float, float], ...]
    theirs: tuple[tuple[float, Value], ...]
    named: tuple[float, ...]

    def measured(self, x: float) -> float | None:
        """The measured curve at a place, on a straight line between its neighbours; None outside of what it covers."""
        places = [at for at, _ in self.ours]
        number = bisect_left(places, x - 1e-9)
        if number < len(places) and abs(places[number] - x) < 1e-9:
            return self.ours[number][1]
        if number in (0, len(places)):
            return None
        (left, low), (right, high) = self.ours[number - 1], self.ours[number]
        return low + (high - low) * (x - left) / (right - left)

    @property
    def shared(self) -> tuple[tuple[float, Value, float], ...]:
        """Where both are known: x, what is published and what is measured."""
        both = ((x, value, self.measured(x)) for x, value in self.theirs)
        return tuple((x, value, found) for x, value, found in both if found is not None)


@dataclass(frozen=True)
class Comparison:
    """A run beside what was published for it.

    Attributes:
        deep: whether the axis is the relative depth, because the numbers of layers differ.
    """

    run: Measured
    published: Published
    deep: bool
    pairs: tuple[Pair, ...]

    @property
    def metric(self) -> str:
        """What the scores are."""
        return next((pair.place.row.label for pair in self.pairs if pair.place is not None), "")

    @property
    def same(self) -> bool:
        """Whether the model is the paper's."""
        return self.run.model == self.published.model


def compared(run: Measured) -> Comparison | None:
    """A run beside its published numbers; None where there are none."""
    published = run.planned.published
    if published is None:
        return None
    deep = run.layers is not None and run.layers != published.layers
    pairs = tuple(_pair(run, published, one, deep) for one in published.curves)
    return Comparison(run, published, deep, pairs)


def _pair(run: Measured, published: Published, one: PublishedCurve, deep: bool) -> Pair:
    place = _place(run.report, one.curve)
    times = 1 / published.layers if deep else 1.0
    theirs = tuple(((x + published.shift) * times, value) for x, value in one.points.items())
    ours: tuple[tuple[float, float], ...] = ()
    if place is not None:
        each = 1 / run.layers if deep and run.layers else 1.0
        ours = tuple((x * each, y) for x, y in zip(place.curve.x, place.curve.y, strict=True))
    return Pair(one.curve, place, ours, theirs, tuple(one.points))


def _places(report: Report) -> Iterator[Place]:
    for block in report.drawn:
        if isinstance(block, Curves):
            for row in block.rows:
                for panel in row.panels:
                    for curve in panel:
                        if curve.x and not curve.dashed:
                            yield Place(block, row, curve)


def _place(report: Report, name: str) -> Place | None:
    """The measured curve of this name; what its label says after a colon does not count."""
    return next(
        (it for it in _places(report) if it.curve.label == name or it.curve.label.startswith(f"{name}: ")), None
    )


def drawing(found: Comparison) -> Curves | None:
    """A panel for each published curve, below one another on one axis; None where no curve was published."""
    if not found.pairs:
        return None
    published, layers = found.published, found.run.layers
    known = [pair for pair in found.pairs if pair.place is not None]
    ends = [x for pair in found.pairs for x in (*(x for x, _ in pair.theirs), *(x for x, _ in pair.ours))]
    margin = 0.03 * (max(ends) - min(ends))
    label = known[0].place.block.x_label if known and known[0].place else published.axis
    if found.deep:
        label = f"relative depth: layers / {layers} measured, layers / {published.layers} published"
    axis = f"; their axis: {published.axis}" if published.axis != "the same" else ""
    own = [key for pair in known if pair.place for key in pair.place.block.keys if key.sign in ("band", "bar", "ring")]
    keys = (Key("dashed curve", f"published, {published.model}{axis}"), *dict.fromkeys(own))
    return Curves(
        f"{found.run.planned.name}: published beside measured",
        tuple(_row(found, pair) for pair in found.pairs),
        label,
        (min(ends) - margin, max(ends) + margin),
        ticks=(0.0, 0.25, 0.5, 0.75, 1.0) if found.deep else (),
        keys=keys,
        key_columns=1 if axis else 2,
        around=1.0 + 0.19 * (len(keys) + 1),
    )


def _row(found: Comparison, pair: Pair) -> Row:
    theirs = Curve("", 1, tuple(x for x, _ in pair.theirs), tuple(v.middle for _, v in pair.theirs), dashed=True)
    if pair.place is None:
        return Row(((theirs,),), title=f"{pair.name}: not measured", from_zero=True, height=_HEIGHT)
    each = 1 / found.run.layers if found.deep and found.run.layers else 1.0
    curve, row = pair.place.curve, pair.place.row
    ours = Curve(
        f"measured, {found.run.model}",
        0,
        tuple(x for x, _ in pair.ours),
        curve.y,
        curve.low,
        curve.high,
        None if curve.ring is None else curve.ring * each,
    )
    return Row(((ours, theirs),), row.label, pair.name, row.unit, from_zero=row.from_zero, height=_HEIGHT)


def middle(points: Sequence[tuple[float, float]]) -> float | None:
    """Where a curve crosses the middle between its ends for the last time; None where it hardly rises or falls.

    It needs no threshold of a score: a curve that rises with the depth crosses it where half of the rise is done.
    """
    ys = [y for _, y in points]
    if len(points) < 2 or abs(ys[-1] - ys[0]) <= 0.25 * max(map(abs, ys)):
        return None
    half = (ys[0] + ys[-1]) / 2
    for (left, low), (right, high) in reversed(list(pairwise(points))):
        if (low - half) * (high - half) <= 0 and low != high:
            return left + (right - left) * (half - low) / (high - low)
    return None


def numbers_table(found: Comparison) -> Table | None:
    """Every published number, and where each curve is half way, beside what was measured; None without any."""
    rows: list[tuple[str | Cell, ...]] = [_number(found, one) for one in found.published.numbers]
    for pair in found.pairs:
        theirs = middle([(x, value.middle) for x, value, _ in pair.shared])
        ours = middle([(x, value) for x, _, value in pair.shared])
        if theirs is not None:
            off = "" if ours is None else signed(ours - theirs, 2)
            told = "hardly rises or falls" if ours is None else f"{ours:.2f}"
            rows.append((f"half of the way is done at ({pair.name})", f"{theirs:.2f}", told, off))
    if not rows:
        return None
    columns = (
        Column("number", right=False, folds=True),
        *(Column(heading, folds=True) for heading in ("published", "measured", "difference")),
    )
    return Table(f"{found.run.planned.name}: numbers", columns, tuple(rows))


def _number(found: Comparison, one: PublishedNumber) -> tuple[str, str, str, str]:
    name = one.name if one.note is None else f"{one.name} ({one.note})"
    cell = None if one.table is None else _in_table(found.run.report.blocks, one.table)
    if one.value is None:
        return name, one.says or "", "" if one.table is None else cell or _ABSENT, ""
    published, layers = found.published, found.run.layers
    value, measured = one.value, _read(found, one, cell)
    if one.read == "ring":
        value = value.scaled(published.shift, 1 / published.layers if found.deep else 1.0)
        measured = measured / layers if measured is not None and found.deep and layers else measured
        name += ", as a share of the layers" if found.deep else ""
    if one.curve is None and one.table is None:
        return name, written(value), "", ""
    if measured is None:
        return name, written(value), "none" if one.read == "ring" else _ABSENT, ""
    return name, written(value), score(measured), signed(value.off(measured), 2)


def written(value: Value, metric: str = "") -> str:
    """A published value as the preset has it."""
    if value.low != value.high:
        return f"{score(value.low, metric)}-{score(value.high, metric)}"
    return f"{'~' if value.about else ''}{score(value.low, metric)}"


def _read(found: Comparison, one: PublishedNumber, cell: str | None) -> float | None:
    if one.table is not None:
        number = _NUMBER.search(cell or "")
        return None if number is None else float(number[0])
    place = None if one.curve is None else _place(found.run.report, one.curve)
    if place is None:
        return None
    ys = place.curve.y
    match one.read:
        case "first":
            return ys[0]
        case "last":
            return ys[-1]
        case "highest":
            return max(ys)
        case "lowest":
            return min(ys)
    return place.curve.ring


def _in_table(blocks: Sequence[Block], wanted: InTable) -> str | None:
    """What a cell says; None where there is none."""
    for block in blocks:
        if not isinstance(block, Table) or not block.title.startswith(wanted.title):
            continue
        at = next((n for n, column in enumerate(block.columns) if column.heading.startswith(wanted.column)), None)
        for row in block.rows if at is not None else ():
            if [_text(cell) for cell in row[: len(wanted.row)]] == wanted.row and at is not None:
                return _text(row[at])
    return None


def _text(cell: str | Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def curves_table(found: Comparison) -> Table | None:
    """Measured values at the places that were published; None where no curve was."""
    places = sorted({(x, named) for pair in found.pairs for (x, _), named in zip(pair.theirs, pair.named, strict=True)})
    if not places or not any(pair.shared for pair in found.pairs):
        return None
    rows = []
    for x, named in places:
        cells: list[str | Cell] = [f"{named:g}", f"{x:.2f}" if found.deep else f"{x:g}"]
        for pair in found.pairs:
            value, ours = dict(pair.theirs).get(x), pair.measured(x)
            if value is None:
                cells.append("")
            elif ours is None:
                cells.append(Cell("", written(value, found.metric)))
            else:
                beside = f"{written(value, found.metric)} {signed(value.off(ours), 1)}"
                cells.append(Cell(score(ours, found.metric), beside))
        rows.append(tuple(cells))
    columns = [Column(f"their {found.published.axis}" if found.published.axis != "the same" else "theirs")]
    columns += [Column("depth" if found.deep else "here")]
    columns += [Column(pair.name, folds=True, most=22) for pair in found.pairs]
    title = f"{found.run.planned.name}: measured, and beside it the published value and the difference"
    return Table(title, tuple(columns), tuple(rows))


def _halves(found: Comparison) -> list[str]:
    """Where the way of the curves is half done, held against where it was published: the range over the curves."""
    offs = []
    for pair in found.pairs:
        theirs = middle([(x, value.middle) for x, value, _ in pair.shared])
        ours = middle([(x, ours) for x, _, ours in pair.shared])
        if theirs is not None and ours is not None:
            offs.append((ours - theirs, pair.name))
    if not offs:
        return []
    told = [f"{_later(off, found.deep)} ({curve})" for off, curve in dict.fromkeys((min(offs), max(offs)))]
    return [f"half of the way of the curves is done {' to '.join(told)}"]


def _later(off: float, deep: bool) -> str:
    if abs(off) < 0.005:
        return "where it was published"
    unit = "of the depth" if deep else "layers"
    return f"{abs(off):.2f} {unit} {'later' if off > 0 else 'earlier'} than published"


def signed(value: float, decimals: int) -> str:
    """A difference with its sign; none where it is nothing."""
    text = f"{value:+.{decimals}f}"
    return text if float(text) else text[1:]


def outcome(found: Comparison) -> Sentence:
    """What came of a run, in one sentence."""
    name, published = found.run.planned.name, found.published
    shared = [(pair.name, x, value, ours) for pair in found.pairs for x, value, ours in pair.shared]
    said = []
    if shared and found.same and not found.run.planned.changed:
        offs = [(abs(value.off(ours)), curve, x) for curve, x, value, ours in shared]
        most, curve, x = max(offs)
        mean = sum(off for off, *_ in offs) / len(offs)
        said.append(
            f"{len(offs)} published scores are missed by {mean:.1f} on average, the most by {most:.1f} ({curve}, {x:g})"
        )
    elif not found.same:
        said.append(f"{found.run.model} is not the paper's {published.model}, so that shapes compare and scores do not")
    elif shared:
        said.append(
            "the run was made shorter or otherwise than the paper's, so that shapes compare and scores hardly do"
        )
    said += _halves(found)
    numbers = [row for row in (numbers_table(found) or Table("", (Column(""),), ())).rows if row[-1]]
    if not said and numbers:
        said.append(f"{len(numbers)} published numbers stand beside measured ones in the table")
    if not said:
        said.append(
            f"the paper gives {'words' if not published.numbers else 'few numbers'}, and no curve to hold it against"
        )
    return Sentence(f"{name}: {'; '.join(said)}.", "headline")
