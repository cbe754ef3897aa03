"""What one row of a `heads` run says: the answer to one item with some heads open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskpoint.results.rows import Layout

UNTOUCHED: Final = "untouched"
"""The model as it is."""
GATES: Final = "gates"
"""With the gates that were trained, numbers from 0 to 1."""
MASK: Final = "mask"
"""With every gate either 0 or 1."""
RANDOM: Final = "random heads"
"""With as many heads closed as in the mask, but others."""


@dataclass(frozen=True)
class HeadsRow:
    """One answer; the order of the fields is the order of the columns.

    Attributes:
        condition: `UNTOUCHED`, `GATES`, `MASK` or `RANDOM`.
        penalty: the one that gates were trained with; None for the untouched model, like `train_shots`.
        seed: draws the examples, the noise of training, and random heads.
        draw: which random mask, from 0; 0 for all else.
        shots: examples in the prompt.
        open_heads: heads whose gate is above 0.
        epochs: epochs of the training; None for the untouched model.
        loss: of the held-out prompts after training, nats per answer token; None likewise.
        counts: as `results.rows.Row` has it.
    """

    condition: str
    penalty: float | None
    train_shots: int | None
    seed: int
    draw: int
    shots: int
    item: str
    text: str
    score: float
    open_heads: int
    epochs: int | None = None
    loss: float | None = None
    counts: str = ""
    subtask: str = ""
    query: str = ""
    reference: str = ""


LAYOUT = Layout(HeadsRow, ("condition", "penalty", "train_shots", "seed", "draw", "shots", "item"))
