"""Answers that layers share, because they are given the very same arguments."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Answers that are held; more would be of earlier calls, or of arguments that each layer has for itself.
_MOST = 16


class Memo(Generic[T]):
    """Answers by the objects that they were made of, and by facts beside them; a few at a time."""

    def __init__(self) -> None:
        self._known: dict[tuple[Hashable, ...], tuple[tuple[Any, ...], T]] = {}

    def get(self, objects: Iterable[Any], make: Callable[[], T], *facts: Hashable) -> T:
        """The answer of `make`, which is asked once for the same objects and equal facts."""
        objects = tuple(objects)
        key = (*facts, *map(id, objects))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            # The objects are kept beside the answer: an id is only unique as long as its object lives.
            found = self._known[key] = (objects, make())
        return found[1]
