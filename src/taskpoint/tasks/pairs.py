"""Pairs of texts from a table: `.csv` with commas or semicolons, any other file with tabs, plain or packed with gzip.

A header names the two columns (`columns.FAMILIES`), and then others may stand beside them; a table without one has two
columns, input and output. Several records with one input are one item with several accepted answers. Every run of white
space in a text, line breaks included, becomes one space; empty records are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.tasks.files.columns import Columns, columns_of
from taskpoint.tasks.files.delimited import TAB, Record, records
from taskpoint.tasks.files.reading import check_text, file_name, read_text
from taskpoint.tasks.mapping import MappingTask, of_file
from taskpoint.tasks.scores.same_text import normalise

_NO_HEADER = Columns(0, 1, ())
_ENDINGS = (".gz", ".tsv", ".csv")


def pairs(path: Path, *, instruction: str | None = None) -> MappingTask:
    """The task of one file; its sub-task has the name of the file without ``.gz``, ``.tsv`` and ``.csv``.

    Raises:
        DataError: The file cannot be read, or a record is malformed (with its line).
    """
    name = file_name(path)
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    found = ((source, (target,)) for source, target in read_table(path))
    return of_file("pairs", path, name, instruction, found)


def read_table(path: Path) -> Iterator[tuple[str, str]]:
    """Input and output of every record of a table.

    Raises:
        DataError: The file cannot be read, or a record is malformed (with its line).
    """
    text = read_text(path)
    # Carriage returns alone end the lines that some spreadsheets write; in other files they are white space.
    text = text if "\n" in text else text.replace("\r", "\n")
    delimiter = _delimiter(path, text)
    try:
        first = _first(text, delimiter)
        try:
            columns = columns_of(first.cells)
        except DataError as error:
            raise DataError(f"line {first.line}: {error}") from None
        width = 2 if columns is None else len(columns.names)
        rows = records(text, delimiter, width)
        if columns is not None:
            next(rows)
        for record in rows:
            yield _pair(record, columns or _NO_HEADER, width, delimiter)
    except DataError as error:
        raise DataError(f"{str(path)!r}, {error}") from None


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Source and target of every line of a corpus: ``source TAB target``, no header, and no mark that quotes.

    Raises:
        DataError: The file cannot be read, or a line is malformed (with its number).
    """
    # Not splitlines(): it would also break a line at U+2028, U+0085 or a form feed within a sentence.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _pair(Record(number, line.split(TAB)), _NO_HEADER, 2, TAB)
        except DataError as error:
            raise DataError(f"{str(path)!r}, {error}") from None


def _pair(record: Record, columns: Columns, width: int, delimiter: str) -> tuple[str, str]:
    cells = record.cells
    if len(cells) == width:
        for cell in cells:
            check_text(cell, f"line {record.line}: a text")
        source, target = normalise(cells[columns.input]), normalise(cells[columns.output])
        if source and target:
            return source, target
    if columns.names and len(cells) == width:
        empty = columns.names[columns.output if source else columns.input]
        raise DataError(f"line {record.line}: the column {empty!r} is empty, expected a text")
    expected = f"the {width} of the header" if columns.names else f"source {_NAMES[delimiter]} target"
    texts = sum(bool(cell.strip()) for cell in cells)
    raise DataError(
        f"line {record.line}: found {texts} texts in {len(cells)} columns, expected {expected}{_ADVICE[delimiter]}"
    )


_NAMES = {TAB: "TAB", ",": "COMMA", ";": "SEMICOLON"}
_ADVICE = {
    TAB: "",
    ",": "; put a text with a comma in quotation marks, or begin a file of semicolons with the line input;output",
    ";": "; put a text with a semicolon in quotation marks",
}


def _first(text: str, delimiter: str) -> Record:
    return next(records(text, delimiter, strict=False), Record(1, []))


def _delimiter(path: Path, text: str) -> str:
    """A tab, unless the file is called ``.csv``; then the first of comma, semicolon and tab that the first record fits.

    An ordinary file of commas always fits: its first record has a header's names, or two cells.
    """
    if not path.name.casefold().removesuffix(".gz").endswith(".csv"):
        return TAB
    return next((each for each in (",", ";", TAB) if _fits(_first(text, each).cells)), ",")


def _fits(cells: list[str]) -> bool:
    try:
        return len(cells) == 2 or columns_of(cells) is not None
    except DataError:
        # A header that names too little, or too much; in a single cell it is a word of some text.
        return len(cells) > 1
