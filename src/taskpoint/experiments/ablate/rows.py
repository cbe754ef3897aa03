"""What the rows of an `ablate` run say."""

from __future__ import annotations

from dataclasses import dataclass

from taskpoint.results.rows import Layout

NONE_REMOVED = -1
"""What rows call the layer where no attention was removed."""


def condition_name(instruction: bool) -> str:
    """What rows call prompts with or without an instruction."""
    return f"attention of one layer removed{' (with instruction)' if instruction else ''}"


@dataclass(frozen=True)
class AblateRow:
    """One item, asked without the attention of one layer; None and empty texts as in `results.rows.Row`.

    Attributes:
        layer: whose attention was removed, counted from 0; -1 for none.
        logprob, rank, counts, in_language: as in `results.rows.Row`.
    """

    model: str
    task: str
    condition: str
    shots: int
    seed: int
    layer: int
    item: str
    text: str
    score: float
    logprob: float
    rank: int
    subtask: str
    query: str
    reference: str
    template: str
    examples: str
    tokens: int
    revision: str | None
    counts: str
    language: str
    in_language: float | None


LAYOUT = Layout(AblateRow, ("model", "task", "condition", "shots", "seed", "layer", "item"))
