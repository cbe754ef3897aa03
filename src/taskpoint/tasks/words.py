"""Word tasks from a JSON file: ``[{"input": ..., "output": ...}, ...]`` or ``{input: output, ...}``.

This is the format of the tasks of Todd et al., "Function Vectors in Large Language Models" (2024). An output is a text
or a list of accepted texts; several records with one input are one item with several accepted answers. White space at
the ends is dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.strict_json import once
from taskpoint.tasks.files.reading import check_text, file_name, read_text
from taskpoint.tasks.mapping import MappingTask, Pair, of_file
from taskpoint.tasks.scores.same_text import normalise

# Half of a surrogate pair, which an escape can write but no file can hold.
_HALF = re.compile("[\ud800-\udfff]")


def words(path: Path, *, instruction: str | None = None) -> MappingTask:
    """The task of one file; its sub-task has the name of the file without ``.json``.

    Raises:
        DataError: The file cannot be read, or a record is malformed (with its line).
    """
    text = read_text(path)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        where, what = (error.lineno, error.msg) if isinstance(error, json.JSONDecodeError) else (1, str(error))
        raise DataError(
            f"{str(path)!r}, line {where}: {what}; expected JSON, "
            'a list of {"input": ..., "output": ...} or an object of inputs and outputs'
        ) from None
    if not isinstance(whole, list | dict):
        raise DataError(f"{str(path)!r}, line 1: found {_kind(whole)}, expected a list or an object of records")
    found = _listed(text, path) if isinstance(whole, list) else _mapped(text, path)
    return of_file("words", path, file_name(path).removesuffix(".json"), instruction, found)


def _values(text: str, path: Path) -> Iterator[tuple[int, object]]:
    """The values one level down (of an object: key, value, key, ...), each with its line.

    ``json.loads`` would lose the lines, and all but the last of equal keys. The text is known to be sound JSON, so what
    stands between two values need not be looked at.
    """
    decoder = json.JSONDecoder(object_pairs_hook=once)
    place = _skip(text, _skip(text, 0) + 1)
    line, counted = 1, 0
    while text[place] not in "]}":
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError as error:
            raise DataError(f"{str(path)!r}, line {line}: {error}") from None
        yield line, value
        place = _skip(text, place)


def _skip(text: str, place: int) -> int:
    while text[place] in " \t\r\n,:":
        place += 1
    return place


def _listed(text: str, path: Path) -> Iterator[Pair]:
    for line, record in _values(text, path):
        if not isinstance(record, dict) or set(record) != {"input", "output"}:
            shown = f"keys {sorted(record)}" if isinstance(record, dict) else _kind(record)
            raise DataError(f"{str(path)!r}, line {line}: found {shown}, expected a record with 'input' and 'output'")
        yield _pair(record["input"], record["output"], path, line)


def _mapped(text: str, path: Path) -> Iterator[Pair]:
    values = _values(text, path)
    for line, source in values:
        _, target = next(values)
        yield _pair(source, target, path, line)


def _pair(source: object, target: object, path: Path, line: int) -> Pair:
    answers = target if isinstance(target, list) else [target]
    for label, found in (("input", source), *(("output", answer) for answer in answers or [answers])):
        if not isinstance(found, str) or not found.strip() or _HALF.search(found):
            raise DataError(
                f"{str(path)!r}, line {line}: the {label} is {_kind(found)}, expected a text that says something"
            )
        check_text(found, f"{str(path)!r}, line {line}: the {label}")
    return normalise(str(source)), tuple(normalise(str(answer)) for answer in answers)


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "half a character" if _HALF.search(value) else "an empty text" if not value.strip() else "a text"
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
