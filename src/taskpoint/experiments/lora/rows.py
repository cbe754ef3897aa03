"""What one row of a `lora` run says: one item, asked of a model with an adapter or without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskpoint.results.rows import Layout

NONE: Final = "none"
"""No adapter: the model as it is."""
LAYER: Final = "layer"
"""An adapter on one layer."""
ALL: Final = "all"
"""An adapter on every layer."""


@dataclass(frozen=True)
class LoraRow:
    """One answer; the order of the fields is the order of the columns. What is not told here is as in `Row`.

    Attributes:
        adapter: one of the names above.
        layer: the layer that has one; None for none or all.
        size: pairs that it was trained on; 0 for none.
        steps: training steps that were made.
        loss: mean of the last tenth of them, nats per taught token; None where nothing was trained.
        check: smallest loss on pairs that were not trained on; None where it was not looked at.
    """

    model: str
    task: str
    adapter: str
    layer: int | None
    size: int
    seed: int
    steps: int
    item: str
    text: str
    score: float
    subtask: str
    query: str
    reference: str
    template: str
    shots: int
    revision: str | None
    counts: str
    language: str
    in_language: float | None
    loss: float | None = None
    check: float | None = None


LAYOUT = Layout(LoraRow, ("adapter", "layer", "size", "seed", "item"))
