"""What every report on a terminal shares: the look of tables, and ASCII where there is no terminal."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

# Wide enough for any table here: a file or a pipe has no edge at which to wrap.
_UNBOUNDED = 10_000


def table(title: Text, fancy: bool) -> Table:
    """An empty table in the style of the house."""
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD if fancy else box.ASCII2,
        header_style="bold",
        pad_edge=False,
        safe_box=not fancy,
    )


def show(render: Callable[[bool], Group], console: Console) -> None:
    """Show a report on a console: in colour on a terminal, as plain ASCII text in a file or pipe.

    Args:
        render: Makes the report, with lines and arrows from Unicode or, for False, in ASCII.
        console: Where to show it.
    """
    if console.is_terminal and not console.is_dumb_terminal and console.encoding.lower().startswith("utf"):
        console.print(render(True))
    else:
        console.out(plain_text(render), highlight=False, end="")


def plain_text(render: Callable[[bool], Group]) -> str:
    """A report as ASCII text without colours, however wide its tables are.

    Args:
        render: As for `show`.

    Returns:
        Lines without trailing blanks, ending in a newline.
    """
    paper = io.StringIO()
    console = Console(file=paper, width=_UNBOUNDED, force_terminal=False, color_system=None, legacy_windows=False)
    console.print(render(False))
    lines = [line.rstrip() for line in paper.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"
