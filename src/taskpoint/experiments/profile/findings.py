"""What a `profile` run says, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

from taskpoint.analysis.agreement import Agreement
from taskpoint.analysis.intervals import Interval


@dataclass(frozen=True)
class Evidence:
    """What one experiment says of every layer.

    Attributes:
        kind: the experiment.
        what: what its numbers are.
        values: by layer; `low` and `high` are the ends of their intervals.
        pointed: the number of layers that it points at, with its interval; None where it points at none.
    """

    kind: str
    what: str
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    pointed: Interval | None


@dataclass(frozen=True)
class Pair:
    """How far two experiments agree, by their kinds."""

    one: str
    other: str
    found: Agreement


@dataclass(frozen=True)
class ProfileView:
    """Everything that a report of `profile` shows; pairs are those of the evidence, in its order."""

    model: str
    task: str
    num_layers: int
    evidence: tuple[Evidence, ...]
    pairs: tuple[Pair, ...]
    command: str
