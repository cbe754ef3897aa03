"""Runs a program, and answers what its tests ask of it: calls of its functions, attributes of its objects.

It knows neither the tests nor whether they passed, so that nothing it does can make them pass.
"""

from __future__ import annotations

import os
import resource
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from taskpoint.tasks.code.inside.wire import packed, receive, send, unpacked


def limit(limits: Mapping[str, int]) -> None:
    """Sets the limits that a process cannot raise again."""
    for name, most in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def quiet() -> tuple[int, int]:
    """Takes both ends of the pipe away from standard input and output, which then hold nothing."""
    ends = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return ends


class Answering:
    """A program and the objects of it that its tests hold."""

    def __init__(self) -> None:
        self._module = types.ModuleType("program")
        sys.modules["program"] = self._module
        self._held: list[Any] = []
        self._does: dict[str, Callable[..., Any]] = {
            "load": self._load,
            "name": lambda name: self._module.__dict__[name],
            "call": lambda function, given, named: function(*given, **named),
            "get": getattr,
            "set": setattr,
            "item": lambda holder, key: holder[key],
            "list": list,
            "length": len,
            "truth": bool,
        }

    def _load(self, source: str) -> None:
        exec(compile(source, "program.py", "exec"), self._module.__dict__)

    def _hold(self, value: Any) -> int:
        self._held.append(value)
        return len(self._held) - 1

    def answer(self, asked: Any) -> Any:
        """The answer to one message: a value, or the name of the exception."""
        try:
            verb, *given = unpacked(asked, self._held.__getitem__)
            return {"value": packed(self._does[verb](*given), self._hold)}
        except BaseException as error:
            return {"error": type(error).__name__}


def main(limits: Mapping[str, int]) -> None:
    """Answers until nobody asks any more."""
    asked, told = quiet()
    limit(limits)
    answering = Answering()
    while True:
        try:
            send(told, answering.answer(receive(asked)))
        except EOFError:
            os._exit(0)
        except ValueError:
            send(told, {"error": "ValueError"})
