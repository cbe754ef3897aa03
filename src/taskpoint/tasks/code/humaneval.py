"""HumanEval (Chen et al. 2021, "Evaluating Large Language Models Trained on Code"), in two forms of asking."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from taskpoint.tasks.code.problems import Problem, defined, different, used
from taskpoint.tasks.code.records import Record, records
from taskpoint.tasks.code.verdict import Exam

_QUOTED = re.compile(r'("""|\'\'\')(.*?)\1', re.DOTALL)


def humaneval(path: Path, *, docstring: bool) -> tuple[Problem, ...]:
    """The problems of ``HumanEval.jsonl``.

    Args:
        path: The file.
        docstring: As paper A asks: only what stands between the first triple quotes, and the answer is the whole
            program. Else the beginning of the program is asked, and the answer goes on with it.

    Raises:
        DataError: The file is missing or malformed.
    """
    return different(_problems(path, docstring))


def _problems(path: Path, docstring: bool) -> Iterator[tuple[Record, Problem]]:
    for record in records(path):
        yield record, _problem(record, docstring)


def _problem(record: Record, docstring: bool) -> Problem:
    name, prompt, entry = (record.text(each) for each in ("task_id", "prompt", "entry_point"))
    solution, test = record.text("canonical_solution"), record.text("test")
    if not name.strip() or not prompt.strip() or not entry.isidentifier():
        raise record.wrong("an empty 'task_id' or 'prompt', or an 'entry_point' that is no name")
    reference, source = prompt + solution, f"{test}\ncheck({entry})\n"
    functions = defined(record.tree(reference, "'prompt' with 'canonical_solution'"))
    if entry not in functions or "check" not in defined(record.tree(test, "'test'")):
        raise record.wrong(f"no function {entry!r} in 'prompt', or no function 'check' in 'test'")
    # The prompt may define functions beside the one that is asked for, and tests use some of them.
    others = functions & used(record.tree(source, "'test'")) - {entry}
    tests = Exam(reference, (entry,), tuple(sorted(others)), source)
    quoted = _QUOTED.search(prompt)
    if not docstring:
        said = quoted[2] if quoted else prompt
        # The line end is left to the template, as a prompt ends without one.
        return Problem(name, prompt.rstrip("\n"), solution.rstrip(), prompt.rstrip("\n") + "\n", said, tests)
    if quoted is None or not quoted[2].strip():
        raise record.wrong("no text between triple quotes in 'prompt', which humaneval-docstring: asks with")
    words = quoted[2].strip()
    return Problem(name, words, reference.rstrip(), "", words, tests)
