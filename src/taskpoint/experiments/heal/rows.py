"""What one row of a `heal` run says: one item, asked of a model with an adapter or without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskpoint.results.rows import Layout

UNHEALED: Final = "unhealed"
"""Under the cut, without an adapter; at r = N the ordinary model."""
HEALED: Final = "healed"
"""Under the cut that the adapter was taught for."""
UNCUT: Final = "healed, uncut"
"""With the adapter that was taught for the cut, but nothing cut."""
ZERO_SHOT: Final = "zero-shot"
"""The ordinary model, asked without what is hidden elsewhere."""
BY_HEART: Final = "healed, zero-shot"
"""Asked without what is hidden elsewhere, with an adapter that was taught so."""


@dataclass(frozen=True)
class HealRow:
    """One answer; the order of the fields is the order of the columns. What is not told here is as in `Row`.

    Attributes:
        condition: one of the names above.
        seed: which repetition.
        cut: the cut that it was asked under; for "healed, uncut" the one that the adapter was taught for; N for
            prompts of which nothing is hidden.
        divergence_before: mean divergence from the uncut model in the first tenth of the training steps, in nats for
            each answer token: KL(uncut || cut). None where nothing was trained.
        divergence: the same in the last tenth.
    """

    model: str
    task: str
    condition: str
    shots: int
    seed: int
    cut: int
    item: str
    text: str
    score: float
    subtask: str
    query: str
    reference: str
    template: str
    tokens: int
    hidden: int
    revision: str | None
    counts: str
    language: str
    in_language: float | None
    divergence_before: float | None = None
    divergence: float | None = None


LAYOUT = Layout(HealRow, ("condition", "shots", "seed", "cut", "item"))
