"""How much of what a cut should save is saved on this machine?"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from taskpoint.engine.calls.forward import check_free
from taskpoint.engine.finite import check_finite
from taskpoint.experiments.bench.config import BenchConfig
from taskpoint.experiments.bench.findings import BenchView
from taskpoint.experiments.bench.passes import Clock
from taskpoint.experiments.bench.rows import LAYOUT
from taskpoint.experiments.bench.subject import Subject, fitted, manifest
from taskpoint.experiments.bench.view import view_of
from taskpoint.experiments.bench.work import Work
from taskpoint.models.anatomy import anatomy
from taskpoint.models.loading import LanguageModel, load
from taskpoint.progress import Progress
from taskpoint.results.atomic import save_whole
from taskpoint.results.folder import RunFolder
from taskpoint.results.manifest import digest_of
from taskpoint.settings import place, wholes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class BenchResult:
    """What `bench` measured.

    Attributes:
        rows: one row per pass (experiments.bench_rows.BenchRow).
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
        from taskpoint.experiments.bench.blocks import save_bench_figure

        return save_bench_figure(self.view, path)

    def save(self, path: str | Path) -> Path:
        """Writes everything as JSON: settings, machine, versions, and the rows of `frame`."""
        return save_whole(place("path", path), self.view.as_json().encode())


def bench(
    model: LanguageModel | PreTrainedModel | str,
    cuts: Sequence[int] | None = None,
    context: int | Sequence[int] | None = None,
    query: int = 32,
    batch: int | Sequence[int] = (1, 8),
    new: int = 16,
    rounds: int = 5,
    out: str | Path | None = None,
    *,
    progress: Progress | None = None,
) -> BenchResult:
    """Measures what a cut saves: time to read a prompt, time per decoded token, cache and peak memory.

    Competitors, the model without a cut and under each cut, run in turn in every round; tokens are random.

    Args:
        model: from `taskpoint.load`, what that loads it by, or any transformers decoder.
        cuts: numbers of layers that still see the context; None takes N/4, N/2, 3N/4 and N.
        context: numbers of hidden tokens; None takes 128, 512 and 2048, where the model has positions for them.
        query: kept tokens after them.
        batch: numbers of prompts in a batch.
        new: decoding steps.
        rounds: how often every competitor runs, beside one pass to warm up and one to weigh memory.
        out: folder to write to, or to continue; None keeps nothing.
        progress: called with the passes done, the passes there are, and a note.

    Returns:
        Rows, ratios, figure and JSON.

    Raises:
        SettingError: the settings do not fit the model or each other, or its memory.
        ModelError: the model cannot be cut, or computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    config = BenchConfig(
        cuts=None if cuts is None else wholes("cuts", cuts, 0),
        context=None if context is None else wholes("context", context, 1),
        query=query,
        batch=wholes("batch", batch, 1),
        new=new,
        rounds=rounds,
    )
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
    settings = fitted(subject, config)
    check_free(anatomy(subject.model))
    check_finite(subject.model)
    with _open(out, manifest(subject, settings)) as folder:
        work = Work(subject, settings, progress, clock)
        work.do(folder)
        rows = folder.frame()
        view = view_of(folder)
    return BenchResult(rows, view, None if out is None else Path(out))


def default_folder(subject: Subject, config: BenchConfig) -> Path:
    """Where a run is kept when the user names no folder: the same settings find the same folder again."""
    values = manifest(subject, fitted(subject, config))
    digest = digest_of(values)[:8]
    return Path("runs") / f"bench-{''.join(c if c.isalnum() or c in '._=' else '-' for c in subject.name)}-{digest}"


@contextmanager
def _open(out: str | Path | None, config: Mapping[str, object]) -> Iterator[RunFolder]:
    """The folder of a run, or one that is gone after the block when the user wants none."""
    if out is not None:
        with RunFolder.open(out, config, "bench", LAYOUT) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory() as temporary, RunFolder.open(temporary, config, "bench", LAYOUT) as folder:
        yield folder
