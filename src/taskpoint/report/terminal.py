"""The report on a terminal: one table of scores by cut, one of controls, and the conclusion."""

from __future__ import annotations

import io

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from taskpoint.report.view import LocateView
from taskpoint.report.wording import conclusion, percent, point_words, score, span

# Wide enough for any table here: a file or a pipe has no edge at which to wrap.
_UNBOUNDED = 10_000


def _plain(text: str, fancy: bool) -> str:
    """Free text without control characters (an escape sequence in a label must not reach the terminal)."""
    visible = "".join(character if character.isprintable() else "�" for character in " ".join(text.split()))
    return visible if fancy else visible.replace("�", "?").encode("ascii", "backslashreplace").decode("ascii")


def _table(title: str, fancy: bool) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if fancy else box.ASCII2,
        header_style="bold",
        pad_edge=False,
        safe_box=not fancy,
    )


def _curves(view: LocateView, fancy: bool) -> Table:
    table = _table(f"{_plain(view.metric, fancy)} by cut (layers that still see the hidden tokens)", fancy)
    table.add_column("cut", justify="right")
    for condition in view.conditions:
        table.add_column(Text(_plain(condition.label, fancy)), justify="right", overflow="fold", max_width=22)
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
        table.add_row(*cells)
    return table


def _controls(view: LocateView, fancy: bool) -> Table:
    names = list(dict.fromkeys(control.name for condition in view.conditions for control in condition.controls))
    table = _table("controls and what the cut at the point saves", fancy)
    for heading in ("condition", "point"):
        table.add_column(heading, justify="left" if heading == "condition" else "right", overflow="fold")
    for name in names:
        table.add_column(Text(_plain(name, fancy)), justify="right", overflow="fold", max_width=22)
    for heading in ("score kept", "work", "KV", "paper"):
        table.add_column(heading, justify="right")
    for condition in view.conditions:
        known = {control.name: control for control in condition.controls}
        cells = [Text(_plain(condition.label, fancy)), Text(point_words(condition))]
        for name in names:
            control = known.get(name)
            shown = f"{score(control.mean)} {span(control.low, control.high)}" if control else ""
            cells.append(Text(shown))
        saving, kept = condition.saving, condition.kept
        cells.append(Text(percent(kept) if kept is not None else ""))
        shares = (saving.work, saving.kv, saving.paper) if saving else ()
        cells.extend(Text(percent(share)) for share in shares)
        table.add_row(*cells)
    return table


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
    head = Text(_plain(conclusion(view), fancy), style="bold")
    return Group(_curves(view, fancy), note, Text(""), _controls(view, fancy), Padding(head, (1, 0)))


def show(view: LocateView, console: Console) -> None:
    """Show the report on a console: in colour on a terminal, as plain ASCII text in a file or pipe.

    Args:
        view: What to show.
        console: Where to show it.
    """
    if console.is_terminal and not console.is_dumb_terminal and console.encoding.lower().startswith("utf"):
        console.print(render(view, fancy=True))
    else:
        console.out(plain_text(view), highlight=False, end="")


def plain_text(view: LocateView) -> str:
    """The report as ASCII text without colours, however wide the tables are.

    Args:
        view: What to show.

    Returns:
        Lines without trailing blanks, ending in a newline.
    """
    paper = io.StringIO()
    console = Console(file=paper, width=_UNBOUNDED, force_terminal=False, color_system=None, legacy_windows=False)
    console.print(render(view, fancy=False))
    lines = [line.rstrip() for line in paper.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"
