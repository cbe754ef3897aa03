"""How numbers are written for people: scores, intervals, shares, times, sizes."""

from __future__ import annotations

import math
from typing import Literal

# Metrics from 0 to 100: one decimal whatever the size, as papers print them.
OF_HUNDRED = ("BLEU", "chrF", "chrF++")

Unit = Literal["", "share", "times"]
"""How a number is meant: as it is, as a share from 0 to 1, or as how many times as much."""


def score(value: float, metric: str = "") -> str:
    """A score with as many decimals as it deserves: 3.1 and 37.4 for BLEU, otherwise by size, 0.94 and 40.9."""
    text = f"{value:.1f}" if metric in OF_HUNDRED or abs(value) >= 10 else f"{value:.2f}"
    return text.removeprefix("-") if float(text) == 0 else text


def span(low: float, high: float, metric: str = "") -> str:
    """An interval in short, e.g. "0.91-0.96"; ends below zero are kept apart by dots, not by a second dash."""
    return f"{score(low, metric)}{'-' if low >= 0 else '..'}{score(high, metric)}"


def percent(share: float) -> str:
    """A share as whole percent, e.g. "41 %"."""
    return f"{round(100 * share)} %"


def duration(seconds: float) -> str:
    """A time in milliseconds with three digits, such as "12.3" or "0.0451"."""
    return _three_digits(1000 * seconds)


def size(count: float) -> str:
    """Bytes in the largest unit that leaves at least 1, such as "1.44 MiB"."""
    units = ["B", "KiB", "MiB", "GiB"]
    while count >= 1024 and len(units) > 1:
        count, units = count / 1024, units[1:]
    return f"{count:.0f} B" if units[0] == "B" else f"{_three_digits(count)} {units[0]}"


def times(ratio: float) -> str:
    """A ratio with two decimals, such as "1.87", or three digits from ten on."""
    return f"{ratio:.2f}" if ratio < 10 else _three_digits(ratio)


def written(value: float, unit: Unit, metric: str = "") -> str:
    """A number in its unit, e.g. "0.94", "41 %" or "1.87"."""
    return percent(value) if unit == "share" else times(value) if unit == "times" else score(value, metric)


def between(low: float, high: float, unit: Unit, metric: str = "") -> str:
    """An interval in its unit, e.g. "0.91-0.96" or "39 %-43 %"."""
    return span(low, high, metric) if not unit else f"{written(low, unit)}-{written(high, unit)}"


def _three_digits(value: float) -> str:
    if value <= 0:
        return "0"
    decimals = 2 - math.floor(math.log10(value))
    return f"{round(value, decimals):.{max(decimals, 0)}f}"
