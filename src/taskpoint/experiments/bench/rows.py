"""What one row of a `bench` run says: one pass of one competitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from taskpoint.results.rows import Layout

DENSE: Final = "dense"
"""The model without a cut."""
CUT: Final = "cut"


@dataclass(frozen=True)
class BenchRow:
    """One timed pass; the order of the fields is the order of the columns.

    Attributes:
        batch: number of prompts.
        context: tokens of each that are hidden above the cut; the query follows them.
        side: `DENSE` or `CUT`.
        cut: number of layers that see the context; all of them for `DENSE`.
        round: which round, from 0. In a round every competitor runs once.
        prefill_seconds: as `Timed` (passes.py) has it, like the two below.
        peak_bytes: most memory at one time above what was in use before, in a pass of its own that is not timed and
            stands in round 0; None in other rounds, and on devices that do not tell.
    """

    batch: int
    context: int
    side: str
    cut: int
    round: int
    prefill_seconds: float
    decode_seconds: float
    kv_bytes: int
    peak_bytes: int | None = None


LAYOUT = Layout(BenchRow, ("batch", "context", "side", "cut", "round"))
