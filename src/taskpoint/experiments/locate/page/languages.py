"""How the language of an answer changes as the cut moves, and which items tell it best."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from taskpoint.experiments.locate.findings import AnswerView

UNKNOWN = "unclear"
_FEW_CHANGES = 2  # more than that is a flicker and no story
_MOST_STORIES = 12


def _stretches(languages: Sequence[str]) -> list[tuple[int, int, str]]:
    """First place, last place and language of every run of equal languages."""
    found = []
    for language, run in groupby(range(len(languages)), key=lambda place: languages[place]):
        places = list(run)
        found.append((places[0], places[-1], language))
    return found


def changes(cuts: Sequence[int], languages: Sequence[str]) -> str:
    """The languages of one answer by cut in one line; "" stands for one that is unknown.

    Returns:
        E.g. "r = 0 to 2: German; from r = 3: French", or "French at every cut".
    """
    stretches = _stretches(languages)
    if len(stretches) == 1:
        return f"{languages[0] or UNKNOWN} at every cut"

    def when(first: int, last: int) -> str:
        if first == last:
            return f"r = {cuts[first]}"
        return f"from r = {cuts[first]}" if last == len(cuts) - 1 else f"r = {cuts[first]} to {cuts[last]}"

    return "; ".join(f"{when(first, last)}: {language or UNKNOWN}" for first, last, language in stretches)


def stories(answers: Sequence[AnswerView]) -> list[int]:
    """The items whose answers tell best when the model knows which language is asked for.

    The language at r = 0 must be another than with nothing cut, both known, and the score must gain by it. Few changes
    come before many, then a high gain before a low one, then a long sentence before a short one, for a single word
    convinces nobody.

    Returns:
        Their places in `answers`, those of one condition; the best first, at most a dozen.
    """

    def rank(place: int) -> tuple[bool, float, int, int]:
        answer = answers[place]
        many = len(_stretches(answer.languages or ())) - 1 > _FEW_CHANGES
        return many, -round(answer.scores[-1] - answer.scores[0], 1), -len(answer.reference), place

    telling = [
        place
        for place, answer in enumerate(answers)
        if answer.languages is not None
        and answer.languages[0]
        and answer.languages[-1]
        and answer.languages[0] != answer.languages[-1]
        and answer.scores[-1] > answer.scores[0]
    ]
    return sorted(telling, key=rank)[:_MOST_STORIES]
