"""Runs an experiment: opens its folder or continues it, does the cells that are missing, and tells how far it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskpoint.asking.by_name import model_of, task_of
from taskpoint.configuration import Configuration
from taskpoint.errors import ModelError, SettingError
from taskpoint.experiments.contract import Work
from taskpoint.experiments.registry import Experiment
from taskpoint.experiments.subjects import Asked
from taskpoint.progress import Progress
from taskpoint.results.folder import RunFolder
from taskpoint.results.manifest import as_json, digest_of
from taskpoint.settings import place, shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that is done.

    Attributes:
        view: what the rows say, as the experiment's `view_of` gives it.
        folder: where they are; None when they were not kept.
    """

    rows: pd.DataFrame
    view: Any
    folder: Path | None


def run(
    experiment: Experiment, work: Work[Any], out: str | Path | None = None, progress: Progress | None = None
) -> Finished:
    """Does what a run lacks. A cell is written whole, so that a run may be killed at any moment and be run again.

    Args:
        experiment: what is run.
        work: from its `start`.
        out: the folder of the run; None keeps nothing.
        progress: told the steps that are done and those that are known of.

    Raises:
        ModelError: raised by the work; a folder without rows can then be used with other settings.
        RunFolderError: `out` holds a run of another configuration.
    """
    work.check()
    with _opened(experiment, work, out) as folder:
        work.folder = folder.path
        done = known = 0

        def step(note: str = "") -> None:
            nonlocal done
            done += 1
            _tell(progress, done, known, note)

        for group in work.groups(folder.frame):
            known += sum(map(work.steps, group))
            _tell(progress, done, known)
            for cell in group:
                before = done
                if not folder.has(cell.key):
                    folder.write(cell.key, list(work.rows(cell, step)))
                if done < before + work.steps(cell):
                    done = before + work.steps(cell)
                    _tell(progress, done, known)
        return Finished(folder.frame(), experiment.view.view_of(folder), None if out is None else Path(out))


def run_asked(
    experiment: Experiment,
    lm: object,
    task: object,
    config: Configuration,
    out: str | Path | None,
    progress: Progress | None,
) -> Finished:
    """Runs an experiment that asks a model a task, as its function in Python does.

    Args:
        experiment: what is run.
        lm: a model, or what loads it.
        task: a task, or its name.
        config: its settings.
        out: the folder of the run; None keeps nothing.
        progress: as for `run`.

    Raises:
        SettingError: `progress` is no function, or `out` no path; others as `run` and the experiment's `start`.
    """
    if progress is not None and not callable(progress):
        raise SettingError(f"progress is {shown(progress)}; expected a function of the steps done and all there are")
    folder = None if out is None else place("out", out)
    return run(experiment, experiment.run.start(Asked(model_of(lm), task_of(task)), config), folder, progress)


def default_folder(experiment: Experiment, work: Work[Any]) -> Path:
    """Where a run is kept when the user names no folder: the same settings find the same folder again."""
    return Path("runs") / f"{experiment.kind}-{work.name}-{digest_of(as_json(work.manifest))[:8]}"


def _tell(progress: Progress | None, done: int, known: int, note: str = "") -> None:
    if progress is not None:
        progress(done, known, *([note] if note else []))


@contextmanager
def _opened(experiment: Experiment, work: Work[Any], out: str | Path | None) -> Iterator[RunFolder]:
    """The folder of a run, or one that is gone after the block when the user wants none."""
    layout = experiment.view.LAYOUT
    if out is None:
        with tempfile.TemporaryDirectory() as passing, _opened(experiment, work, passing) as folder:
            yield folder
        return
    with RunFolder.open(out, work.manifest, experiment.kind, layout) as folder:
        try:
            yield folder
        except ModelError:  # the model is at fault; the next one may come with other settings
            folder.forget()
            raise
