"""The records of a table in a text: CSV as Python's csv module and spreadsheets write it, and lines of tabs.

A field is quoted when it begins and ends with a quotation mark and every mark inside is doubled; delimiters and line
breaks inside it belong to its text. In a file of commas or semicolons, a field that begins with a mark must be quoted.
Files of tabs are often plain sentences, where a mark may open one field and close another lines below: there a quoted
field holds a tab or a line break only if the lines that it spans are not, every one, whole records as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from taskpoint.errors import DataError

TAB = "\t"


class Record(NamedTuple):
    """The number of the line that a record begins at, from 1, and what its fields mean, without their quotes."""

    line: int
    cells: list[str]


def records(text: str, delimiter: str, columns: int | None = None, *, strict: bool = True) -> Iterator[Record]:
    """Every record in which some cell says something.

    Args:
        text: The table; its lines end with a line feed, a carriage return before it or not.
        delimiter: A comma, a semicolon or a tab.
        columns: Cells of a record; without it a file of tabs has a record on every line.
        strict: Whether a field of commas or semicolons that is quoted badly is refused; else it is text.

    Raises:
        DataError: A field begins with a quotation mark that does not quote it (with its line).
    """
    start, number = 0, 1
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].removesuffix("\r")
        if '"' not in line:
            cells = line.split(delimiter)
        elif delimiter == TAB:
            cells, end = _of_tabs(text, start, line, end, columns)
        else:
            cells, end, stray = _scan(text, start, delimiter)
            if stray is not None and strict:
                found = number + text.count("\n", start, stray)
                raise DataError(
                    f"line {found}: a quotation mark opens the field {text[stray : stray + 20]!r} and none closes it; "
                    'put the whole text in quotation marks, and write "" for one inside it'
                )
        if any(map(str.strip, cells)):
            yield Record(number, cells)
        number += text.count("\n", start, end) + 1
        start = end + 1


def _of_tabs(text: str, start: int, line: str, end: int, columns: int | None) -> tuple[list[str], int]:
    """Cells and end of the record that begins at ``start`` with a line that ends at ``end``."""
    plain = [_unquoted(cell) for cell in line.split(TAB)]
    if columns is None:
        return plain, end
    quoted, stop, _ = _scan(text, start, TAB)
    spanned = (line for line in text[start:stop].split("\n") if line.strip())
    whole = all(line.count(TAB) + 1 == columns for line in spanned)
    return (plain, end) if whole or len(quoted) != columns else (quoted, stop)


def _scan(text: str, start: int, delimiter: str) -> tuple[list[str], int, int | None]:
    """Cells of one record with quoted fields, the end of it, and the place of a field that a lone mark opens."""
    quoted_field, ending = _patterns(delimiter)
    cells: list[str] = []
    place, stray = start, None
    while True:
        if quoted := quoted_field.match(text, place):
            cells.append(_meant(quoted))
            stop = quoted.end()
        else:
            found = ending.search(text, place)
            stop = len(text) if found is None else found.start()
            cell = text[place:stop]
            cells.append(cell if text[stop : stop + 1] == delimiter else cell.removesuffix("\r"))
            if stray is None and cell.lstrip(" ").startswith('"'):
                stray = place
        if text[stop : stop + 1] != delimiter:
            return cells, stop, stray
        place = stop + 1


@cache
def _patterns(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A quoted field, and what ends any other."""
    # Possessive repeats (*+): a mark without partner costs one look ahead to the next mark, however long the file is.
    quoted = rf' *+"((?:[^"]|"")*+)"[ \r]*+(?=[{delimiter}\n]|\Z)'
    return re.compile(quoted), re.compile(rf"[{delimiter}\n]")


def _unquoted(cell: str) -> str:
    found = _patterns(TAB)[0].fullmatch(cell)
    return cell if found is None else _meant(found)


def _meant(quoted: re.Match[str]) -> str:
    return quoted[1].replace('""', '"')
