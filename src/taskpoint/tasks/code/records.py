"""The records of a file of problems: JSON Lines, or one JSON list; whatever is wrong with one is one line."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskpoint.errors import DataError
from taskpoint.settings import shown
from taskpoint.strict_json import parse
from taskpoint.tasks.files.reading import check_text, read_text

_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Record:
    """One problem as its file has it; `where` says for messages in which line it stands."""

    where: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field that is a text, with the line ends that Python has."""
        value = self._given(name)
        if not isinstance(value, str):
            raise self.wrong(f"{name!r} is {shown(value)}; expected a text")
        return self._plain(name, value)

    def texts(self, name: str) -> list[str]:
        """A field that is a list of texts."""
        value = self._given(name)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(f"{name!r} is {shown(value)}; expected a list of texts")
        return [self._plain(name, each) for each in value]

    def number(self, name: str) -> int:
        """A field that is a whole number from 1."""
        value = self._given(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(f"{name!r} is {shown(value)}; expected a whole number from 1")
        return value

    def wrong(self, what: str) -> DataError:
        """The error that something is wrong with it."""
        return DataError(f"{self.where}: {what}")

    def _plain(self, name: str, text: str) -> str:
        check_text(text, f"{self.where}: {name!r}")
        if _HALF.search(text):
            raise self.wrong(f"{name!r} holds half a surrogate pair, which is no text; give the file as published")
        return text.replace("\r\n", "\n")

    def _given(self, name: str) -> Any:
        if name not in self.fields:
            raise self.wrong(f"no field {name!r}; it has {shown(', '.join(self.fields))}; give the file as published")
        return self.fields[name]

    def tree(self, source: str, what: str) -> ast.Module:
        """The syntax tree of a program of the file."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self.wrong(f"{what} is no Python ({str(error)[:100]}); give the file as published") from None


def records(path: Path) -> Iterator[Record]:
    """The records of a file, at least one.

    Raises:
        DataError: It cannot be read, is no JSON, or a record is no object.
    """
    text = read_text(path)
    if text.lstrip().startswith("["):
        try:
            listed = parse(text)
        except ValueError as error:
            raise DataError(f"{str(path)!r}: no JSON ({str(error)[:160]}); give the file as published") from None
        found = [(f"{str(path)!r}, record {number}", value) for number, value in enumerate(listed, start=1)]
    else:
        found = list(_lines(path, text))
    if not found:
        raise DataError(f"{str(path)!r} holds no problem; expected at least one")
    for where, value in found:
        if not isinstance(value, dict):
            raise DataError(f"{where}: {shown(value)} is no JSON object; expected one for each problem")
        yield Record(where, value)


def _lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{str(path)!r}, line {number}"
        try:
            yield where, parse(line)
        except ValueError as error:
            raise DataError(f"{where}: no JSON ({str(error)[:160]}); expected one JSON object on every line") from None
