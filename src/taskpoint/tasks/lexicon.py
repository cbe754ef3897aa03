"""The bundled suite of word tasks: translation, grammar, facts, letters and numbers, each with at least 100 words.

The words were written for this project and carry its licence. A table has one word a row and one sub-task a column;
a cell names every accepted answer, the reference first, with ``|`` between them; so do the wordings of instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from taskpoint.errors import UnknownNameError
from taskpoint.tasks.files.tables import accepted, bundled_table
from taskpoint.tasks.mapping import MappingTask, Pair, Subtask, merged

# (sub-task, table, column, wordings of the instruction)
_COLUMNS = (
    (
        "english-french",
        "nouns",
        "french",
        "Translate English to French:|Translate from English to French:|Say it in French:",
    ),
    (
        "english-german",
        "nouns",
        "german",
        "Translate English to German:|Translate from English to German:|Say it in German:",
    ),
    (
        "english-spanish",
        "nouns",
        "spanish",
        "Translate English to Spanish:|Translate from English to Spanish:|Say it in Spanish:",
    ),
    (
        "english-italian",
        "nouns",
        "italian",
        "Translate English to Italian:|Translate from English to Italian:|Say it in Italian:",
    ),
    (
        "english-dutch",
        "nouns",
        "dutch",
        "Translate English to Dutch:|Translate from English to Dutch:|Say it in Dutch:",
    ),
    (
        "english-portuguese",
        "nouns",
        "portuguese",
        "Translate English to Portuguese:|Translate from English to Portuguese:|Say it in Portuguese:",
    ),
    ("plural", "nouns", "plural", "Give the plural:|Write the plural form:|Make it more than one:"),
    ("past", "verbs", "past", "Give the past tense:|Write it in the past:|What was it yesterday?"),
    ("gerund", "verbs", "gerund", "Give the form that ends in -ing:|Write the -ing form:|Add the ending -ing:"),
    (
        "third-person",
        "verbs",
        "third",
        "Give the form after he or she:|Write it as he or she does it:|Give the third person:",
    ),
    (
        "comparative",
        "adjectives",
        "comparative",
        "Give the comparative:|Write the comparative form:|Say that it is more so:",
    ),
    (
        "superlative",
        "adjectives",
        "superlative",
        "Give the superlative:|Write the superlative form:|Say that it is most so:",
    ),
    ("antonym", "adjectives", "antonym", "Give the opposite:|Write the antonym:|Say the contrary:"),
    (
        "capital",
        "countries",
        "capital",
        "Name the capital:|Give the capital of the country:|Which city is the capital?",
    ),
    (
        "demonym",
        "countries",
        "demonym",
        "Say what is from this country:|Give the adjective of the country:|What are its people called?",
    ),
)

_SPELLED: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    (
        "first-letter",
        "Give the first letter:|Write the letter it begins with:|How does it begin?",
        lambda word: word[0],
    ),
    ("last-letter", "Give the last letter:|Write the letter it ends with:|How does it end?", lambda word: word[-1]),
    ("uppercase", "Write in capital letters:|Give it in upper case:|Make every letter a capital:", str.upper),
)

_LAST_NUMBER = 140
_BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_SMALL = tuple(_BELOW_TWENTY.split())
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass(frozen=True)
class LexiconSubtask(Subtask):
    """A sub-task of the suite; it always has an instruction."""

    instruction: str


@cache
def subtasks() -> Mapping[str, LexiconSubtask]:
    """The sub-tasks by name, in a fixed order."""
    tables = {table: bundled_table("lexicon", table) for table in ("nouns", "verbs", "adjectives", "countries")}
    made = [_told(name, wordings, _column(tables[table], column)) for name, table, column, wordings in _COLUMNS]
    words = dict.fromkeys(row["english"] for table in ("nouns", "verbs", "adjectives") for row in tables[table])
    made += [
        _told(name, wordings, tuple((word, (spell(word),)) for word in words)) for name, wordings, spell in _SPELLED
    ]
    numbers = [_number_words(number) for number in range(_LAST_NUMBER + 1)]
    made += [
        _told(
            "next-number", "Give the next number:|Write the number that follows:|Add one:", _steps(numbers, numbers[1:])
        ),
        _told(
            "digits",
            "Write in digits:|Give the number in figures:|Turn the words into a number:",
            tuple((said[0], (str(number),)) for number, said in enumerate(numbers)),
        ),
    ]
    return MappingProxyType({subtask.name: subtask for subtask in made})


def lexicon(name: str | None = None) -> MappingTask:
    """The whole suite, or one sub-task of it; an UnknownNameError where there is no such sub-task."""
    known = subtasks()
    if name is None:
        return MappingTask("lexicon", tuple(known.values()))
    if name not in known:
        raise UnknownNameError("sub-task of lexicon", name, known)
    return MappingTask(f"lexicon:{name}", (known[name],))


def _told(name: str, wordings: str, pairs: tuple[Pair, ...]) -> LexiconSubtask:
    instruction, *others = wordings.split("|")
    return LexiconSubtask(name, instruction, pairs, tuple(others))


def _column(table: list[dict[str, str]], column: str) -> tuple[Pair, ...]:
    return merged((next(iter(row.values())), accepted(row[column])) for row in table)


def _number_words(number: int) -> tuple[str, ...]:
    """The number below 200 in words, American form first."""
    if number < 20:
        return (_SMALL[number],)
    if number < 100:
        ten, one = divmod(number, 10)
        return (_TENS[ten - 2] + (f"-{_SMALL[one]}" if one else ""),)
    if number == 100:
        return ("one hundred",)
    rest = _number_words(number - 100)[0]
    return f"one hundred {rest}", f"one hundred and {rest}"


def _steps(sources: list[tuple[str, ...]], targets: list[tuple[str, ...]]) -> tuple[Pair, ...]:
    return tuple((source[0], target) for source, target in zip(sources, targets, strict=False))
