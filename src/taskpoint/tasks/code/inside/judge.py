"""Runs the tests of a problem against a program in another process, and says whether they passed.

What the tests hold of the program are plain values and stand-ins for everything else. A stand-in equals only itself,
so an object whose ``==`` says yes to everything passes no test.
"""

from __future__ import annotations

import builtins
import random
import types
from collections.abc import Iterator, Mapping
from typing import Any

from taskpoint.tasks.code.inside.program import limit, quiet
from taskpoint.tasks.code.inside.wire import packed, receive, send, unpacked

# Those that are made of a message alone.
_ERRORS: dict[str, type[Exception]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError | ExceptionGroup)
}


class Program:
    """The other process, asked for one thing at a time."""

    def __init__(self, asks: int, answers: int) -> None:
        self._asks, self._answers = asks, answers

    def ask(self, verb: str, *given: Any) -> Any:
        """What it answers; an exception of the kind that it names, where it is a built-in one."""
        send(self._asks, packed([verb, *given], _number))
        answer = receive(self._answers)
        if "value" in answer:
            return unpacked(answer["value"], lambda number: Remote(self, number))
        raise _ERRORS.get(str(answer.get("error")), RuntimeError)("in the program")


class Remote:
    """Stands for an object of the program; what is done with it is done there."""

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_of", (program, number))

    def _asked(self, verb: str, *given: Any) -> Any:
        program, _ = object.__getattribute__(self, "_of")
        return program.ask(verb, self, *given)

    def __call__(self, *given: Any, **named: Any) -> Any:  # noqa: D102
        return self._asked("call", given, named)

    def __getattr__(self, name: str) -> Any:
        return self._asked("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._asked("set", name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._asked("item", key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._asked("list"))

    def __bool__(self) -> bool:
        return self._asked("truth") is True

    def __len__(self) -> int:
        return int(self._asked("length"))


def _number(value: Any) -> Any:
    if type(value) is not Remote:
        raise TypeError(f"a test gives the program a {type(value).__name__}")
    return object.__getattribute__(value, "_of")[1]


def judged(job: Mapping[str, Any], program: Program) -> str:
    """Nothing where all tests pass, else the name of the exception that says otherwise."""
    module = types.ModuleType("tests")
    space = module.__dict__
    try:
        exec(compile(job["reference"], "reference.py", "exec"), space)
        program.ask("load", job["program"])
        for name in job["needed"]:
            program.ask("name", name)
        space |= {name: program.ask("name", name) for name in job["asked"]}
        random.seed(0)
        exec(compile(job["tests"], "tests.py", "exec"), space)
    except BaseException as error:
        return type(error).__name__
    return ""


def main(limits: Mapping[str, int], asks: int, answers: int) -> None:
    """Reads a job from standard input; writes the verdict to standard output, which no test can reach."""
    read, told = quiet()
    limit(limits)
    send(told, {"failed": judged(receive(read), Program(asks, answers))})
