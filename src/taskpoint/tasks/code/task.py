"""Tasks whose answers are programs, which are run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from pathlib import Path

from taskpoint.errors import DataError, PromptError, SettingError
from taskpoint.prompts.content import Content, Example
from taskpoint.settings import whole
from taskpoint.tasks.base import Item, Task, checked_limit
from taskpoint.tasks.code.answers import program_of
from taskpoint.tasks.code.containment import containment
from taskpoint.tasks.code.humaneval import humaneval
from taskpoint.tasks.code.limits import Limits
from taskpoint.tasks.code.mbpp import mbpp
from taskpoint.tasks.code.metric import PASS
from taskpoint.tasks.code.problems import Problem, of_words
from taskpoint.tasks.code.verdict import judged
from taskpoint.tasks.control import wrong_answers
from taskpoint.tasks.drawing import generator, permutation
from taskpoint.tasks.files.reading import file_name

INSTRUCTION = "Write a program for the following task:"
"""Paper A's, released code."""
_LIMITS = Limits()


class CodeTask(Task):
    """Problems asked, each with others as examples, and scored by running the answers.

    Attributes:
        run_programs: Whether the user allows that programs which a model wrote are run.
    """

    scoring = PASS

    def __init__(
        self,
        name: str,
        asked: Sequence[Problem],
        examples: Sequence[Problem],
        training: Sequence[Problem] = (),
        *,
        template: str,
        run_programs: bool,
    ) -> None:
        self.name, self.template, self.run_programs = name, template, run_programs
        self._asked, self._training = tuple(asked), tuple(training)
        self._examples = tuple({each.secret: each for each in reversed(examples)}.values())[::-1]
        self._problems = {each.id: each for each in (*self._training, *self._asked)}
        self._verdicts: dict[tuple[str, str], float] = {}

    def items(self, limit: int | None = None) -> tuple[Item, ...]:
        """The problems in a fixed random order; at most ``limit``."""
        order = permutation(generator("items", self._kind), len(self._asked))
        return tuple(self._item(self._asked[place]) for place in islice(order, checked_limit(limit)))

    @property
    def _kind(self) -> str:
        return self.name.partition(":")[0]

    def _item(self, problem: Problem) -> Item:
        return Item(problem.id, self._kind, problem.input, (problem.answer,))

    def _problem(self, item: Item) -> Problem:
        problem = self._problems.get(item.id)
        if problem is None or problem.input != item.input:
            raise PromptError(f"item {item.id!r} is not in task {self.name!r}; take items from its items()")
        return problem

    def content(
        self,
        item: Item,
        shots: int,
        seed: int,
        *,
        instruction: bool = True,
        fresh: bool = False,
        shuffled: bool = False,
        wording: int = 0,
    ) -> Content:
        """What the prompt of one item says; see ``Task.content``."""
        if instruction and wording:
            raise PromptError(
                f"wording {wording} of the instruction was asked for, but {self.name!r} has one; set wording to 0"
            )
        secret = self._problem(item).secret
        names = ("examples", whole("seed", seed, 0, 2**63 - 1), self._kind, *((item.id,) if fresh else ()))
        examples = self._drawn([each for each in self._order(names) if each.secret != secret], shots, names, shuffled)
        return Content(INSTRUCTION if instruction else None, examples, item.input)

    def context(self, shots: int, seed: int, *, instruction: bool = True) -> Content:
        """What stands before every query; see ``Task.context``."""
        names = ("examples", whole("seed", seed, 0, 2**63 - 1), self._kind)
        examples = self._drawn(list(self._order(names)), shots, names, shuffled=False)
        return Content(INSTRUCTION if instruction else None, examples, "")

    def _order(self, names: tuple[str | int, ...]) -> Iterator[Problem]:
        return (self._examples[place] for place in permutation(generator(*names), len(self._examples)))

    def _drawn(
        self, offered: Sequence[Problem], shots: int, names: tuple[str | int, ...], shuffled: bool
    ) -> tuple[Example, ...]:
        shots = whole("shots", shots, 0)
        if shots > len(offered):
            raise PromptError(
                f"{shots} shots asked of {self.name!r}, which has {len(offered)} examples beside the query; set shots "
                f"to at most {len(offered)}"
            )
        chosen = offered[:shots]
        outputs: Sequence[str] = [each.answer for each in chosen]
        if shuffled and shots:
            answers = (each.answer for each in offered)
            accepted = [[each.answer] for each in chosen]
            outputs = wrong_answers(accepted, answers, 2 * shots, generator("shuffled", *names))
        return tuple(Example(each.input, output) for each, output in zip(chosen, outputs, strict=True))

    def _trainable(self) -> Iterator[Item]:
        return map(self._item, self._training)

    def _secrets(self, item: Item) -> Iterable[Hashable]:
        return (self._problem(item).secret,)

    @property
    def max_shots(self) -> int:
        """The number of examples that every item can have."""
        secrets = {each.secret for each in self._examples}
        return len(self._examples) - max(each.secret in secrets for each in self._asked)

    @property
    def has_answers(self) -> bool:
        """True: every problem has a reference."""
        return True

    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the problems and their tests."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        said = [
            [[each.id, each.input, each.answer, each.tests.source] for each in problems]
            for problems in (self._asked, self._examples, self._training)
        ]
        return hashlib.sha256(json.dumps([INSTRUCTION, said]).encode()).hexdigest()

    def check_scoring(self) -> None:
        """Refuses to score without leave to run programs; see ``Task.check_scoring``."""
        if self.scoring is PASS and not self.run_programs:
            raise SettingError(
                f"task {self.name!r} is scored by running the programs that the model writes; allow it with "
                "--run-programs (run_programs=True in Python; docs/code.md says how they are contained), or score "
                "texts with --metric"
            )

    def score_ahead(self, answers: Iterable[tuple[Item, str]]) -> None:
        """Runs the programs of many answers, as many at once as there are cores; errors as `score`."""
        if self.scoring is PASS:
            different = dict.fromkeys((item, self._program(item, text)) for item, text in answers)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for _ in pool.map(lambda known: self._passes(*known), different):
                    pass

    def score(self, item: Item, text: str) -> float:
        """1.0 where the program passes all tests of the problem, else 0.0; a SettingError without leave to run it."""
        if self.scoring is not PASS:
            return super().score(item, text)
        return self._passes(item, self._program(item, text))

    def _program(self, item: Item, text: str) -> str:
        return program_of(self._problem(item), text)

    def _passes(self, item: Item, program: str) -> float:
        self.check_scoring()
        known = item.id, program
        if known not in self._verdicts:
            try:
                verdict = judged(program, self._problem(item).tests, _LIMITS, containment())
            except OSError as error:
                raise SettingError(
                    f"no program can be run now: {error}; free files, memory or disk, and go on"
                ) from None
            self._verdicts[known] = float(verdict.passed)
        return self._verdicts[known]

    def signature(self, items: Iterable[Item]) -> str | None:
        """How programs are contained, and what they may use."""
        if self.scoring is not PASS:
            return super().signature(items)
        contained, version = containment().description, platform.python_version()
        return f"{PASS.name} | contained by {contained} | {_LIMITS.text} | Python {version}"


def mbpp_task(path: Path, *, run_programs: bool) -> CodeTask:
    """The problems of MBPP; a DataError where the file is missing or malformed."""
    found = mbpp(path)
    return CodeTask(
        f"mbpp:{file_name(path)}",
        found.asked,
        found.examples,
        found.training,
        template="paper-bare",
        run_programs=run_programs,
    )


def humaneval_task(path: Path, examples: Path | None, *, docstring: bool, run_programs: bool) -> CodeTask:
    """The problems of HumanEval, each with others of them as examples, or with those of a file of MBPP as in paper A.

    Raises:
        DataError: A file is missing or malformed, or has too few problems.
    """
    asked = humaneval(path, docstring=docstring)
    name = f"humaneval{'-docstring' if docstring else ''}:{file_name(path)}"
    if examples is None:
        if len({each.secret for each in asked}) < 2:
            raise DataError(f"{str(path)!r} has one problem; expected at least 2: one to ask and one as its example")
        template = "paper-bare" if docstring else "code"
        return CodeTask(name, asked, asked, template=template, run_programs=run_programs)
    found = mbpp(examples)
    return CodeTask(
        f"{name}+mbpp:{file_name(examples)}",
        asked,
        of_words(found.paper),
        of_words(found.training),
        template="paper-bare",
        run_programs=run_programs,
    )
