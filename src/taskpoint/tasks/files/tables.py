"""The tables that come with the package: tab-separated, below the names of their columns; ``|`` parts two answers."""

from __future__ import annotations

from importlib import resources

from taskpoint.errors import DataError


def bundled_table(folder: str, name: str) -> list[dict[str, str]]:
    """The rows of ``data/FOLDER/NAME.tsv`` by column; a DataError where a cell is missing, empty or left over."""
    source = resources.files("taskpoint.tasks").joinpath("data", folder, f"{name}.tsv")
    head, *lines = source.read_text(encoding="utf-8").splitlines()
    columns = head.split("\t")
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = line.split("\t")
        if len(cells) != len(columns) or not all(cells):
            raise DataError(
                f"{name}.tsv, line {number}: {len(cells)} cells, expected {len(columns)}, none of them empty"
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def accepted(cell: str) -> tuple[str, ...]:
    """The accepted answers of a cell, the reference first."""
    return tuple(cell.split("|"))
