"""Blocks as one self-contained web page: no network, no script, works from a mail attachment."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from taskpoint.report.blocks import Block, Picture, Pictures, Report, Table
from taskpoint.report.drawings import Curves, HeatMap
from taskpoint.report.figure import svg
from taskpoint.report.html import HOUSE, environment, joined, whole_pairs
from taskpoint.report.tables import curve_tables, map_table
from taskpoint.results.atomic import save_whole
from taskpoint.settings import place

# What matplotlib writes into an <svg> and no page may have: comments that hold the texts that are drawn, and styles
# that would reach the whole page.
_SUPERFLUOUS = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style .*?</style>", re.DOTALL)
_NAME = re.compile(r'(\bid="|href="#|url\(#)')


@dataclass(frozen=True)
class _Drawn:
    """A drawing, and its numbers for those who cannot see it."""

    drawing: Markup
    tables: tuple[Table, ...]


def _inline(block: Curves | HeatMap, number: int) -> Markup:
    """The drawing as an element of a page; its number is in all names within it, so that no two drawings share one."""
    drawing = svg(block)
    drawing = _SUPERFLUOUS.sub("", drawing[drawing.index("<svg") :])
    drawing = _NAME.sub(rf"\g<1>d{number}-", drawing)
    return Markup(drawing.replace("<svg ", f'<svg role="img" aria-labelledby="block-{number}" ', 1))


def _source(picture: Picture) -> str:
    return f"data:{picture.kind};base64,{base64.b64encode(picture.content).decode()}"


def _extra(block: Block, number: int) -> _Drawn | list[tuple[Picture, str]] | None:
    match block:
        case Curves():
            return _Drawn(_inline(block, number), curve_tables(block))
        case HeatMap():
            return _Drawn(_inline(block, number), (map_table(block),))
        case Pictures():
            return [(picture, _source(picture)) for picture in block.pictures]
    return None


def _shown(blocks: Sequence[Block]) -> list[tuple[str, Block, object]]:
    return [(type(block).__name__, block, _extra(block, number)) for number, block in enumerate(blocks, start=1)]


def page(report: Report) -> str:
    """The report as HTML; every text is escaped, and a content security policy forbids all scripts and connections."""
    template = environment(HOUSE).get_template("page.html.j2")
    css = joined(HOUSE / "house.css", HOUSE / "page.css")
    return whole_pairs(template.render(title=report.title, shown=_shown(report.blocks), css=css).lstrip())


def save_page(report: Report, path: Path | str) -> Path:
    """Writes the page, and its folder when missing; a RunFolderError where it cannot be written."""
    return save_whole(place("path", path), page(report).encode())
