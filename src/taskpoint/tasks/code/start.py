"""The command line of a Python that knows the files of `inside`, and nothing else of the project."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

_INSIDE = Path(__file__).parent / "inside"
_PACKAGE = "taskpoint.tasks.code.inside"

Step = tuple[str, Sequence[Any]]
"""A file of `inside`, and the arguments of its `main`."""


def python(steps: Sequence[Step], then: Sequence[str] = ()) -> list[str]:
    """The command line of a Python that takes these steps, then those lines."""
    lines = [
        "import sys, types",
        "told = []",
        "def load(name, source):",
        "    module = sys.modules[name] = types.ModuleType(name)",
        "    exec(compile(source, name, 'exec'), module.__dict__)",
        *(f"load({f'{_PACKAGE}.{name}'!r}, {_source(name)!r})" for name in _needed(steps)),
        *(f"told = sys.modules[{f'{_PACKAGE}.{name}'!r}].main(*{tuple(given)!r})" for name, given in steps),
        *then,
    ]
    return [sys.executable, "-s", "-P", "-c", "\n".join(lines)]


@cache
def _source(name: str) -> str:
    return (_INSIDE / f"{name}.py").read_text("utf-8")


def _needed(steps: Sequence[Step]) -> list[str]:
    """The files that the steps need, each after those that it imports."""
    names = {name for name, _ in steps}
    needed = [name for name in ("user", "apart", "wire", "program", "judge") if name in names]
    return list(dict.fromkeys(("wire", "program", *needed) if {"program", "judge"} & names else needed))
