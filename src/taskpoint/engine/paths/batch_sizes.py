"""How many rows a sweep takes at once: as many as free memory holds, and half as many where that was too many.

Shapes: B rows, T tokens of the prompt, P present ones, N layers.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from taskpoint.errors import ModelError
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.device import free_bytes

# Of the free memory; the rest is for what the estimate does not know (fragmentation, kernels' own space).
_SHARE = 0.5

# Bytes of one wide intermediate result from which on a CPU waits for memory: with the bundled models 4 and 8 MiB were
# the fastest of 2 to 64, and with 64 a sweep of whole prompts took a fifth longer.
_IN_CACHE = 2**23

# Wide intermediate results of a layer that live at the same time: gate, up, their product, and attention's copies.
_COPIES = 6


@dataclass(frozen=True)
class SweepSize:
    """What decides the memory of one row of a sweep, in tokens.

    Attributes:
        tokens: prompt tokens that the ordinary pass reads, T.
        present: largest number of present tokens of a row, P.
        new: answer tokens that are written for every cut; 0 in a sweep of logits.
        places: positions whose logits are wanted for every cut.
    """

    tokens: int
    present: int
    new: int
    places: int


def rows_at_once(parts: Anatomy, size: SweepSize) -> int:
    """How many rows of a sweep free memory holds; at least 1.

    Counted is what grows with rows: keys and values of the ordinary pass and of all variants, the widest intermediate
    results of a layer, and logits in float32.
    """
    layers, cuts = parts.num_layers, parts.num_layers + 1
    weights = [p for p in parts.layers[0].parameters() if p.ndim > 1]
    width = max((min(p.shape[-2:]) for p in weights), default=1)
    widest = max((max(p.shape[-2:]) for p in weights), default=1)
    item = max((p.element_size() for p in weights), default=4)
    vocab = int(getattr(parts.config, "vocab_size", 0))
    own = layers * cuts // 2 * size.present
    keys = 2 * width * item * (layers * size.tokens + (own + layers * cuts * size.new if size.new else 0))
    wide = (_COPIES * widest * item) * (size.tokens + cuts * size.present)
    logits = 3 * 4 * vocab * cuts * size.places
    device = weights[0].device if weights else torch.device("cpu")
    return max(1, int(_SHARE * free_bytes(device)) // max(1, keys + wide + logits))


def rows_in_cache(parts: Anatomy, tokens: int) -> int | None:
    """How many rows of so many tokens a CPU does at once without waiting for memory; None elsewhere, for any number."""
    weights = [p for p in parts.layers[0].parameters() if p.ndim > 1]
    if not weights or weights[0].device.type != "cpu":
        return None
    widest = max(max(p.shape[-2:]) * p.element_size() for p in weights)
    return max(1, _IN_CACHE // (widest * tokens))


class InBatches:
    """Rows in parts, some at once to begin with; where memory ends, half as many, and nothing is done twice.

    `for rows in batches:` gives slices; what is done with one stands in a `with batches.trying():`.
    """

    def __init__(self, rows: int, at_once: int) -> None:
        self._rows, self._size, self._start, self._failed = rows, min(rows, at_once), 0, False

    def __iter__(self) -> Iterator[slice]:
        """The next rows, or fewer of those that did not fit."""
        while self._start < self._rows:
            if self._failed:  # here, because what failed is only freed once its exception is gone
                self._failed, self._size = False, self._size // 2
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            yield slice(self._start, self._start + self._size)

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Does the rows at hand, which come again when memory does not hold them.

        Raises:
            ModelError: it does not hold even one.
        """
        try:
            yield
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if self._size == 1:
                raise ModelError(
                    "memory does not hold one prompt of this length; pass shorter prompts, or load the model in half "
                    "precision or on a larger device"
                ) from error
            self._failed = True
        else:
            self._start += self._size


def _is_out_of_memory(error: Exception) -> bool:
    """On the CPU torch raises a plain RuntimeError, known by its message."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
