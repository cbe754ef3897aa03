"""Prompts of a test set that begin alike: their common context is read once, not once an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from taskpoint.prompts.segments import Segment, SegmentedPrompt

# Prompts of one context at least: fewer fill a batch less well than they do together with all others.
_SHARE_FROM = 8


@dataclass(frozen=True)
class Group:
    """Prompts that are asked together, by their places in the list.

    Attributes:
        context: number of tokens with which all of them begin, hidden alike; 0 for none.
    """

    rows: tuple[int, ...]
    context: int


def grouped_by_context(prompts: Sequence[SegmentedPrompt], hidden: Sequence[Bool[np.ndarray, " _"]]) -> list[Group]:
    """Prompts with the same tokens before the query, where there are enough of them; all others in one group.

    Every prompt is in one group.
    """
    alike: dict[tuple[bytes, bytes], list[int]] = {}
    lengths = [_context(prompt) for prompt in prompts]
    for row, (prompt, mask, length) in enumerate(zip(prompts, hidden, lengths, strict=True)):
        alike.setdefault((prompt.ids[:length].tobytes(), mask[:length].tobytes()), []).append(row)
    shared = [rows for rows in alike.values() if len(rows) >= _SHARE_FROM and lengths[rows[0]]]
    found = [Group(tuple(rows), lengths[rows[0]]) for rows in shared]
    others = sorted(set(range(len(prompts))).difference(*shared))
    return [*found, Group(tuple(others), 0)] if others else found


def _context(prompt: SegmentedPrompt) -> int:
    """Number of tokens before the query; the last token of a prompt is never part of its context."""
    query = np.flatnonzero(prompt.segments >= Segment.QUERY)
    return int(query[0]) if len(query) else 0
