"""From the name of a task, as written on the command line, to the task."""

from __future__ import annotations

import os.path
from pathlib import Path

from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.tasks.base import Task
from taskpoint.tasks.lexicon import lexicon, subtasks
from taskpoint.tasks.own import OwnTask
from taskpoint.tasks.pairs import pairs
from taskpoint.tasks.words import words

_FILES = {"words": "words:FILE.json", "pairs": "pairs:FILE.tsv", "prompts": "prompts:FILE.jsonl"}


def task_names() -> tuple[str, ...]:
    """What ``task`` understands: the bundled tasks by name, then the forms that take a file."""
    return ("lexicon", *(f"lexicon:{name}" for name in subtasks()), *_FILES.values())


def task(spec: str, *, instruction: str | None = None) -> Task:
    """Load a task.

    Args:
        spec: One of ``task_names()``, with the path in place of FILE.
        instruction: The line that describes the task, for words and pairs, whose files have none.

    Raises:
        UnknownNameError: No such task or sub-task; the message names the nearest.
        DataError: The file is missing or malformed.
        SettingError: A form without its file, or an instruction for a task that brings its own.
    """
    kind, colon, rest = spec.partition(":")
    if kind in _FILES and not rest:
        raise SettingError(f"task {spec!r} names no file; expected {_FILES[kind]}")
    if instruction is not None and kind not in ("words", "pairs"):
        raise SettingError(f"task {spec!r} brings its own instructions; leave instruction out")
    if instruction is not None and not instruction.strip():
        raise SettingError("instruction is an empty text; write one line, or leave it out")
    match kind:
        case "words":
            return words(_path(rest), instruction=instruction)
        case "pairs":
            return pairs(_path(rest), instruction=instruction)
        case "prompts":
            return OwnTask(_path(rest))
        case "lexicon" if not colon:
            return lexicon()
        case "lexicon" if rest in subtasks():
            return lexicon(rest)
        case _:
            raise UnknownNameError("task", spec, task_names())


def _path(text: str) -> Path:
    # Path.expanduser raises RuntimeError for a home that does not exist; this leaves such a path as it is.
    return Path(os.path.expanduser(text))
