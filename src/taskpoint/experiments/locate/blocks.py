"""What a `locate` run found, as blocks: tables for a terminal, curves (`curves.py`) for a paper."""

from __future__ import annotations

from collections.abc import Sequence

from taskpoint.experiments.locate.curves import figure_blocks, groups
from taskpoint.experiments.locate.findings import ConditionView, LocateView, MovementView
from taskpoint.experiments.locate.wording import conclusion, gap_sentence, movement_sentence, part_word, point_words
from taskpoint.report.blocks import Block, Cell, Column, Report, Sentence, Table
from taskpoint.report.numbers import percent, score, span

# Conditions at most whose shares of the asked language stand beside their scores; with more, a line would pass 100
# columns.
_WITH_LANGUAGE = 2

# Conditions at most whose sub-tasks have a table: those of five with three numbers of shots each would fill pages.
_WITH_PARTS = 3

# Numbers of examples at most whose pairs have a table.
_WITH_PAIRS = 5


def blocks(view: LocateView) -> tuple[Block, ...]:
    """Scores by cut, the parts of the task, the controls, what a cut loses, and the conclusion."""
    moved = [block for each in view.movements for block in _movement(view, each)]
    gap = gap_sentence(view, view.conditions[0])
    told = (Sentence(gap),) if gap else ()
    return (
        *(*_scores(view), *_parts(view), _controls(view), *_gap(view), *moved, *told),
        Sentence(conclusion(view), "headline"),
    )


def _scores(view: LocateView) -> tuple[Table, ...]:
    """One table, or one for each row of the figure where it has several."""
    return tuple(
        _scores_of(view, [view.conditions[index] for index in group.members], group.title) for group in groups(view)
    )


def _scores_of(view: LocateView, conditions: Sequence[ConditionView], title: str) -> Table:
    columns = [Column("cut")]
    languages = len(view.conditions) <= _WITH_LANGUAGE
    for condition in conditions:
        columns.append(Column(condition.label, folds=True, most=22))
        if languages and condition.language is not None:
            columns.append(Column("in asked language", most=11))
    rows: list[tuple[str | Cell, ...]] = []
    for cut in view.cuts:
        cells: list[str | Cell] = [str(cut)]
        for condition in conditions:
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
        f"{view.metric} by cut (layers that still see the hidden tokens)" + (f": {title}" if title else ""),
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


def _gap(view: LocateView) -> tuple[Table, ...]:
    """What cuts below the point lose, at r = 0 and just below the point."""
    rows = []
    for condition in view.conditions:
        places = [place for place, share in enumerate(condition.gap) if share is not None]
        if not places or condition.point.zero_shot is None:
            continue
        cells = [condition.label, score(condition.point.zero_shot, view.metric)]
        for place in (places[0], places[-1]):
            loss = score(condition.point.ceiling - condition.mean[place], view.metric)
            cells += [str(condition.cuts[place]), loss, percent(condition.gap[place] or 0.0)]
        rows.append(tuple(cells))
    if not rows:
        return ()
    columns = (
        Column("condition", right=False, folds=True, least=11),
        *(Column(name, most=9) for name in ("zero-shot", *2 * ("at cut r", "loss", "by the gap"))),
    )
    return (Table("what cuts below the point lose, and how much of it zero-shot would not", columns, tuple(rows)),)


def _movement(view: LocateView, moved: MovementView) -> tuple[Block, ...]:
    said = Sentence(
        f"{moved.label}: {movement_sentence(view, moved)}"
        if len(view.movements) > 1
        else movement_sentence(view, moved)
    )
    if moved.found is None or not moved.found.pairs or len(moved.conditions) > _WITH_PAIRS:
        return (said,)
    rows = tuple(
        (
            f"{pair.fewer} and {pair.more}",
            f"{pair.difference.mean:+.0f}",
            f"{pair.difference.low:+.0f} to {pair.difference.high:+.0f}",
            percent(pair.earlier),
            percent(pair.later),
            f"{pair.p:.3f}",
        )
        for pair in moved.found.pairs
    )
    names = ("layers later", "interval", "earlier in", "later in", "p (Holm)")
    columns = (Column("examples", right=False), *(Column(name) for name in names))
    return (Table(f"points compared, in bootstrap replicates: {moved.label}", columns, rows), said)


def report_of(view: LocateView) -> Report:
    """What people see of a run."""
    return Report(f"{view.model} on {view.task}", blocks(view), figure_blocks(view))
