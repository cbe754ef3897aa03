"""What a `locate` run found, as blocks: tables for a terminal, curves for a paper.

The figure is after Sia, Mueller and Duh 2024, experiment 1: the dashed line is the score with nothing cut, the shaded
band the interval. The lower axis is the cut r, the upper one theirs, x = r + 1. A strip below the curves shows where
each condition's recognition point lies, with its interval. Where the task asks for a language, a panel between the two
shows the share of the answers that are in it.
"""

from __future__ import annotations

from taskpoint.experiments.locate.findings import ConditionView, LocateView
from taskpoint.experiments.locate.wording import conclusion, part_word, point_words
from taskpoint.report.blocks import Block, Cell, Column, Report, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, Key, Level, Point, Row, Strip
from taskpoint.report.numbers import OF_HUNDRED, percent, score, span
from taskpoint.report.texts import short

# Conditions at most whose shares of the asked language stand beside their scores; with more, a line would pass 100
# columns.
_WITH_LANGUAGE = 2

# Conditions at most whose sub-tasks have a table: those of five with three numbers of shots each would fill pages.
_WITH_PARTS = 3

_LONGEST = 80  # characters of a label that fit the width of the figure


def blocks(view: LocateView) -> tuple[Block, ...]:
    """Scores by cut, the parts of the task, the controls, and the conclusion."""
    return (_scores(view), *_parts(view), _controls(view), Sentence(conclusion(view), "headline"))


def _scores(view: LocateView) -> Table:
    columns = [Column("cut")]
    languages = len(view.conditions) <= _WITH_LANGUAGE
    for condition in view.conditions:
        columns.append(Column(condition.label, folds=True, most=22))
        if languages and condition.language is not None:
            columns.append(Column("in asked language", most=11))
    rows: list[tuple[str | Cell, ...]] = []
    for cut in view.cuts:
        cells: list[str | Cell] = [str(cut)]
        for condition in view.conditions:
            asked = condition.language if languages else None
            if cut not in condition.cuts:
                cells += [""] * (1 if asked is None else 2)
                continue
            place = condition.cuts.index(cut)
            interval = span(condition.low[place], condition.high[place], view.metric)
            cells.append(Cell(score(condition.mean[place], view.metric), interval, condition.point.layer == cut))
            if asked is not None:
                cells.append(percent(asked[place]))
        rows.append(tuple(cells))
    return Table(
        f"{view.metric} by cut (layers that still see the hidden tokens)",
        tuple(columns),
        tuple(rows),
        mark="marks the recognition point; the numbers beside a score are its interval",
    )


def _parts(view: LocateView) -> tuple[Block, ...]:
    divided = [condition for condition in view.conditions if condition.parts]
    left = len(divided) - _WITH_PARTS
    tables = [
        _parts_of(view, condition, close=number == _WITH_PARTS and left > 0)
        for number, condition in enumerate(divided[:_WITH_PARTS], start=1)
    ]
    note = f"The parts of {left} more conditions are in the report."
    return (*tables, Sentence(note, "aside")) if left > 0 else tuple(tables)


def _parts_of(view: LocateView, condition: ConditionView, close: bool) -> Table:
    headings = ["floor", "ceiling", "zero-shot", "point"]
    asked = any(part.language is not None for part in condition.parts)
    if asked:
        headings.append("asked language at r = 0, uncut")
    rows = []
    for part in condition.parts:
        point = part.point
        zero_shot = "" if point.zero_shot is None else score(point.zero_shot, view.metric)
        cells = [part.name, score(point.floor, view.metric), score(point.ceiling, view.metric), zero_shot]
        cells.append(point_words(part))
        if asked:
            cells.append("" if part.language is None else f"{percent(part.language[0])}, {percent(part.language[-1])}")
        rows.append(tuple(cells))
    word = part_word(condition)
    columns = (Column(word, right=False, folds=True), *(Column(heading, most=16) for heading in headings))
    return Table(f"by {word}: {condition.label}", columns, tuple(rows), close=close)


def _controls(view: LocateView) -> Table:
    names = list(dict.fromkeys(control.name for condition in view.conditions for control in condition.controls))
    # Narrow gaps and least widths: on a terminal of 100 columns lines break between words, not within an interval.
    columns = (
        Column("condition", right=False, folds=True, least=11),
        Column("point", folds=True),
        *(Column(name, folds=True, least=9, most=22) for name in names),
        *(Column(heading, most_on_terminal=5) for heading in ("score kept", "work", "KV", "paper")),
    )
    rows = []
    for condition in view.conditions:
        scored = {
            control.name: f"{score(control.mean, view.metric)} {span(control.low, control.high, view.metric)}"
            for control in condition.controls
        }
        saving, kept = condition.saving, condition.kept
        shares = (kept, saving.work, saving.kv, saving.paper) if saving else (kept, None, None, None)
        cells = [condition.label, point_words(condition), *(scored.get(name, "") for name in names)]
        rows.append((*cells, *("" if share is None else percent(share) for share in shares)))
    return Table("controls and what the cut at the point saves", columns, tuple(rows), narrow=True)


def report_of(view: LocateView) -> Report:
    """What people see of a run."""
    return Report(f"{view.model} on {view.task}", blocks(view), figure_blocks(view))


def figure_blocks(view: LocateView) -> tuple[Curves]:
    """Score against the cut, one line per condition; 6.4 inches wide, the text width of most one-column papers."""
    labels = [short(condition.label, _LONGEST) for condition in view.conditions]
    columns = 2 if all(len(label) <= _LONGEST // 2 for label in labels) else 1
    spoken = any(condition.language is not None for condition in view.conditions)
    shots = any(condition.point.zero_shot is not None for condition in view.conditions)
    level = round(100 * view.conditions[0].point.level)
    margin = 0.03 * view.num_layers
    curves = Curves(
        title=f"{view.model} on {view.task}",
        rows=(_score_row(view, labels), *((_language_row(view),) if spoken else ())),
        x_label=f"cut r: layers below r see the hidden tokens, layers r to {view.num_layers - 1} do not",
        x_ends=(-margin, view.num_layers + margin),
        second=("paper's axis x = r + 1", 1.0),
        strip=_points(view),
        keys=(
            Key("dashed level", "nothing cut (ceiling)"),
            *((Key("dotted level", "no examples (zero-shot)"),) if shots else ()),
            Key("band", f"{level} % interval of the mean"),
            Key("ring", "recognition point"),
        ),
        key_columns=columns,
        around=0.95 + (0.2 if spoken else 0.0) + 0.19 * -(-(len(view.conditions) + 4) // columns),
    )
    return (curves,)


def _score_row(view: LocateView, labels: list[str]) -> Row:
    ceilings = {round(it.point.ceiling, 6) for it in view.conditions}
    zero_shots = {round(it.point.zero_shot, 6) for it in view.conditions if it.point.zero_shot is not None}
    curves = tuple(
        Curve(
            label=f"{label}: {point_words(condition)}",
            style=index,
            x=tuple(map(float, condition.cuts)),
            y=condition.mean,
            low=condition.low,
            high=condition.high,
            ring=_ring(condition),
        )
        for index, (label, condition) in enumerate(zip(labels, view.conditions, strict=True))
    )
    return Row(
        panels=(curves,),
        label=view.metric,
        levels=(
            *(Level(value, "dashed") for value in sorted(ceilings)),
            *(Level(value, "dotted") for value in sorted(zero_shots)),
        ),
        from_zero=view.metric in OF_HUNDRED,  # as the paper draws it
        height=2.9,
    )


def _ring(condition: ConditionView) -> float | None:
    layer = condition.point.layer
    return float(layer) if layer is not None and layer in condition.cuts else None


def _language_row(view: LocateView) -> Row:
    curves = tuple(
        Curve("", index, tuple(map(float, it.cuts)), it.language, it.language_low, it.language_high)
        for index, it in enumerate(view.conditions)
        if it.language is not None
    )
    return Row((curves,), title="in the asked language", unit="share", height=1.1)


def _points(view: LocateView) -> Strip:
    points = []
    for index, condition in enumerate(view.conditions):
        point = condition.point
        if point.layer is not None and point.low is not None and point.high is not None:
            points.append(Point(index, *map(float, (point.layer, point.low, point.high))))
    return Strip("point", tuple(points), "no recognition point")
