"""MBPP, from either of its files (Austin et al. 2021, "Program Synthesis with Large Language Models").

The problems are 11 to 510; 1 to 10 are the examples, and 601 to 974 are there to train on (appendix A.1 and the data's
own page). The prompt names the tests, without which nobody could know what the function is to be called (section 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.tasks.code.problems import Problem, defined, different, used
from taskpoint.tasks.code.records import Record, records
from taskpoint.tasks.code.verdict import Exam

_EXAMPLES, _ASKED, _TRAINING = range(1, 11), range(11, 511), range(601, 975)
_PAPER = range(1, 801)
_TESTED = "Your code should pass these tests:"


@dataclass(frozen=True)
class Mbpp:
    """The problems by what they are for; `paper` are those that paper A draws its examples from."""

    examples: tuple[Problem, ...]
    asked: tuple[Problem, ...]
    training: tuple[Problem, ...]
    paper: tuple[Problem, ...]


def mbpp(path: Path) -> Mbpp:
    """The problems of ``mbpp.jsonl`` or ``sanitized-mbpp.json``.

    Raises:
        DataError: The file is missing or malformed.
    """
    problems = different(_problems(path))

    def within(numbers: range) -> tuple[Problem, ...]:
        return tuple(each for each in problems if int(re.sub(r"\D", "", each.id)) in numbers)

    found = Mbpp(within(_EXAMPLES), within(_ASKED), within(_TRAINING), within(_PAPER))
    if not found.asked:
        raise DataError(f"{str(path)!r} has none of the problems 11 to 510, which are asked; give the whole file")
    return found


def _problems(path: Path) -> Iterator[tuple[Record, Problem]]:
    for record in records(path):
        yield record, _problem(record)


def _problem(record: Record) -> Problem:
    number = record.number("task_id")
    words = record.text("text" if "text" in record.fields else "prompt").strip()
    code, tests = record.text("code").rstrip() + "\n", record.texts("test_list")
    # The set-up makes objects of classes that the program defines, so it comes after it.
    before = record.texts("test_imports") if "test_imports" in record.fields else []
    before += [record.text("test_setup_code")] if "test_setup_code" in record.fields else []
    source = "\n".join([*before, *tests]) + "\n"
    asked = defined(record.tree(code, "'code'")) & used(record.tree(source, "'test_list' with what it needs"))
    if not words or not tests or not asked:
        raise record.wrong("no words, or no test of a function of 'code'; give the file as published")
    shown = "\n".join([words, _TESTED, "", *(test.strip() for test in tests)])
    return Problem(f"mbpp/{number}", shown, code.rstrip(), "", words, Exam(code, tuple(sorted(asked)), (), source))
