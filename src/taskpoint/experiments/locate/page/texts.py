"""Which items the table of texts by layer begins with (after the qualitative tables of paper A, first version)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from taskpoint.experiments.locate.findings import AnswerView

_MOST = 12


def most_changed(answers: Sequence[AnswerView]) -> list[int]:
    """The items whose answers change most often from one cut to the next; then those whose score gains most.

    Returns:
        Their places in `answers`, those of one condition, at most a dozen; none whose answer never changes.
    """

    def changes(place: int) -> int:
        return sum(one != other for one, other in pairwise(answers[place].texts))

    def rank(place: int) -> tuple[int, float, int]:
        scores = answers[place].scores
        return -changes(place), -round(scores[-1] - scores[0], 1), place

    return sorted(filter(changes, range(len(answers))), key=rank)[:_MOST]
