"""How much of what a cut should save is saved on this machine?"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from taskpoint.configuration import described
from taskpoint.engine.calls.forward import check_free
from taskpoint.engine.finite import check_finite
from taskpoint.errors import SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.bench.config import BenchConfig
from taskpoint.experiments.bench.findings import BenchView
from taskpoint.experiments.bench.fitting import fitted
from taskpoint.experiments.bench.passes import Clock, Passes
from taskpoint.experiments.bench.rows import CUT, DENSE, BenchRow
from taskpoint.experiments.bench.subject import Subject, facts
from taskpoint.experiments.contract import Step, Work
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.models.anatomy import anatomy
from taskpoint.models.loading import LanguageModel, load
from taskpoint.progress import Progress
from taskpoint.results.atomic import save_whole
from taskpoint.settings import place, shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class BenchResult:
    """What `bench` measured.

    Attributes:
        rows: one row per pass (`BenchRow`).
        view: ratios, ideals and shares, as reports show them.
        folder: where the rows are; None when they were not kept.
    """

    rows: pd.DataFrame
    view: BenchView
    folder: Path | None

    def frame(self) -> pd.DataFrame:
        """One row per batch, context, cut and measure: dense, under_cut, unit, ratio, low, high, ideal, share."""
        import pandas as pd

        return pd.DataFrame(list(self.view.table()))

    def plot(self, path: str | Path) -> Path:
        """Writes the figure; the suffix chooses PDF, SVG or PNG."""
        from taskpoint.experiments.bench.blocks import figure_blocks
        from taskpoint.report.figure import save_figure

        return save_figure(figure_blocks(self.view), path)

    def save(self, path: str | Path) -> Path:
        """Writes everything as JSON: settings, machine, versions, and the rows of `frame`."""
        return save_whole(place("path", path), self.view.as_json().encode())


@described(BenchConfig)
def bench(  # noqa: D417  # settings are told by `described`
    model: LanguageModel | PreTrainedModel | str,
    cuts: Sequence[int | str] | None = None,
    context: int | Sequence[int] | None = None,
    query: int = BenchConfig.query,
    batch: int | Sequence[int] = BenchConfig.batch,
    new: int = BenchConfig.new,
    rounds: int = BenchConfig.rounds,
    out: str | Path | None = None,
    *,
    progress: Progress | None = None,
) -> BenchResult:
    """Measures what a cut saves: time to read a prompt, time per decoded token, cache and peak memory.

    Competitors, the model without a cut and under each cut, run in turn in every round; tokens are random.

    Args:
        model: from `taskpoint.load`, what that loads it by, or any transformers decoder.
        out: folder to write to, or to continue; None keeps nothing.
        progress: called with the passes done, the passes there are, and a note.

    All other arguments are settings, told below. Beside the rounds there is one pass to warm up, and one to weigh
    memory.

    Returns:
        Rows, ratios, figure and JSON.

    Raises:
        SettingError: the settings do not fit the model or each other, or its memory.
        ModelError: the model cannot be cut, or computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    config = BenchConfig.of(cuts=cuts, context=context, query=query, batch=batch, new=new, rounds=rounds)
    subject = Subject.of(load(model) if isinstance(model, str | os.PathLike) else model)
    return run(subject, config, None if out is None else place("out", out), progress)


def run(
    subject: Subject,
    config: BenchConfig,
    out: str | Path | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> BenchResult:
    """Runs `bench` with a configuration; arguments and errors as there."""
    told = None if progress is None else lambda done, known, note="": progress(done, known, note)
    found = runner.run(EXPERIMENTS["bench"], Bench(subject, config, clock), out, told)
    return BenchResult(found.rows, found.view, found.folder)


def start(subject: Subject, config: BenchConfig) -> Bench:
    """The run of a model; errors as `bench`."""
    return Bench(subject, config)


@dataclass(frozen=True)
class Pair:
    """A batch size with a context length: written at once, for its ratios are only fair when measured together."""

    batch: int
    context: int

    @property
    def key(self) -> str:
        """Its name in a run folder."""
        return f"batch={self.batch} context={self.context}"


class Bench(Work[Pair]):
    """What `bench` measures: competitors in turn, round by round."""

    def __init__(self, subject: Subject, config: BenchConfig, clock: Clock = time.perf_counter) -> None:
        self.config = fitted(subject, config)
        self._subject, self._clock = subject, clock
        self._layers = anatomy(subject.model).num_layers
        self._competitors: tuple[int | None, ...] = (None, *map(int, self.config.cuts or ()))
        self._pairs = [Pair(*pair) for pair in itertools.product(self.config.batch, self.config.context or ())]
        self.name = "".join(c if c.isalnum() or c in "._=" else "-" for c in subject.name)
        self.manifest = {**facts(subject), **asdict(self.config)}

    def check(self) -> None:
        """Refuses a model under a cut, and one that computes no numbers."""
        check_free(anatomy(self._subject.model))
        check_finite(self._subject.model)

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Pair]]:
        """All pairs at once."""
        yield self._pairs

    def cell(self, key: str) -> Pair:
        """The pair of this key."""
        for pair in self._pairs:
            if pair.key == key:
                return pair
        raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {self._pairs[0].key!r}")

    def steps(self, cell: Pair) -> int:
        """Passes: one to warm up, one to weigh memory, and the rounds, of every competitor."""
        return len(self._competitors) * (self.config.rounds + 2)

    def rows(self, cell: Pair, step: Step) -> Iterator[BenchRow]:
        """Measures a pair."""
        settings, competitors = self.config, self._competitors
        note = f"batch {cell.batch}, context {cell.context}"
        passes = Passes(self._subject.model, cell.batch, cell.context, settings.query, settings.new, self._clock)
        for cut in competitors:  # to warm up: kernels are chosen, caches filled, the model's self-check done
            passes.run(cut)
            step(f"{note}, warming up")
        peaks = {}
        for cut in competitors:
            peaks[cut] = passes.peak_bytes(cut)
            step(f"{note}, memory")
        for number in range(settings.rounds):
            first = number % len(competitors)  # so that none always follows the same one
            for cut in competitors[first:] + competitors[:first]:
                timed = passes.run(cut)
                yield BenchRow(
                    batch=cell.batch,
                    context=cell.context,
                    side=DENSE if cut is None else CUT,
                    cut=self._layers if cut is None else cut,
                    round=number,
                    prefill_seconds=timed.prefill_seconds,
                    decode_seconds=timed.decode_seconds,
                    kv_bytes=timed.kv_bytes,
                    peak_bytes=peaks[cut] if number == 0 else None,
                )
                step(f"{note}, round {number + 1}")
