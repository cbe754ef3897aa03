"""What table, figure and JSON of a `bench` run show: numbers only, no tensor and no file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "prefill": ("reading the prompt", "s"),
        "decode": ("each decoded token", "s"),
        "kv": ("keys and values", "bytes"),
        "peak": ("peak memory", "bytes"),
    }
)
"""Measure -> what it is in words, and its unit."""

MEANING: Mapping[str, str] = MappingProxyType(
    {
        "ratio": "dense / under_cut, the median over rounds of the ratio within a round; low and high are quartiles",
        "ideal": "the same ratio counted instead of measured: of operations for prefill, of bytes that memory must "
        "give (every matrix, key and value once) for decode, of bytes stored for kv",
        "ideal_flops": "the counted ratio of operations",
        "share": "ratio / ideal",
        "kv": "memory held by the tensors of the live cache after the last decoded token",
        "peak": "most memory at one time above what was in use before the pass, prefill and decoding together; on a "
        "CPU as torch's profiler records its allocator, on CUDA as torch counts it",
    }
)
"""How the numbers are meant; stands in every JSON file beside them."""


@dataclass(frozen=True)
class Ratio:
    """One measure without and with a cut.

    Attributes:
        dense: median over rounds of the model without a cut.
        under_cut: median over rounds of the model with one.
        ratio: median over rounds of how many times as much the dense model takes, within a round; `low` and `high` are
            its quartiles.
        ideal: the ratio that counting gives; None where nothing can be counted.
        ideal_flops: the ratio of operations, where that is counted.
    """

    dense: float
    under_cut: float
    ratio: float
    low: float
    high: float
    ideal: float | None = None
    ideal_flops: float | None = None

    @property
    def share(self) -> float | None:
        """Which part of the ideal ratio is reached; None without an ideal."""
        return None if self.ideal is None else self.ratio / self.ideal


@dataclass(frozen=True)
class BenchLine:
    """One cut at one batch size and context length.

    Attributes:
        batch: number of prompts.
        context: hidden tokens of each.
        cut: number of layers that still see them.
        measures: by name (`MEASURES`); those that were not measured are left out.
    """

    batch: int
    context: int
    cut: int
    measures: Mapping[str, Ratio]


@dataclass(frozen=True)
class BenchView:
    """A whole benchmark.

    Attributes:
        query: kept tokens after the context.
        new: decoding steps.
        rounds: how often every competitor ran.
        lines: ordered by batch, context and cut.
        settings: what was measured and on which machine, by name, as JSON values.
        versions: library -> version.
        no_ideal: why nothing can be counted; None where it can.
    """

    model: str
    num_layers: int
    query: int
    new: int
    rounds: int
    lines: tuple[BenchLine, ...]
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    no_ideal: str | None = None

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of prompts, ascending."""
        return tuple(sorted({line.batch for line in self.lines}))

    @property
    def contexts(self) -> tuple[int, ...]:
        """Numbers of hidden tokens, ascending."""
        return tuple(sorted({line.context for line in self.lines}))

    @property
    def cuts(self) -> tuple[int, ...]:
        """The cuts, ascending."""
        return tuple(sorted({line.cut for line in self.lines}))

    def of(self, batch: int, context: int) -> tuple[BenchLine, ...]:
        """The lines of one batch size and context length, by cut."""
        return tuple(line for line in self.lines if (line.batch, line.context) == (batch, context))

    def table(self) -> Iterator[Mapping[str, object]]:
        """One row per batch, context, cut and measure."""
        for line in self.lines:
            for name, found in line.measures.items():
                yield {
                    "batch": line.batch,
                    "context": line.context,
                    "cut": line.cut,
                    "measure": name,
                    "unit": MEASURES[name][1],
                    "dense": found.dense,
                    "under_cut": found.under_cut,
                    "ratio": found.ratio,
                    "low": found.low,
                    "high": found.high,
                    "ideal": found.ideal,
                    "ideal_flops": found.ideal_flops,
                    "share": found.share,
                }

    def as_json(self) -> str:
        """Everything as JSON: settings and machine, versions, what the numbers mean, and the rows of `table`."""
        content = {
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "meaning": dict(MEANING),
            "no_ideal": self.no_ideal,
            "rows": [dict(row) for row in self.table()],
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
