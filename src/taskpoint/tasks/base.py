"""What an experiment may ask of a task: its items, the content of one prompt, and the score of an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice

from taskpoint.errors import DataError, SettingError
from taskpoint.prompts.content import Content
from taskpoint.settings import whole
from taskpoint.tasks.scores.metrics import EXACT, Metric
from taskpoint.tasks.scores.same_text import input_key


@dataclass(frozen=True)
class Item:
    """One test case.

    Attributes:
        id: Names the item within its task; the same on every machine.
        input: The query, as it stands in the prompt.
        answers: The accepted answers, the reference first; empty when the source gives none.

    Raises:
        DataError: The id or the input is empty.
    """

    id: str
    task: str
    input: str
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.id or not self.input:
            raise DataError(f"item {self.id!r} has the input {self.input!r}; expected a non-empty id and input")


class Task(ABC):
    """A set of test items, each with worked examples to put before it.

    Every choice is drawn from a generator seeded with names and numbers alone (``drawing.generator``), so a seed means
    the same prompts on every machine. The name, which the rows of a run carry, holds no folder of the user's machine;
    the template is the one that is used when the user names none.
    """

    name: str
    scoring: Metric = EXACT
    template: str = "qa"

    @abstractmethod
    def items(self, limit: int | None = None) -> tuple[Item, ...]:
        """The first items of a fixed random order, the sub-tasks in turns; a SettingError for a limit below 1."""

    @abstractmethod
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
        """What the prompt of one item says.

        The input of the item is never among its examples, nor is a variant of it (``scoring.input_key``). The examples
        of fewer shots are the first of those of more shots, under the same seed. With ``fresh`` they are drawn anew for
        each item, rather than once for the whole test set. ``shuffled`` is the control with wrong answers: the same
        inputs, but no example keeps an answer accepted for it. ``wording`` is which of the instruction's ``wordings``.

        Raises:
            PromptError: There are not so many examples, there is no such instruction, or the item is of another task.
        """

    def context(self, shots: int, seed: int, *, instruction: bool = True) -> Content:
        """What stands before every query, whichever it is: the instruction and the examples; the query is empty.

        They are those of ``content`` for every item that is not itself among the examples. Such an item gets another
        example from ``content``; here its own answer is among the examples.

        Raises:
            SettingError: The examples are not the same for all queries; the message says what to ask for.
            PromptError: There are not so many examples, or there is no instruction.
        """
        raise SettingError(
            f"task {self.name!r} has no examples that are the same for all queries; choose a words: or pairs: task, "
            "or one sub-task of lexicon"
        )

    def training(self, limit: int | None, without: Sequence[Item]) -> tuple[Item, ...]:
        """The first items to train on, in a fixed order; with ``content`` they become prompts as the test items do.

        They are those that the task keeps for training or, where it keeps none, its own items. Each has an accepted
        answer. None is among ``without``, the items to be scored, and none gives the answer to one of these away.
        Examples of a prompt are drawn from the same pairs for both: ask for 0 shots where these must be kept apart.

        Raises:
            DataError: Nothing is left.
            SettingError: A limit below 1.
        """
        wanted, scored = checked_limit(limit), tuple(without)
        secrets = {secret for item in scored for secret in self._secrets(item)}
        found = (item for item in self._trainable() if item.answers and secrets.isdisjoint(self._secrets(item)))
        taken = tuple(islice(found, wanted))
        if not taken:
            raise DataError(
                f"task {self.name!r} has no item with an answer to train on beside the {len(scored)} to be scored; "
                "score fewer of them"
            )
        return taken

    def _trainable(self) -> Iterable[Item]:
        """What may be trained on, whichever items are scored."""
        return self.items()

    def _secrets(self, item: Item) -> Iterable[Hashable]:
        """What an item that is trained on must not share with one that is scored."""
        return ((item.task, input_key(item.input)),)

    @property
    def wordings(self) -> int:
        """The number of wordings of its instruction that a task knows, 0 where it has none."""
        return 1

    @property
    @abstractmethod
    def max_shots(self) -> int:
        """The number of examples that every item can have."""

    @property
    @abstractmethod
    def has_answers(self) -> bool:
        """Whether every item has an accepted answer, so that it can be scored."""

    @abstractmethod
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of all that the task reads, wherever its files lie."""

    @property
    def metric(self) -> str:
        """What ``score`` measures, in words."""
        return self.scoring.label

    def scored_by(self, metric: Metric) -> Task:
        """The same task with its answers scored by another metric."""
        other = copy(self)
        other.scoring = metric
        return other

    def check_scoring(self) -> None:
        """Refuses, before a model is loaded or asked, what would not be scored; a SettingError says what is missing."""
        return

    def score_ahead(self, answers: Iterable[tuple[Item, str]]) -> None:
        """Told of answers that are about to be scored, a task whose scores take long finds them all at once."""
        return

    def score(self, item: Item, text: str) -> float:
        """The score of an answer that ends at the template's stop text; a DataError where no answers are accepted."""
        return self.scoring_of(item).score(text, self.accepted(item))

    def counts(self, item: Item, text: str) -> tuple[int, ...]:
        """Whole numbers that add up over answers to a score of them all; none when the score is the mean of `score`.

        Raises:
            DataError: The item has no accepted answers.
        """
        return self.scoring_of(item).counts(text, self.accepted(item))

    def scoring_of(self, item: Item) -> Metric:
        """What answers to an item are scored by: `scoring`, for the language of the answer where there is one."""
        return self.scoring

    def accepted(self, item: Item) -> tuple[str, ...]:
        """The accepted answers of an item; a DataError where it has none."""
        if not item.answers:
            raise DataError(
                f"item {item.id!r} has no accepted answers; give it 'answers' in its file to have it scored"
            )
        return item.answers

    def signature(self, items: Iterable[Item]) -> str | None:
        """Name and signature of the score of items as sacrebleu prints them; None when it is not its score."""
        return self.scoring.signature(len(item.answers) for item in items)

    def asked_language(self, item: Item) -> str | None:
        """Name of the language that the answer should be in, such as ``"French"``; ``None``: not about languages."""
        return None

    def spoken_language(self, text: str) -> str | None:
        """Name of the language that an answer is in; ``None`` when that cannot be said, or is not asked."""
        return None


def checked_limit(limit: int | None) -> int | None:
    """The limit; a SettingError where it is no whole number, or below 1."""
    return None if limit is None else whole("items", limit, 1)
