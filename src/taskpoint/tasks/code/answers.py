"""From what a model writes to the program that is run."""

from __future__ import annotations

import re

from taskpoint.tasks.code.problems import Problem

_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(?P<code>.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*```[^\n]*$", re.MULTILINE)
# What stands at the margin of a program, other than a statement of a function that lost its indentation.
_OUTSIDE = re.compile(r"(async\s+def|def|class|import|from)\b|@|#")


def program_of(problem: Problem, text: str) -> str:
    """The program that an answer makes: its code, behind the beginning that the problem gives."""
    code = code_of(text)
    return problem.start + (_indented(code, problem.start) if problem.start else code) + "\n"


def code_of(text: str) -> str:
    """The first block of an answer that chat models put between fences of three backticks; all of it without fences."""
    fences = list(_FENCE.finditer(text))
    if len(fences) == 1 and not text[fences[0].end() :].strip():
        return text[: fences[0].start()]  # the fence that ends what the prompt began
    block = _FENCED.search(text)
    return text if block is None else block["code"]


def _indented(code: str, start: str) -> str:
    """The body of a function, whose first line is indented again where the white space around an answer was cut."""
    first, _, rest = code.lstrip("\n").partition("\n")
    margin = [line for line in rest.split("\n") if line.strip() and not line[0].isspace()]
    if not first.strip() or first[0].isspace() or margin or _OUTSIDE.match(first):
        return code
    indent = re.match(r"[ \t]*", start.rstrip("\n").rpartition("\n")[2])
    return (indent[0] if indent else "") + code.lstrip("\n")
