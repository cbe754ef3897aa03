"""What the rows of run folders say, and how a kind of row becomes a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Integral
from typing import Any

import pyarrow as pa

from taskpoint.errors import SettingError


@dataclass(frozen=True)
class Row:
    """One item under one setting, and what came of it; the order of the fields is the order of the columns.

    None stands for what was not measured, or does not exist; an empty text for what is not known.

    Attributes:
        condition: What was hidden, or which control this is ("zero-shot", "shuffled answers", "early exit", ...).
        cut: Number of layers that saw the hidden tokens.
        score: How good the answer is, in the unit of the task's metric.
        logprob: Log-probability of the reference answer, natural logarithm; None when not measured.
        rank: Worst rank of a token of the reference among the vocabulary, where the tokens before it are given; 0 =
            greedy decoding writes the reference. None when not measured.
        subtask: Part of the task that the item belongs to.
        examples: What identifies the examples of the prompt.
        counts: What the score of many answers at once is computed from (BLEU, chrF), whole numbers with a space
            between them; empty where that is the mean of their scores.
        in_language: 1.0 when that is the language asked for, else 0.0; None when the task is not about languages.

    Raises:
        SettingError: A count is negative.
    """

    model: str
    task: str
    condition: str
    shots: int
    seed: int
    cut: int
    item: str
    text: str
    score: float
    logprob: float | None = None
    rank: int | None = None
    subtask: str = ""
    query: str = ""
    reference: str = ""
    template: str = ""
    examples: str = ""
    tokens: int | None = None
    hidden: int | None = None
    revision: str | None = None
    counts: str = ""
    language: str = ""
    in_language: float | None = None

    def __post_init__(self) -> None:
        for name in ("shots", "seed", "cut", "rank", "tokens", "hidden"):
            value = getattr(self, name)
            # Other types are refused where the column's type is known, in `table`.
            if isinstance(value, Integral) and value < 0:
                raise SettingError(f"{name} of a row must be at least 0, found {value}")


_ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
_PANDAS = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}


def _named(kind: object) -> str:
    """A type as it is written, whether it was read as text or not."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


@dataclass(frozen=True)
class Layout:
    """A kind of row as a table: a dataclass whose fields are text, whole numbers or floats, or one of them or None.

    The columns of `sorted_by` tell rows apart: sorted by them, rows are in the same order whichever was computed first.
    """

    row: type[Any]
    sorted_by: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(field.name for field in fields(self.row))

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of the columns on disk."""
        return pa.schema(
            [
                pa.field(field.name, _ARROW[_named(field.type).split(" | ")[0]], nullable="None" in _named(field.type))
                for field in fields(self.row)
            ]
        )

    @property
    def dtypes(self) -> dict[str, str]:
        """Types of the columns in pandas. Missing whole numbers need its nullable type; missing floats are NaN."""
        return {
            field.name: "Int64" if field.nullable and field.type == pa.int64() else _PANDAS[field.type]
            for field in self.schema
        }

    def table(self, rows: Sequence[Any]) -> pa.Table:
        """Rows, in their order, as a table with the columns and types of `schema`.

        A row may be a mapping from column names to values; columns with a default may be left out.

        Raises:
            SettingError: A column is missing, unknown or of another type.
        """
        complete = [row if isinstance(row, self.row) else self._made(row) for row in rows]
        arrays = []
        for field in self.schema:
            values = [getattr(row, field.name) for row in complete]
            try:
                array = pa.array(values, field.type)
            except (ValueError, TypeError, OverflowError) as error:
                raise SettingError(
                    f"column {field.name} of a row needs {field.type}: {' '.join(str(error).split())}"
                ) from None
            if array.null_count and not field.nullable:
                raise SettingError(
                    f"column {field.name} of a row must not be None, found None in row {values.index(None)}"
                )
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _made(self, values: Mapping[str, object]) -> Any:
        unknown = sorted(set(values) - set(self.columns))
        if unknown:
            raise SettingError(f"a row has no column {', '.join(unknown)}; its columns are {', '.join(self.columns)}")
        try:
            return self.row(**values)
        except TypeError as error:
            raise SettingError(f"a row cannot be made: {' '.join(str(error).split())}") from None


ITEMS = Layout(Row, ("model", "task", "condition", "shots", "seed", "cut", "item"))
"""Rows of experiments that ask a model for answers."""


def cell_key(condition: str, shots: int, seed: int, part: int = 0) -> str:
    """The name of a cell: what is computed at once, written at once, and skipped at once when a run continues.

    No other cell has it. `part` tells batches of items apart, for cells that are written in several parts.
    """
    return f"{condition} shots={shots} seed={seed} part={part}"
