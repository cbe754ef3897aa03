"""Doing the cells of a `locate` run: those that its folder lacks, and those that a bisection asks for on its way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from taskpoint.analysis.recognition import recognition_point
from taskpoint.asking.condition import Condition
from taskpoint.asking.scores import curve_scores
from taskpoint.errors import ModelError
from taskpoint.experiments.locate.cells import Cell, Cells, Grid
from taskpoint.progress import Progress
from taskpoint.results.folder import RunFolder


@contextmanager
def open_folder(out: str | Path | None, config: Mapping[str, object]) -> Iterator[RunFolder]:
    """The folder of a run, or one that is gone after the block when the user wants none.

    Raises:
        RunFolderError: the folder holds a run of another configuration.
    """
    if out is not None:
        with RunFolder.open(out, config) as folder:
            try:
                yield folder
            except ModelError:  # the model is at fault; the next one may come with other settings
                folder.forget()
                raise
        return
    with tempfile.TemporaryDirectory() as temporary, RunFolder.open(temporary, config) as folder:
        yield folder


class Work:
    """Does cells that the folder does not have yet, and tells how far it is."""

    def __init__(self, folder: RunFolder, cells: Cells, progress: Progress | None) -> None:
        self.folder, self._cells, self._progress = folder, cells, progress
        self._done = self._known = 0

    def do(self, *groups: Sequence[Cell]) -> None:
        """Computes and writes what is missing."""
        self._known += sum(map(len, groups))
        self._tell()
        for cell in (cell for group in groups for cell in group):
            if not self.folder.has(cell.key):
                self.folder.write(cell.key, self._cells.rows(cell))
            self._done += 1
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._known)


def bisect(work: Work, grid: Grid, condition: Condition, shots: int) -> None:
    """Measures 0, N, and the cuts between the last that misses the threshold and the first that holds it."""
    measured = [0, grid.layers]
    missing, holding = measured
    work.do(list(grid.curve_cells(condition, shots, measured)))
    while holding - missing > 1:
        middle = (missing + holding) // 2
        work.do(list(grid.curve_cells(condition, shots, [middle])))
        measured = sorted([*measured, middle])
        scores = curve_scores(work.folder.frame(), condition.name, shots, measured)
        threshold = recognition_point(measured, scores.values, statistic=scores.statistic, resamples=1).threshold
        holds = scores.by_cut[measured.index(middle)] >= threshold
        missing, holding = (missing, middle) if holds else (middle, holding)
