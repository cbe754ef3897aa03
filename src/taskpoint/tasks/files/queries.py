"""Queries without answers: a JSON Lines file in which a line is ``{"query": ...}`` or a JSON text.

``"id"`` may name a query; further keys are carried along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.strict_json import parse
from taskpoint.tasks.files.reading import check_text, read_text

ANSWER = "answer"
"""The key that an answer is added under; no query may bring it."""

# Half of a surrogate pair, which an escape can write but no file can hold.
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Query:
    """One line of a file, numbered from 1.

    Attributes:
        text: What is asked, as it shall stand in the prompt.
        record: All that the line says; ``{"query": text}`` where it is a text alone.
    """

    line: int
    text: str
    record: Mapping[str, object]


def read_queries(path: Path) -> tuple[Query, ...]:
    """The queries of a file, in its order; empty lines are skipped.

    Raises:
        DataError: The file cannot be read, or a line is malformed (with its number).
    """
    found = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{str(path)!r}, line {number}"
        try:
            said = parse(line)
        except ValueError as error:
            raise DataError(
                f'{where}: no JSON ({str(error)[:160]}); expected {{"query": "..."}} or a text in quotes'
            ) from None
        record = {"query": said} if isinstance(said, str) else said
        if not isinstance(record, dict) or "query" not in record:
            raise DataError(f'{where}: no query; expected {{"query": "..."}} or a text in quotes')
        text = record["query"]
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: the query is {text!r:.40}; expected a text that says something")
        check_text(text, f"{where}: the query")
        if _HALF.search(json.dumps(record, ensure_ascii=False)):
            raise DataError(f"{where}: half of a surrogate pair, which no file can hold; mend that text")
        if ANSWER in record:
            raise DataError(f"{where}: has the key {ANSWER!r}, under which the answer shall stand; rename it")
        if isinstance(record.get("id"), dict | list):
            raise DataError(f"{where}: the id is {record['id']!r:.40}; expected a text or a number")
        found.append(Query(number, text, record))
    return tuple(found)
