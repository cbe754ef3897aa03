"""Tasks that translate sentences: one direction a sub-task, scored by BLEU where nothing else is said."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from taskpoint.errors import DataError, SettingError, UnknownNameError
from taskpoint.tasks.base import Item
from taskpoint.tasks.language import LANGUAGES, detected_language
from taskpoint.tasks.mapping import MappingTask, Pair, Subtask
from taskpoint.tasks.scores.metrics import PAPER_BLEU

DIRECTIONS = tuple(direction for other in list(LANGUAGES)[1:] for direction in (("eng", other), (other, "eng")))
"""From English and into it."""


def direction_name(source: str, target: str) -> str:
    """What a direction is called, such as ``eng-fra``."""
    return f"{source}-{target}"


def instruction(source: str, target: str) -> str:
    """The line that names the task of a direction, as paper A writes it (section 3)."""
    return f"Translate {LANGUAGES[source]} to {LANGUAGES[target]}:"


def translating(source: str, target: str, pairs: Iterable[Pair]) -> Subtask:
    """The sub-task of a direction; a DataError for fewer than two different sentences."""
    return Subtask(direction_name(source, target), instruction(source, target), tuple(pairs))


def sentence_key(text: str) -> str:
    """What near-duplicates share: the letters and digits of a sentence, in one case."""
    return "".join(filter(str.isalnum, text.casefold()))


class TranslationTask(MappingTask):
    """Sentences with accepted translations; a sub-task is called after its direction, such as ``eng-fra``."""

    scoring = PAPER_BLEU

    def accepted(self, item: Item) -> tuple[str, ...]:
        """The accepted translations of an item; a DataError where it has none."""
        if not item.answers:
            raise DataError(f"item {item.id!r} has no accepted translation; give it one to have it scored")
        return item.answers

    def asked_language(self, item: Item) -> str | None:
        """Name of the language that the item is to be translated into; ``None`` when it is not one of `LANGUAGES`."""
        return LANGUAGES.get(item.task.rpartition("-")[2])

    def spoken_language(self, text: str) -> str | None:
        """Name of the language of ``text``, detected among `LANGUAGES`; ``None`` when it has no letters."""
        return detected_language(text)

    def giveaways(self, text: str, answers: Sequence[str]) -> tuple[str, ...]:
        """The sentence and its translations: two French ones may be the same in English."""
        return tuple(map(sentence_key, (text, *answers)))

    def _secrets(self, item: Item) -> Iterable[Hashable]:
        # In every direction: who was trained to say it in English knows what to answer in French.
        return self.giveaways(item.input, item.answers)


def chosen(name: str, directions: Iterable[Subtask], wanted: str | None) -> tuple[str, tuple[Subtask, ...]]:
    """Name and sub-tasks of a suite of directions, or of those in ``wanted``, such as ``eng-fra,fra-eng``.

    Raises:
        UnknownNameError: There is no such direction; the message names the nearest.
        SettingError: A direction is there twice.
    """
    known = {subtask.name: subtask for subtask in directions}
    if wanted is None:
        return name, tuple(known.values())
    found: dict[str, Subtask] = {}
    for direction in wanted.split(","):
        if direction not in known:
            raise UnknownNameError(f"direction of {name}", direction, known)
        if direction in found:
            raise SettingError(f"task {f'{name}:{wanted}'!r} has {direction} twice; name each direction once")
        found[direction] = known[direction]
    return f"{name}:{wanted}", tuple(found.values())
