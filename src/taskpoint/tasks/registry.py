"""From the name of a task, as written on the command line, to the task."""

from __future__ import annotations

import os.path
import re
from pathlib import Path

from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.settings import flag, place, shown
from taskpoint.tasks.base import Task
from taskpoint.tasks.code.task import CodeTask, humaneval_task, mbpp_task
from taskpoint.tasks.everyday import directions, everyday
from taskpoint.tasks.files.reading import check_text
from taskpoint.tasks.lexicon import lexicon, subtasks
from taskpoint.tasks.own import OwnTask
from taskpoint.tasks.pairs import pairs
from taskpoint.tasks.scores.metrics import metric as metric_of
from taskpoint.tasks.tatoeba import corpora, tatoeba
from taskpoint.tasks.words import words

_PLACES = {
    "words": ("words:FILE.json",),
    "pairs": ("pairs:FILE.tsv",),
    "prompts": ("prompts:FILE.jsonl",),
    "mbpp": ("mbpp:FILE.jsonl",),
    "humaneval": ("humaneval:FILE.jsonl", "humaneval:FILE.jsonl+mbpp:FILE.jsonl"),
    "humaneval-docstring": ("humaneval-docstring:FILE.jsonl", "humaneval-docstring:FILE.jsonl+mbpp:FILE.jsonl"),
    "tatoeba": ("tatoeba:DIR", "tatoeba:DIR:eng-fra"),
}

# A folder may hold a colon, so only what looks like a direction is taken off.
_DIRECTION = re.compile(r"(?P<folder>.+):(?P<direction>[a-z]{3}-[a-z]{3}(,[a-z]{3}-[a-z]{3})*)", re.DOTALL)


def task_names() -> tuple[str, ...]:
    """What ``task`` understands: the bundled tasks by name, then the forms that take a file or a folder."""
    return (
        "lexicon",
        *(f"lexicon:{name}" for name in subtasks()),
        "everyday",
        *(f"everyday:{each.name}" for each in directions()),
        *(form for forms in _PLACES.values() for form in forms),
    )


def task(spec: str, *, instruction: str | None = None, metric: str | None = None, run_programs: bool = False) -> Task:
    """Loads a task.

    Args:
        spec: One of ``task_names()``, with the path in place of FILE or DIR.
        instruction: The line that describes the task, for words and pairs, whose files have none.
        metric: How answers are scored: ``exact``, ``contains``, ``prefix``, ``bleu[:TOKENIZER]``, ``chrf`` or
            ``chrf++``, with ``:lc`` behind it where case does not matter; None takes the task's.
        run_programs: Whether programs that a model writes may be run, contained (docs/code.md): humaneval and mbpp are
            not scored without.

    Raises:
        UnknownNameError: No such task, sub-task, metric or tokenizer; the message names the nearest.
        DataError: The file or folder is missing or malformed.
        SettingError: A form without its file or folder, an instruction for a task that brings its own, or a tokenizer
            whose packages are not installed.
    """
    if not isinstance(spec, str):
        raise SettingError(f"task is {shown(spec)}; expected its name, such as 'lexicon'")
    for name, given in (("instruction", instruction), ("metric", metric)):
        if given is not None and not isinstance(given, str):
            raise SettingError(f"{name} is {shown(given)}; expected a text")
    scoring = None if metric is None else metric_of(metric)
    found = _task(spec, instruction, flag("run_programs", run_programs))
    return found if scoring is None else found.scored_by(scoring)


def _task(spec: str, instruction: str | None, run_programs: bool) -> Task:
    kind, colon, rest = spec.partition(":")
    if kind in _PLACES and not rest:
        form = _PLACES[kind][0]
        raise SettingError(f"task {spec!r} names no {'folder' if 'DIR' in form else 'file'}; expected {form}")
    if instruction is not None and kind not in ("words", "pairs"):
        raise SettingError(f"task {spec!r} brings its own instructions; leave instruction out")
    if instruction is not None and not instruction.strip():
        raise SettingError("instruction is an empty text; write one line, or leave it out")
    check_text(instruction or "", "the instruction")
    if instruction is not None and any("\ud800" <= character <= "\udfff" for character in instruction):
        raise SettingError(f"instruction is {shown(instruction)}, which is not UTF-8; write it anew")
    match kind:
        case "words":
            return words(_path(rest), instruction=instruction)
        case "pairs":
            return pairs(_path(rest), instruction=instruction)
        case "prompts":
            return OwnTask(_path(rest))
        case "mbpp":
            return mbpp_task(_path(rest), run_programs=run_programs)
        case "humaneval" | "humaneval-docstring":
            return _humaneval(rest, docstring=kind != "humaneval", run_programs=run_programs)
        case "tatoeba":
            return _tatoeba(rest)
        case "everyday" if not colon:
            return everyday()
        case "everyday" if _known_directions(rest):
            return everyday(rest)
        case "lexicon" if not colon:
            return lexicon()
        case "lexicon" if rest in subtasks():
            return lexicon(rest)
        case _:
            raise UnknownNameError("task", spec, task_names())


def _known_directions(listed: str) -> bool:
    return set(listed.split(",")) <= {each.name for each in directions()}


def _humaneval(rest: str, *, docstring: bool, run_programs: bool) -> CodeTask:
    asked, joined, examples = rest.partition("+mbpp:")
    if joined and not examples:
        raise SettingError(f"task 'humaneval:{rest}' names no file of examples; expected {_PLACES['humaneval'][1]}")
    paths = _path(asked), _path(examples) if joined else None
    return humaneval_task(*paths, docstring=docstring, run_programs=run_programs)


def _tatoeba(rest: str) -> Task:
    match = _DIRECTION.fullmatch(rest)
    if match is None:
        return tatoeba(corpora(_path(rest)))
    return tatoeba(corpora(_path(match["folder"])), match["direction"])


def _path(text: str) -> Path:
    # Path.expanduser raises RuntimeError for a home that does not exist; this leaves such a path as it is.
    return place("the file of the task", os.path.expanduser(text))
