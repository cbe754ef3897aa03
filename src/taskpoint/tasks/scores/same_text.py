"""When two texts count as the same answer, and when as the same input."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator


def normalise(text: str) -> str:
    """Unicode NFC, stripped, every run of white space one space. Letters keep their case: "Berlin" is not "berlin"."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact_match(text: str, answers: Iterable[str]) -> float:
    """1.0 when the normalised text equals one of the normalised answers, else 0.0."""
    said = normalise(text)
    return float(any(said == normalise(answer) for answer in answers))


def contains(text: str, answers: Iterable[str]) -> float:
    """1.0 when one of the normalised answers stands in the normalised text as whole words, else 0.0."""
    said = normalise(text)
    return float(any(True for answer in answers for _ in _places(said, normalise(answer))))


def begins(text: str, answers: Iterable[str]) -> float:
    """1.0 when the normalised text begins with the whole words of a normalised answer, else 0.0."""
    said = normalise(text)
    return float(any(0 in _places(said, normalise(answer)) for answer in answers))


def _places(said: str, wanted: str) -> Iterator[int]:
    """Where a text stands in another without being a part of longer words."""
    place = said.find(wanted)
    while place >= 0:
        end = place + len(wanted)
        if not _one_word(said[place - 1 : place], wanted[:1]) and not _one_word(wanted[-1:], said[end : end + 1]):
            yield place
        place = said.find(wanted, place + 1)


def _one_word(left: str, right: str) -> bool:
    """Whether two neighbours, either of them perhaps none, are of one word."""
    return (
        left.isalnum() and right.isalnum() and not any(_SPACELESS.match(unicodedata.name(c, "")) for c in left + right)
    )


# Scripts that put no space between words, or (Korean) none before the endings of words.
_SPACELESS = re.compile("CJK|HIRAGANA|KATAKANA|HANGUL|THAI|LAO|KHMER|MYANMAR|TIBETAN")


def input_key(text: str) -> str:
    """What inputs share that must not meet in one prompt: case and closing punctuation do not tell them apart.

    With "Hello!" as an example, the query "hello." would be answered by copying.
    """
    folded = normalise(text).casefold()
    return folded.rstrip(" .!?…") or folded
