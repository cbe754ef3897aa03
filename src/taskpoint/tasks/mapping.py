"""Tasks that map one short text to another; the worked examples are other pairs of the same sub-task.

Every pair is both a test item and a possible example (leave one out): with 150 words a split would halve both. The
examples of a seed are the same for the whole test set; only an item that is itself among them gets, in its place, one
more from the same draw.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from taskpoint.errors import DataError, PromptError
from taskpoint.prompts.content import Content, Example
from taskpoint.settings import whole
from taskpoint.tasks.base import Item, Task, checked_limit
from taskpoint.tasks.control import wrong_answers
from taskpoint.tasks.drawing import generator, permutation
from taskpoint.tasks.files.reading import file_name
from taskpoint.tasks.scores.same_text import input_key

Pair = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Subtask:
    """One mapping.

    Attributes:
        pairs: (input, accepted answers with the reference first); no input twice.

    Raises:
        DataError: Fewer than two different inputs: nothing would be left as an example.
    """

    name: str
    instruction: str | None
    pairs: tuple[Pair, ...]

    def __post_init__(self) -> None:
        if not self.pairs or all(input_key(text) == input_key(self.pairs[0][0]) for text, _ in self.pairs):
            raise DataError(
                f"task {self.name!r} has {len(self.pairs)} different inputs; expected at least 2 that differ in more "
                "than case and closing punctuation: one to ask and one as its example"
            )


def merged(records: Iterable[Pair]) -> tuple[Pair, ...]:
    """The records in their order, one for each input: the answers of all records with that input, none twice."""
    answers: dict[str, dict[str, None]] = {}
    for text, accepted in records:
        answers.setdefault(text, {}).update(dict.fromkeys(accepted))
    return tuple((text, tuple(accepted)) for text, accepted in answers.items())


def of_file(kind: str, path: Path, name: str, instruction: str | None, records: Iterable[Pair]) -> MappingTask:
    """The task of one file: a single sub-task. The folder is left out of all names, so it changes no draw.

    Raises:
        DataError: Fewer than two different inputs.
    """
    pairs = merged(records)
    try:
        subtask = Subtask(name or file_name(path), instruction, pairs)
    except DataError as error:
        raise DataError(f"{str(path)!r}: {error}") from None
    return MappingTask(f"{kind}:{file_name(path)}", (subtask,))


class _Pool:
    """The examples of one sub-task; inputs that must not meet in one prompt share a place in it.

    ``giveaways`` name what an example must not share with the query, the key of the input first.
    """

    def __init__(self, subtask: Subtask, giveaways: Callable[[str, Sequence[str]], tuple[str, ...]]) -> None:
        self.subtask = subtask
        self._giveaways = giveaways
        self._keys = [giveaways(*pair) for pair in subtask.pairs]
        firsts: dict[str, int] = {}
        for number, keys in enumerate(self._keys):
            firsts.setdefault(keys[0], number)
        self.pairs: Sequence[Pair] = tuple(subtask.pairs[number] for number in firsts.values())
        self._places: dict[str, list[int]] = {}
        for place, number in enumerate(firsts.values()):
            for key in dict.fromkeys(self._keys[number]):
                self._places.setdefault(key, []).append(place)

    @cached_property
    def max_shots(self) -> int:
        """The number of examples that every item can have."""
        return len(self.pairs) - max(len(self._kept_out(keys)) for keys in self._keys)

    def _kept_out(self, keys: Iterable[str]) -> set[int]:
        """Places of the examples that would give the answer away."""
        return {place for key in keys for place in self._places.get(key, ())}

    def items(self) -> Iterator[Item]:
        pairs = self.subtask.pairs
        for place in permutation(generator("items", self.subtask.name), len(pairs)):
            text, answers = pairs[place]
            yield Item(f"{self.subtask.name}/{text}", self.subtask.name, text, answers)

    def content(
        self,
        item: Item | None,
        shots: int,
        seed: int,
        *,
        instruction: bool,
        fresh: bool = False,
        shuffled: bool = False,
    ) -> Content:
        """The prompt of an item; without one, what stands before every query."""
        shots, seed = whole("shots", shots, 0), whole("seed", seed, 0, 2**63 - 1)
        told, name = self.subtask.instruction, self.subtask.name
        if instruction and told is None:
            raise PromptError(f"task {name!r} has no instruction; set instruction to False, or give the task one")
        examples = self._examples(item, shots, seed, fresh=fresh, shuffled=shuffled)
        return Content(told if instruction else None, examples, "" if item is None else item.input)

    def _examples(
        self, item: Item | None, shots: int, seed: int, *, fresh: bool, shuffled: bool
    ) -> tuple[Example, ...]:
        asked = set() if item is None else self._kept_out(self._giveaways(item.input, item.answers))
        available = len(self.pairs) - len(asked)
        if shots > available:
            raise PromptError(
                f"{shots} shots asked of {self.subtask.name!r}, which has {available} examples beside the query; "
                f"set shots to at most {available}"
            )
        names = ("examples", seed, self.subtask.name, *((item.id,) if fresh and item is not None else ()))
        order = (self.pairs[place] for place in permutation(generator(*names), len(self.pairs)) if place not in asked)
        chosen = list(islice(order, shots))
        outputs = [answers[0] for _, answers in chosen]
        if shuffled and shots:
            spare = list(islice(order, shots))
            offered = (answers[0] for pairs in (chosen, spare, order) for _, answers in pairs)
            accepted = [answers for _, answers in chosen]
            outputs = list(wrong_answers(accepted, offered, shots + len(spare), generator("shuffled", *names)))
        return tuple(Example(text, output) for (text, _), output in zip(chosen, outputs, strict=True))


class MappingTask(Task):
    """One or more sub-tasks under the name that the rows of a run carry.

    Raises:
        DataError: There is no sub-task, or a name is there twice.
    """

    def __init__(self, name: str, subtasks: Sequence[Subtask]) -> None:
        self.name = name
        self.subtasks = tuple(subtasks)
        self._pools = {subtask.name: _Pool(subtask, self.giveaways) for subtask in self.subtasks}
        if not self.subtasks or len(self._pools) < len(self.subtasks):
            raise DataError(f"task {name!r} has {len(self.subtasks)} sub-tasks; expected at least one, each name once")

    def giveaways(self, text: str, answers: Sequence[str]) -> tuple[str, ...]:
        """What an example must not share with the query: keys of the two, that of the input ``text`` first."""
        return (input_key(text),)

    def items(self, limit: int | None = None) -> tuple[Item, ...]:
        """The pairs in a fixed random order, the sub-tasks taking turns; at most ``limit``."""
        return tuple(islice(in_turns([pool.items() for pool in self._pools.values()]), checked_limit(limit)))

    def _trainable(self) -> Iterator[Item]:
        return in_turns([pool.items() for pool in self._pools.values()])

    def _secrets(self, item: Item) -> Iterable[Hashable]:
        return ((item.task, key) for key in self.giveaways(item.input, item.answers))

    def content(
        self,
        item: Item,
        shots: int,
        seed: int,
        *,
        instruction: bool = True,
        fresh: bool = False,
        shuffled: bool = False,
    ) -> Content:
        """What the prompt of one item says; see ``Task.content``."""
        pool = self._pools.get(item.task)
        if pool is None:
            raise PromptError(f"item {item.id!r} is of {item.task!r}; task {self.name!r} has {', '.join(self._pools)}")
        return pool.content(item, shots, seed, instruction=instruction, fresh=fresh, shuffled=shuffled)

    def context(self, shots: int, seed: int, *, instruction: bool = True) -> Content:
        """What stands before every query; see ``Task.context``. Of several sub-tasks: the first, with a warning."""
        first = self.subtasks[0].name
        if len(self.subtasks) > 1:
            others = ", ".join(f"{self.name}:{subtask.name}" for subtask in self.subtasks[1:])
            warnings.warn(
                f"task {self.name!r} has {len(self.subtasks)} sub-tasks, each with examples of its own; this is "
                f"{self.name}:{first}. Name the one you mean: {others}",
                stacklevel=2,
            )
        return self._pools[first].content(None, shots, seed, instruction=instruction)

    @property
    def max_shots(self) -> int:
        """One less than the inputs of the smallest sub-task, since one is asked; fewer where others tell its answer."""
        return min(pool.max_shots for pool in self._pools.values())

    @property
    def has_answers(self) -> bool:
        """True: every pair has an answer."""
        return True

    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the sub-tasks: names, instructions, pairs."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        said = [[subtask.name, subtask.instruction, subtask.pairs] for subtask in self.subtasks]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def in_turns(sources: Sequence[Iterator[Item]]) -> Iterator[Item]:
    """One of each in turn, those that are used up left out."""
    waiting = list(sources)
    while waiting:
        still = []
        for source in waiting:
            item = next(source, None)
            if item is not None:
                yield item
                still.append(source)
        waiting = still
