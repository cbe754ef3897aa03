"""Sentence pairs from a file with ``source TAB target`` a line, plain or packed with gzip.

Several lines with one source are one item with several accepted answers. Quotation marks and commas mean nothing here:
it is not CSV. White space at the ends is dropped, empty lines are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.tasks.mapping import MappingTask, of_file
from taskpoint.tasks.reading import read_text
from taskpoint.tasks.scoring import normalise


def pairs(path: Path, *, instruction: str | None = None) -> MappingTask:
    """The task of one file; its sub-task has the name of the file without ``.tsv`` and ``.gz``.

    Args:
        path: The file.
        instruction: The line that describes the task, for prompts with an instruction.

    Raises:
        DataError: The file cannot be read, or a line is malformed (with its number).
    """
    name = path.name.removesuffix(".gz").removesuffix(".tsv")
    return of_file("pairs", path, name, instruction, ((source, (target,)) for source, target in read_pairs(path)))


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Source and target of every line.

    Raises:
        DataError: The file cannot be read, or a line is malformed (with its number).
    """
    text = read_text(path)
    # Not splitlines(): it would also break a line at U+2028, U+0085 or a form feed within a sentence.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        cells = [normalise(cell) for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            raise DataError(
                f"{str(path)!r}, line {number}: found {len([cell for cell in cells if cell])} texts in {len(cells)} "
                "columns, expected source TAB target"
            )
        yield cells[0], cells[1]
