"""The settings of a `bench` run, and what its folder says beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskpoint.settings import keep, whole, wholes

CONTEXTS = (128, 512, 2048)
"""Context lengths when the user names none; those that the model has positions for."""

MOST_PASSES = 1_000_000
"""Passes of one run at most: a small model on a quick machine takes a day for so many."""


@dataclass(frozen=True)
class BenchConfig:
    """The settings of a run; everything that decides what is measured beside the model and the machine.

    Attributes:
        cuts: cuts to measure; None takes a quarter, half and three quarters of the layers, and all of them (N, where
            nothing is cut: what hooks and checks cost).
        context: numbers of hidden tokens; None takes those of `CONTEXTS` that fit.
        query: tokens after them, which are kept.
        batch: numbers of prompts in a batch.
        new: decoding steps.
        rounds: how often every competitor runs; a ratio is taken within each round.

    Raises:
        SettingError: a value is out of range.
    """

    cuts: tuple[int, ...] | None = None
    context: tuple[int, ...] | None = None
    query: int = 32
    batch: tuple[int, ...] = (1, 8)
    new: int = 16
    rounds: int = 5

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {
            "query": whole("query", self.query, 1),
            "batch": wholes("batch", self.batch, 1),
            "new": whole("new", self.new, 1),
            "rounds": whole("rounds", self.rounds, 1),
        }
        for name, least in (("cuts", 0), ("context", 1)):
            if getattr(self, name) is not None:
                plain[name] = wholes(name, getattr(self, name), least)
        keep(self, **plain)


@dataclass(frozen=True)
class BenchFacts:
    """What else config.json says of a run: which model on which machine; not asked for, but found.

    Attributes:
        model: name of the model.
        revision: its revision, if it has one.
        family: its type.
        parameters: how many weights it has.
        dtype: its precision.
        attention: name of its attention.
        num_layers: its layers, N.
        shape: its sizes (analysis.shape.ModelShape), or why they are not known.
        machine: what of the machine decides times.
    """

    model: str
    revision: str | None
    family: str
    parameters: int
    dtype: str
    attention: str
    num_layers: int
    shape: dict[str, Any] | str
    machine: dict[str, str | int]
