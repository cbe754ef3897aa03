"""Competitors timed in turn, and what came of it: every figure is a median over rounds, every ratio is within a round.

A machine that slows down for a while slows all competitors of a round, so ratios hold where seconds do not. Each round
begins with another competitor, so that none always follows the same one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

Times = dict[str, list[float]]
Competitor = Callable[[], float | Mapping[str, float]]


@dataclass(frozen=True)
class Spread:
    """Median and extremes of one figure over the rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The median of some rounds, and how far they lie apart."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(times: Times, above: str, below: str, over: float = 1.0) -> list[float]:
    """How many times longer one competitor takes than another in each round, divided by `over`."""
    return [a / b / over for a, b in zip(times[above], times[below], strict=True)]


def ratio(times: Times, above: str, below: str, over: float = 1.0) -> Spread:
    """The spread of `ratios`."""
    return spread(ratios(times, above, below, over))


def overhead(times: Times, name: str, other: str) -> Spread:
    """Per cent that one competitor takes longer than another in the same round."""
    return spread([100 * (value - 1) for value in ratios(times, name, other)])


def now(device: torch.device) -> float:
    """The time, on a GPU once the work that was started is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(runs: Mapping[str, Callable[[], Any]], device: torch.device) -> dict[str, Competitor]:
    """Competitors for `rounds` that are timed from the call to the return."""

    def competitor(run: Callable[[], Any]) -> Competitor:
        def seconds() -> float:
            start = now(device)
            run()
            return now(device) - start

        return seconds

    return {name: competitor(run) for name, run in runs.items()}


def rounds(competitors: Mapping[str, Competitor], count: int) -> Times:
    """Seconds of every competitor, round by round; a first round that is not counted warms up.

    Args:
        competitors: each runs once when called, and says how many seconds it took, or those of its parts by name.
        count: number of rounds that count.

    Returns:
        Seconds by competitor; those of a part by competitor and part: "cut prefill". [count] each
    """
    names = list(competitors)
    times: dict[str, Times] = {name: {} for name in names}
    for number in range(count + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken = competitors[name]()
            parts = taken if isinstance(taken, Mapping) else {"": taken}
            for part, value in parts.items() if number else ():
                times[name].setdefault(part, []).append(value)
    return {f"{name} {part}".strip(): values for name in names for part, values in times[name].items()}


@dataclass
class Table:
    """Figures with their targets, printed as a Markdown section."""

    title: str
    about: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(
        self, name: str, figure: Spread | float, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """One row; a target is held against the median."""
        median = figure.median if isinstance(figure, Spread) else figure
        between = f"{digits(figure.low)} to {digits(figure.high)}" if isinstance(figure, Spread) else ""
        target = ""
        if at_least is not None:
            target = f"at least {at_least:g}: {'met' if median >= at_least else 'NOT MET'}"
        elif at_most is not None:
            target = f"at most {at_most:g}: {'met' if median <= at_most else 'NOT MET'}"
        self.rows.append((name, digits(median), between, target))

    def show(self) -> None:
        """Prints it."""
        print(f"### {self.title}\n\n{self.about}\n")
        print("| measure | median | lowest to highest | target |\n| --- | ---: | ---: | --- |")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")
        print(flush=True)


def digits(value: float) -> str:
    """Three digits, as people write them."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    if abs(value) >= 999.5 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")
