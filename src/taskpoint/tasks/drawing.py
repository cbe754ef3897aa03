"""Seeded draws that are the same on every machine and every version of Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np


def generator(*names: str | int) -> np.random.Generator:
    """A PCG64 generator seeded with the SHA-256 of the names; Python's own ``hash`` differs from run to run."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def permutation(draws: np.random.Generator, count: int) -> Iterator[int]:
    """The numbers 0 … count-1 in random order, one at a time.

    Fisher-Yates on a sparse array: the first k numbers cost k draws however large ``count`` is, and they do not depend
    on how many more are taken.
    """
    moved: dict[int, int] = {}
    for place in range(count):
        chosen = int(draws.integers(place, count))
        yield moved.get(chosen, chosen)
        moved[chosen] = moved.pop(place, place)
