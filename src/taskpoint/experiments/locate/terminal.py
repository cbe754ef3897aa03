"""The report on a terminal: scores by cut, the parts of the task, the controls, and the conclusion."""

from __future__ import annotations

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from taskpoint.experiments.locate.findings import ConditionView, ControlScore, LocateView
from taskpoint.experiments.locate.wording import conclusion, part_word, point_words
from taskpoint.report import console as house
from taskpoint.report.console import plain, table
from taskpoint.report.numbers import percent, score, span

# Shares of the asked language stand beside the scores of so many conditions; with more, a line would pass 100 columns.
_WITH_LANGUAGE = 2

# Tables of the parts of the task: one for each of so many conditions; five with three numbers of shots fill pages.
_WITH_PARTS = 3


def _curves(view: LocateView, fancy: bool) -> Table:
    shown = table(f"{plain(view.metric, fancy)} by cut (layers that still see the hidden tokens)", fancy)
    shown.add_column("cut", justify="right")
    languages = len(view.conditions) <= _WITH_LANGUAGE
    for condition in view.conditions:
        shown.add_column(Text(plain(condition.label, fancy)), justify="right", overflow="fold", max_width=22)
        if languages and condition.language is not None:
            shown.add_column("in asked language", justify="right", max_width=11)
    for cut in view.cuts:
        cells: list[Text] = [Text(str(cut))]
        for condition in view.conditions:
            asked = condition.language if languages else None
            if cut not in condition.cuts:
                cells += [Text("")] * (1 if asked is None else 2)
                continue
            place = condition.cuts.index(cut)
            here = condition.point.layer == cut
            mark = ("◀" if fancy else "<") if here else " "
            cells.append(
                Text.assemble(
                    (score(condition.mean[place], view.metric), "bold green" if here else ""),
                    " ",
                    (span(condition.low[place], condition.high[place], view.metric), "dim"),
                    (f" {mark}", "bold green"),
                )
            )
            if asked is not None:
                cells.append(Text(percent(asked[place])))
        shown.add_row(*cells)
    return shown


def _parts(view: LocateView, condition: ConditionView, fancy: bool) -> Table:
    shown = table(f"by {part_word(condition)}: {plain(condition.label, fancy)}", fancy)
    shown.add_column(part_word(condition), overflow="fold")
    columns = ["floor", "ceiling", "zero-shot", "point"]
    asked = any(part.language is not None for part in condition.parts)
    for heading in [*columns, "asked language at r = 0, uncut"] if asked else columns:
        shown.add_column(heading, justify="right", max_width=16)
    for part in condition.parts:
        point = part.point
        zero_shot = "" if point.zero_shot is None else score(point.zero_shot, view.metric)
        cells = [plain(part.name, fancy), score(point.floor, view.metric), score(point.ceiling, view.metric), zero_shot]
        cells.append(point_words(part))
        if part.language is not None:
            cells.append(f"{percent(part.language[0])}, {percent(part.language[-1])}")
        shown.add_row(*map(Text, cells))
    return shown


def _scored(control: ControlScore, metric: str) -> str:
    return f"{score(control.mean, metric)} {span(control.low, control.high, metric)}"


def _controls(view: LocateView, fancy: bool) -> Table:
    names = list(dict.fromkeys(control.name for condition in view.conditions for control in condition.controls))
    shown = table("controls and what the cut at the point saves", fancy)
    # Narrow gaps and least widths: on a terminal of 100 columns lines break between words, not within an interval.
    shown.collapse_padding = fancy
    shown.add_column("condition", overflow="fold", min_width=11)
    shown.add_column("point", justify="right", overflow="fold")
    for name in names:
        shown.add_column(Text(plain(name, fancy)), justify="right", overflow="fold", min_width=9, max_width=22)
    for heading in ("score kept", "work", "KV", "paper"):
        shown.add_column(heading, justify="right", max_width=5 if fancy else None)
    for condition in view.conditions:
        known = {control.name: control for control in condition.controls}
        cells = [Text(plain(condition.label, fancy)), Text(point_words(condition))]
        for name in names:
            control = known.get(name)
            scored = _scored(control, view.metric) if control else ""
            cells.append(Text(scored))
        saving, kept = condition.saving, condition.kept
        cells.append(Text(percent(kept) if kept is not None else ""))
        shares = (saving.work, saving.kv, saving.paper) if saving else ()
        cells.extend(Text(percent(share)) for share in shares)
        shown.add_row(*cells)
    return shown


def render(view: LocateView, *, fancy: bool) -> Group:
    """Tables and conclusion as something that rich can print.

    Args:
        view: What to show.
        fancy: Lines, arrows and dashes from Unicode; False keeps to ASCII, texts of others escaped.

    Returns:
        A rich renderable.
    """
    mark = "◀" if fancy else "<"
    note = Text(f"{mark} marks the recognition point; the numbers beside a score are its interval", style="dim")
    head = Text(plain(conclusion(view), fancy), style="bold")
    divided = [condition for condition in view.conditions if condition.parts]
    parts = [piece for it in divided[:_WITH_PARTS] for piece in (_parts(view, it, fancy), Text(""))]
    if len(divided) > _WITH_PARTS:
        parts[-1] = Text(f"The parts of {len(divided) - _WITH_PARTS} more conditions are in the report.\n", style="dim")
    return Group(_curves(view, fancy), note, Text(""), *parts, _controls(view, fancy), Padding(head, (1, 0)))


def show(view: LocateView, console: Console) -> None:
    """Show the report on a console: in colour on a terminal, as plain ASCII text in a file or pipe.

    Args:
        view: What to show.
        console: Where to show it.
    """
    house.show(lambda fancy: render(view, fancy=fancy), console)


def plain_text(view: LocateView) -> str:
    """The report as ASCII text without colours, however wide the tables are.

    Args:
        view: What to show.

    Returns:
        Lines without trailing blanks, ending in a newline.
    """
    return house.plain_text(lambda fancy: render(view, fancy=fancy))
