"""A problem: what is asked, what a right answer is, and the tests of an answer."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from taskpoint.tasks.code.records import Record
from taskpoint.tasks.code.verdict import Exam
from taskpoint.tasks.scores.same_text import input_key


@dataclass(frozen=True)
class Problem:
    """One problem in one form of asking.

    Attributes:
        id: Names it among all problems of all files.
        input: What stands in the prompt.
        answer: The reference answer.
        start: What stands before an answer in the program that is run; empty where the answer is the whole program.
        said: What it asks for, in words: what two problems must not share of which one is the other's example.
    """

    id: str
    input: str
    answer: str
    start: str
    said: str
    tests: Exam

    @property
    def secret(self) -> str:
        """What tells that two problems ask for the same."""
        return input_key(self.said)


def different(found: Iterable[tuple[Record, Problem]]) -> tuple[Problem, ...]:
    """The problems; a DataError where two have one id."""
    seen: dict[str, Record] = {}
    problems = []
    for record, problem in found:
        if problem.id in seen:
            first = seen[problem.id].where.rpartition(", ")[2]
            raise record.wrong(f"problem {problem.id!r} stands there twice, first in {first}; leave one")
        seen[problem.id] = record
        problems.append(problem)
    return tuple(problems)


def defined(tree: ast.Module) -> set[str]:
    """The functions and classes that a program defines."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in tree.body if isinstance(node, kinds)}


def used(tree: ast.Module) -> set[str]:
    """The names that a program reads."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def of_words(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The same problems asked in their words alone."""
    return tuple(replace(each, input=each.said) for each in problems)
