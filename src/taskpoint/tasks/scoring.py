"""When two texts count as the same answer, and when as the same input."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def normalise(text: str) -> str:
    """Unicode NFC, stripped, every run of white space one space. Letters keep their case: "Berlin" is not "berlin"."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact_match(text: str, answers: Iterable[str]) -> float:
    """1.0 when the normalised text equals one of the normalised answers, else 0.0."""
    said = normalise(text)
    return float(any(said == normalise(answer) for answer in answers))


def input_key(text: str) -> str:
    """What inputs share that must not meet in one prompt: case and closing punctuation do not tell them apart.

    With "Hello!" as an example, the query "hello." would be answered by copying.
    """
    folded = normalise(text).casefold()
    return folded.rstrip(" .!?…") or folded
