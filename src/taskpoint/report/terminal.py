"""Blocks on a terminal: in colour, or as plain ASCII text in a file or pipe."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import zip_longest

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from taskpoint.report.blocks import Block, Cell, Column, Facts, Pictures, Sentence, Table
from taskpoint.report.drawings import Curves, HeatMap
from taskpoint.report.tables import curve_tables, map_table
from taskpoint.report.texts import plain

# Wide enough for any table here: a file or a pipe has no edge at which to wrap.
_UNBOUNDED = 10_000

_STYLES = {"plain": "", "headline": "bold", "aside": "dim"}


def _mark(fancy: bool) -> str:
    return "◀" if fancy else "<"


def _cell(cell: str | Cell, fancy: bool) -> Text:
    if isinstance(cell, str):
        return Text(plain(cell, fancy))
    return Text.assemble(
        (plain(cell.text, fancy), "bold green" if cell.marked else ""),
        " ",
        (plain(cell.beside, fancy), "dim"),
        (f" {_mark(fancy) if cell.marked else ' '}", "bold green"),
    )


def _table(block: Table, fancy: bool) -> RichTable:
    shown = RichTable(
        title=Text(plain(block.title, fancy), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD if fancy else box.ASCII2,
        header_style="bold",
        pad_edge=False,
        collapse_padding=block.narrow and fancy,
        safe_box=not fancy,
    )
    for column in block.columns:
        shown.add_column(
            Text(plain(column.heading, fancy)),
            justify="right" if column.right else "left",
            overflow="fold" if column.folds else "ellipsis",
            min_width=column.least,
            max_width=(column.most_on_terminal or column.most) if fancy else column.most,
        )
    for number, row in enumerate(block.rows):
        if number in block.sections:
            shown.add_section()
        shown.add_row(*(_cell(cell, fancy) for cell in row))
    return shown


def _sentence(block: Sentence, fancy: bool) -> RenderableType:
    text = Text(plain(block.text, fancy), style=_STYLES[block.tone])
    return Padding(text, (1, 0)) if block.tone == "headline" else text


def _as_text(block: Block) -> tuple[Sentence | Table, ...]:
    """The block as what a terminal can show: a drawing as its numbers, a picture as its caption."""
    match block:
        case Curves():
            return curve_tables(block)
        case HeatMap():
            return (map_table(block),)
        case Facts():
            columns = tuple(Column(heading, right=False, folds=True) for heading in ("name", "value"))
            return (Table(block.title, columns, block.facts),)
        case Pictures():
            captions = tuple((picture.caption,) for picture in block.pictures)
            return (Table(block.title, (Column("picture", right=False, folds=True),), captions),)
    return (block,)


def render(blocks: Sequence[Block], fancy: bool) -> Group:
    """The blocks as something that rich can print; not `fancy` keeps to ASCII and escapes all else."""
    texts = [text for block in blocks for text in _as_text(block)]
    parts: list[RenderableType] = []
    for text, following in zip_longest(texts, texts[1:]):
        if isinstance(text, Sentence):
            parts.append(_sentence(text, fancy))
        else:
            parts.append(_table(text, fancy))
            if text.mark:
                parts.append(Text(f"{_mark(fancy)} {plain(text.mark, fancy)}", style="dim"))
        # A headline brings its own empty lines.
        headlines = any(isinstance(it, Sentence) and it.tone == "headline" for it in (text, following))
        if following is not None and not headlines and not (isinstance(text, Table) and text.close):
            parts.append(Text(""))
    return Group(*parts)


def show(blocks: Sequence[Block], console: Console) -> None:
    """Prints blocks: in colour on a terminal, as plain ASCII text into a file or pipe."""
    if console.is_terminal and not console.is_dumb_terminal and console.encoding.lower().startswith("utf"):
        console.print(render(blocks, fancy=True))
    else:
        console.out(plain_text(blocks), highlight=False, end="")


def plain_text(blocks: Sequence[Block]) -> str:
    """Blocks as ASCII text without colours, however wide the tables are; no line ends in blanks."""
    paper = io.StringIO()
    console = Console(file=paper, width=_UNBOUNDED, force_terminal=False, color_system=None, legacy_windows=False)
    console.print(render(blocks, fancy=False))
    lines = [line.rstrip() for line in paper.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"
