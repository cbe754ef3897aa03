"""Files of queries."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskpoint.errors import DataError
from taskpoint.tasks.files.queries import Query, read_queries


def test_lines_are_objects_or_texts_and_everything_they_say_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"id": 7, "query": " été\\n", "tags": [1.5]}\n\n"dog"\n{"query": "cat"}')
    assert read_queries(file) == (
        Query(1, " été\n", {"id": 7, "query": " été\n", "tags": [1.5]}),
        Query(3, "dog", {"query": "dog"}),
        Query(4, "cat", {"query": "cat"}),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dog", "no JSON"),
        ('{"query": "a"', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"query": "a", "id": NaN}', "NaN is no JSON number"),
        ('{"query": "a", "id": 1e999}', "1e999 is too large a number"),
        ('{"query": "a", "id": %s}' % ("9" * 5_000), "a number of 5,000 digits"),
        ("7", "no query"),
        ('["dog"]', "no query"),
        ('{"question": "dog"}', "no query"),
        ('{"query": 7}', "the query is 7"),
        ('{"query": " "}', "the query is ' '"),
        ('""', "the query is ''"),
        ('"\\ud83d"', "half of a surrogate pair"),
        ('{"query": "a", "note": "\\ud83d"}', "half of a surrogate pair"),
        ('{"query": "a", "answer": "b"}', "'answer'"),
        ('{"query": "a", "id": {}}', "the id is {}"),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path: Path, line: str, expected: str) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(f'"good"\n{line}\n')
    with pytest.raises(DataError) as refused:
        read_queries(file)
    assert "line 2" in str(refused.value)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    for name in ("absent.jsonl", "empty.jsonl"):
        with pytest.raises(DataError, match=name):
            read_queries(tmp_path / name)
