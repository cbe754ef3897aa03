"""The report on a terminal: one table of scores by cut, one of controls, and the conclusion."""

from __future__ import annotations

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from taskpoint.report import console as house
from taskpoint.report.console import plain, table
from taskpoint.report.view import LocateView
from taskpoint.report.wording import conclusion, percent, point_words, score, span


def _curves(view: LocateView, fancy: bool) -> Table:
    shown = table(f"{plain(view.metric, fancy)} by cut (layers that still see the hidden tokens)", fancy)
    shown.add_column("cut", justify="right")
    for condition in view.conditions:
        shown.add_column(Text(plain(condition.label, fancy)), justify="right", overflow="fold", max_width=22)
    for cut in view.cuts:
        cells: list[Text] = [Text(str(cut))]
        for condition in view.conditions:
            if cut not in condition.cuts:
                cells.append(Text(""))
                continue
            place = condition.cuts.index(cut)
            here = condition.point.layer == cut
            mark = ("◀" if fancy else "<") if here else " "
            cells.append(
                Text.assemble(
                    (score(condition.mean[place]), "bold green" if here else ""),
                    " ",
                    (span(condition.low[place], condition.high[place]), "dim"),
                    (f" {mark}", "bold green"),
                )
            )
        shown.add_row(*cells)
    return shown


def _controls(view: LocateView, fancy: bool) -> Table:
    names = list(dict.fromkeys(control.name for condition in view.conditions for control in condition.controls))
    shown = table("controls and what the cut at the point saves", fancy)
    for heading in ("condition", "point"):
        shown.add_column(heading, justify="left" if heading == "condition" else "right", overflow="fold")
    for name in names:
        shown.add_column(Text(plain(name, fancy)), justify="right", overflow="fold", max_width=22)
    for heading in ("score kept", "work", "KV", "paper"):
        shown.add_column(heading, justify="right")
    for condition in view.conditions:
        known = {control.name: control for control in condition.controls}
        cells = [Text(plain(condition.label, fancy)), Text(point_words(condition))]
        for name in names:
            control = known.get(name)
            scored = f"{score(control.mean)} {span(control.low, control.high)}" if control else ""
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
    return Group(_curves(view, fancy), note, Text(""), _controls(view, fancy), Padding(head, (1, 0)))


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
