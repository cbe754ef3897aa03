"""From the rows of a `bench` run to what its reports show.

The ideal is counted (analysis.costs.cost): for the prompt in operations, for a decoding step in bytes, because a step
multiplies each matrix with a single token and waits for memory, not for arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskpoint.analysis.costs.cost import Cost, decode_cost, prefill_cost
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.errors import RunFolderError, SettingError
from taskpoint.experiments.bench.blocks import report_of as report_of
from taskpoint.experiments.bench.config import BenchConfig, BenchFacts
from taskpoint.experiments.bench.findings import BenchLine, BenchView, Ratio
from taskpoint.experiments.bench.rows import CUT, DENSE
from taskpoint.experiments.bench.rows import LAYOUT as LAYOUT
from taskpoint.experiments.stored import damaged, read_back, read_shape
from taskpoint.results.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd


def view_of(folder: RunFolder) -> BenchView:
    """Everything that reports show, from the rows, configuration and library versions of a run.

    Raises:
        RunFolderError: it was interrupted before its first ratio, or its config.json was changed.
    """
    facts = read_back(BenchFacts, folder.manifest.config, folder.path)
    settings = read_back(BenchConfig, folder.manifest.config, folder.path)
    cuts = tuple(cut for cut in settings.cuts or () if isinstance(cut, int))
    if settings.context is None or not cuts or cuts != settings.cuts:
        raise damaged(folder.path, "'cuts' and 'context' are not named")
    ideals, no_ideal = _ideals(facts, settings, folder.path)
    rows = folder.frame()
    lines = []
    for batch, context in itertools.product(sorted(settings.batch), sorted(settings.context)):
        found = rows[(rows["batch"] == batch) & (rows["context"] == context)].sort_values("round")
        if not len(found):
            continue
        for cut in sorted(cuts):
            dense, under = found[found["side"] == DENSE], found[(found["side"] == CUT) & (found["cut"] == cut)]
            ideal = ideals.of(batch, context, cut) if ideals else {}
            lines.append(BenchLine(batch, context, cut, _measures(dense, under, ideal)))
    if not lines:
        raise RunFolderError("the run has no complete ratio yet; run the same command again to continue it")
    return BenchView(
        model=facts.model,
        num_layers=facts.num_layers,
        query=settings.query,
        new=settings.new,
        rounds=settings.rounds,
        lines=tuple(lines),
        settings=dict(folder.manifest.config),
        versions=dict(folder.versions),
        no_ideal=no_ideal,
    )


def _measures(
    dense: pd.DataFrame, under: pd.DataFrame, ideal: Mapping[str, tuple[float | None, float | None]]
) -> Mapping[str, Ratio]:
    measures = {}
    columns = {"prefill": "prefill_seconds", "decode": "decode_seconds", "kv": "kv_bytes", "peak": "peak_bytes"}
    for name, column in columns.items():
        above = dense[column].dropna().to_numpy(dtype=np.float64)  # [rounds]
        below = under[column].dropna().to_numpy(dtype=np.float64)  # [rounds]
        if not len(above) or len(above) != len(below):  # a device that does not tell its peak
            continue
        low, middle, high = np.quantile(above / below, [0.25, 0.5, 0.75])
        counted, flops = ideal.get(name, (None, None))
        measures[name] = Ratio(
            dense=float(np.median(above)),
            under_cut=float(np.median(below)),
            ratio=float(middle),
            low=float(low),
            high=float(high),
            ideal=counted,
            ideal_flops=flops,
        )
    return measures


class _Ideals:
    """What counting gives for one run."""

    def __init__(self, shape: ModelShape, dtype: str, query: int, new: int) -> None:
        self._shape, self._dtype, self._query, self._new = shape, dtype, query, new

    def of(self, batch: int, context: int, cut: int) -> Mapping[str, tuple[float | None, float | None]]:
        """By measure: the ideal ratio, and the one of operations."""
        shape, tokens = self._shape, context + self._query

        def steps(hidden: int) -> list[Cost]:
            return [
                decode_cost(shape, tokens + step, hidden, cut, batch=batch, dtype=self._dtype)
                for step in range(self._new)
            ]

        dense, under = steps(0), steps(context)
        read = prefill_cost(shape, tokens).flops / prefill_cost(shape, tokens, context, cut).flops
        moved = sum(cost.moved_bytes for cost in dense) / sum(cost.moved_bytes for cost in under)
        flops = sum(cost.flops for cost in dense) / sum(cost.flops for cost in under)
        stored = dense[-1].kv_bytes / under[-1].kv_bytes
        return {"prefill": (read, read), "decode": (moved, flops), "kv": (stored, None)}


def _ideals(facts: BenchFacts, settings: BenchConfig, folder: Path) -> tuple[_Ideals | None, str | None]:
    """The counting of a run, or why there is none."""
    if isinstance(facts.shape, str):
        return None, facts.shape
    found = _Ideals(read_shape(facts.shape, folder), facts.dtype, settings.query, settings.new)
    try:
        found.of(1, 1, 0)
    except SettingError as error:
        return None, f"the ideal is not known for this model: {error}"
    return found, None


def write(view: BenchView, folder: Path) -> Mapping[str, Path]:
    """Writes the figure, and all numbers as JSON."""
    from taskpoint.report.figure import save_figure
    from taskpoint.results.atomic import save_whole

    figure = save_figure(report_of(view).drawn, folder / "figure.pdf")
    return {"figure": figure, "JSON": save_whole(folder / "bench.json", view.as_json().encode())}
