"""What enters the lowest layer that is trained, of every training sequence: computed once, and kept.

Nothing below that layer changes in training, so neither does what it gives. Where the next layer is trained, what was
kept is moved up by one layer; all layers one after the other cost one pass over the sequences.

B sequences, T tokens, D width of the residual stream.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from taskpoint.engine.some_layers import SomeLayers

# Sequences that are moved up at once. Always the same ones together, so that what is kept does not depend, not by one
# bit, on whether a run was killed in between.
_AT_ONCE = 32


class KeptStates:
    """Hidden states of training sequences, in the memory of the machine."""

    def __init__(
        self,
        layers: SomeLayers,
        sequences: Sequence[Int64[np.ndarray, " _"]],
        pad: int,
        device: torch.device,
        most_bytes: int,
    ) -> None:
        """Keeps nothing yet.

        Args:
            layers: those of the model.
            sequences: token ids of each.
            pad: any token; what it gives is never read.
            device: where the model takes its tokens.
            most_bytes: what may be kept; nothing is where all of it does not fit, and whoever asks computes it anew.
        """
        self._layers, self._most_bytes = layers, most_bytes
        self._parts = list[tuple[list[int], Int64[Tensor, "B T"]]]()
        order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
        for start in range(0, len(order), _AT_ONCE):
            rows = order[start : start + _AT_ONCE]
            self._parts.append((rows, padded([sequences[row] for row in rows], pad).to(device)))
        self._place = {row: (part, at) for part, (rows, _) in enumerate(self._parts) for at, row in enumerate(rows)}
        self._states: list[Tensor] | None = None
        self._layer = 0

    def enter(self, layer: int) -> None:
        """Keeps from now on what enters this layer; quickest where it is above the one before."""
        if layer == self._layer:
            return
        if layer < self._layer:
            self._states = None
        before, first = self._states, self._layer if self._states is not None else 0
        self._states, self._layer = [], layer
        if layer == 0:  # the embeddings are computed in every call of the model
            self._states = None
            return
        tokens = sum(ids.numel() for _, ids in self._parts)
        for part, (_, ids) in enumerate(self._parts):
            found = self._layers.states(ids, layer, first, None if before is None else before[part])
            if found.numel() // ids.numel() * tokens * found.element_size() > self._most_bytes:
                self._states = None
                return
            kept = found.cpu()
            self._states.append(kept)
            if before is not None:
                before[part] = kept  # frees what was kept below

    def of(self, rows: Sequence[int], length: int) -> Float[Tensor, "B T D"] | None:
        """What is kept of some sequences, padded on the right to a length; None where nothing is."""
        if self._states is None:
            return None
        width = self._states[0].shape[-1]
        found = torch.zeros(len(rows), length, width, dtype=self._states[0].dtype)
        for place, row in enumerate(rows):
            part, at = self._place[row]
            own = self._states[part][at, :length]
            found[place, : len(own)] = own
        return found


def padded(sequences: Sequence[Int64[np.ndarray, " _"]], pad: int) -> Int64[Tensor, "B T"]:
    """Sequences as one batch, padded on the right."""
    found = np.full((len(sequences), max(map(len, sequences))), pad, dtype=np.int64)
    for row, ids in enumerate(sequences):
        found[row, : len(ids)] = ids
    return torch.from_numpy(found)
