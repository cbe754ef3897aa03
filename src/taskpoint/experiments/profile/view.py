"""What a `profile` run found: every experiment's word on every layer, and how far they agree."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from taskpoint.analysis.agreement import agreement
from taskpoint.analysis.intervals import Interval, percentile_interval
from taskpoint.analysis.layers import LayerValues
from taskpoint.asking.learnt import model_for
from taskpoint.errors import RunFolderError
from taskpoint.experiments.profile.blocks import report_of as report_of
from taskpoint.experiments.profile.config import ProfileConfig
from taskpoint.experiments.profile.findings import Evidence, Pair, ProfileView
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.stored import read_back
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import Layout


@dataclass(frozen=True)
class Profiled:
    """What one experiment says of one layer.

    Attributes:
        kind: the experiment.
        layer: from 0.
        value: what it says, in the unit that `what` names; `low` and `high` are the ends of its interval.
    """

    kind: str
    what: str
    layer: int
    value: float
    low: float
    high: float


LAYOUT = Layout(Profiled, ("kind", "layer"))


@dataclass(frozen=True)
class _Facts:
    """What config.json says beside the settings."""

    model: str
    task: str
    num_layers: int


def view_of(folder: RunFolder) -> ProfileView:
    """What the runs below the folder say; those that are not finished are left out.

    Raises:
        RunFolderError: fewer than two are finished, one of them is gone, or its config.json was changed.
    """
    facts = read_back(_Facts, folder.manifest.config, folder.path)
    settings = read_back(ProfileConfig, folder.manifest.config, folder.path)
    said = {kind: layers_in(folder.path, kind) for kind in settings.kinds if folder.has(kind)}
    if len(said) < 2:
        raise RunFolderError("fewer than two of the experiments are finished; run the same command again to continue")
    pairs = tuple(Pair(*two, agreement(said[two[0]], said[two[1]])) for two in itertools.combinations(said, 2))
    words = ["taskpoint", "profile", *([facts.model] if facts.model != model_for(facts.task) else [])]
    return ProfileView(
        model=facts.model,
        task=facts.task,
        num_layers=facts.num_layers,
        evidence=tuple(_evidence(kind, found) for kind, found in said.items()),
        pairs=pairs,
        command=shlex.join([*words, "--task", facts.task, *settings.words()]),
    )


def layers_in(folder: Path, kind: str) -> LayerValues:
    """What the run of an experiment, below the folder of the profile, says of every layer; errors as `view_of`."""
    experiment: Any = EXPERIMENTS[kind].view
    found: LayerValues = experiment.layers_of(experiment.view_of(RunFolder.read(folder / kind).of(experiment.LAYOUT)))
    return found


def rows_of(kind: str, found: LayerValues) -> list[Profiled]:
    """The same as rows."""
    said = _evidence(kind, found)
    columns = zip(said.values, said.low, said.high, strict=True)
    return [Profiled(kind, said.what, layer, *numbers) for layer, numbers in enumerate(columns)]


def _evidence(kind: str, found: LayerValues) -> Evidence:
    each = [percentile_interval(*pair) for pair in zip(found.values, found.replicates.T, strict=True)]
    return Evidence(
        kind=kind,
        what=found.what,
        values=tuple(one.mean for one in each),
        low=tuple(one.low for one in each),
        high=tuple(one.high for one in each),
        pointed=_pointed(found),
    )


def _pointed(found: LayerValues) -> Interval | None:
    known = found.pointed_replicates[~np.isnan(found.pointed_replicates)]
    if np.isnan(found.pointed) or not len(known):
        return None
    return percentile_interval(found.pointed, known)
