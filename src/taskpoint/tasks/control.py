"""Wrong answers for the control prompts: if shuffling them does no harm, the answers were not what was recognised."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from taskpoint.errors import PromptError
from taskpoint.tasks.drawing import permutation
from taskpoint.tasks.scores.same_text import input_key


def wrong_answers(
    accepted: Sequence[Sequence[str]], offered: Iterator[str], width: int, draws: np.random.Generator
) -> tuple[str, ...]:
    """An answer for each example that is not accepted for it, each offered answer used at most once.

    Random-label control of Min et al., "Rethinking the Role of Demonstrations" (2022), section 4, with the labels drawn
    from the task's own answers. Where a task has two answers only, every example is given the other one.

    Of `offered` the first are preferred: `width` are taken at first, and twice as many whenever these do not do.
    `draws` shuffles those taken.

    Raises:
        PromptError: The offered answers run out, because too many of them are the same.
    """
    forbidden = [frozenset(map(input_key, answers)) for answers in accepted]
    taken: list[str] = []
    while more := list(islice(offered, max(1, width, len(taken)))):
        taken += more
        mixed = [taken[place] for place in permutation(draws, len(taken))]
        given = _matching(forbidden, [input_key(answer) for answer in mixed])
        if given is not None:
            return tuple(mixed[place] for place in given)
    raise PromptError(
        f"the answers of the {len(accepted)} examples cannot be shuffled: among {len(taken)} answers too few differ; "
        "ask for fewer shots, or do without the control of shuffled answers"
    )


def _matching(forbidden: Sequence[frozenset[str]], offered: Sequence[str]) -> list[int] | None:
    """A place in ``offered`` for each example, none twice, or ``None`` only when that is impossible.

    Augmenting paths, breadth first: an example may push another from its place when that one finds a new place.
    """
    owner: dict[int, int] = {}
    place_of: dict[int, int] = {}
    for example in range(len(forbidden)):
        reached: dict[int, int] = {}
        waiting = deque([example])
        free: int | None = None
        while waiting and free is None:
            seeker = waiting.popleft()
            for place, answer in enumerate(offered):
                if place in reached or answer in forbidden[seeker]:
                    continue
                reached[place] = seeker
                if place not in owner:
                    free = place
                    break
                waiting.append(owner[place])
        if free is None:
            return None
        while free is not None:
            seeker = reached[free]
            left = place_of.get(seeker)
            owner[free], place_of[seeker] = seeker, free
            free = left
    return [place_of[example] for example in range(len(forbidden))]
