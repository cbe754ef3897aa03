"""From the rows and gates of a `heads` run to what its reports show.

Shapes: S seeds, D random masks, I items, R replicates, N layers, H heads, n what is known of an answer.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from taskpoint.analysis.intervals import Interval, percentile_interval
from taskpoint.analysis.layers import LayerValues
from taskpoint.asking.scores import CurveScores, curve_scores
from taskpoint.errors import DataError, RunFolderError
from taskpoint.experiments.heads.blocks import report_of as report_of
from taskpoint.experiments.heads.config import HeadsConfig, HeadsFacts
from taskpoint.experiments.heads.files import GATES_FOLDER, file_name
from taskpoint.experiments.heads.findings import HeadsView, Scores, Trained
from taskpoint.experiments.heads.rows import GATES, MASK, RANDOM, UNTOUCHED
from taskpoint.experiments.heads.rows import LAYOUT as LAYOUT
from taskpoint.experiments.stored import about, damaged, read_back
from taskpoint.results.folder import RunFolder
from taskpoint.training.gates_file import load_gates

if TYPE_CHECKING:
    import pandas as pd

_RESAMPLES = 2000


def view_of(folder: RunFolder) -> HeadsView:
    """Everything that reports show, from the rows, configuration and gates of a run.

    Raises:
        RunFolderError: it was interrupted before its first training was done under all seeds, its config.json was
            changed, or a file of gates is missing or damaged.
    """
    facts = read_back(HeadsFacts, folder.manifest.config, folder.path)
    settings = read_back(HeadsConfig, folder.manifest.config, folder.path)
    rows = folder.frame()
    untouched = rows[rows["condition"] == UNTOUCHED]
    trained = []
    for penalty, train_shots in itertools.product(settings.penalty, settings.train_shots):
        found = rows[(rows["penalty"] == penalty) & (rows["train_shots"] == train_shots)]
        if min(found["seed"].nunique(), untouched["seed"].nunique()) == settings.seeds:
            trained.append(_trained(folder.path, found, untouched, penalty, train_shots, settings, facts))
    if not trained:
        raise RunFolderError("the run has no complete training yet; run the same command again to continue it")
    return HeadsView(
        model=facts.model,
        family=facts.family,
        num_layers=facts.num_layers,
        num_heads=facts.num_heads,
        task=facts.task,
        metric=facts.metric,
        seeds=settings.seeds,
        items=int(rows["item"].nunique()),
        training=facts.training,
        epochs=settings.epochs,
        trained=tuple(trained),
        settings=_settings(facts, settings),
        versions=dict(folder.versions),
    )


def layers_of(view: HeadsView) -> LayerValues:
    """The share of heads that stay open, by layer, in the first training; replicates draw its seeds anew.

    It points at no layer: heads may go anywhere.
    """
    kept = view.trained[0].open_heads.mean(-1)  # [S, N]
    chance = np.random.Generator(np.random.PCG64(0))
    replicates = kept[chance.integers(0, len(kept), size=(_RESAMPLES, len(kept)))].mean(1)  # [R, N]
    nowhere = np.full(_RESAMPLES, np.nan)
    return LayerValues("share of heads that stay open", kept.mean(0), replicates, float("nan"), nowhere)


def _trained(
    folder: Path,
    found: pd.DataFrame,
    untouched: pd.DataFrame,
    penalty: float,
    train_shots: int,
    settings: HeadsConfig,
    facts: HeadsFacts,
) -> Trained:
    names = [file_name(penalty, train_shots, seed) for seed in range(settings.seeds)]
    gates = np.stack([_gates(folder, name, facts) for name in names])  # [S, N, H]
    by_seed = found.groupby("seed")
    trained = Trained(
        penalty=penalty,
        train_shots=train_shots,
        gates=gates,
        threshold=settings.threshold,
        epochs=tuple(map(int, by_seed["epochs"].first())),
        scores=tuple(_scores(found, untouched, shots) for shots in settings.shots),
    )
    of_mask = found[found["condition"] == MASK].groupby("seed")["open_heads"].first()
    if tuple(facts.num_layers * facts.num_heads - of_mask) != trained.removed:
        raise RunFolderError(
            f"the gates in {folder / GATES_FOLDER} are not those that the rows were measured with: restore them, or "
            "run again with another out folder"
        )
    return trained


def _gates(folder: Path, name: str, facts: HeadsFacts) -> Float[np.ndarray, "N H"]:
    path = folder / GATES_FOLDER / name
    try:
        gates = load_gates(path).values
    except DataError as error:
        raise RunFolderError(f"{error}; restore it, or run again with another out folder") from None
    if gates.shape != (facts.num_layers, facts.num_heads):
        raise damaged(folder, f"it names {facts.num_layers} layers of {facts.num_heads} heads, {path.name} has others")
    return gates.astype(np.float64)


def _scores(found: pd.DataFrame, untouched: pd.DataFrame, shots: int) -> Scores:
    whole, gates, mask = (
        _of(rows, condition, shots) for rows, condition in ((untouched, UNTOUCHED), (found, GATES), (found, MASK))
    )
    random = _random(found, whole, shots)
    return Scores(
        shots=shots,
        untouched=whole.interval(0),
        gates=gates.interval(0),
        mask=mask.interval(0),
        random=None if random is None else random.interval(0),
        kept=_kept(whole, mask),
        random_kept=None if random is None else _kept(whole, random),
    )


def _of(rows: pd.DataFrame, condition: str, shots: int) -> CurveScores:
    """The scores of one condition, as a curve of one cut."""
    return curve_scores(rows.assign(cut=0), condition, shots, [0])


def _random(found: pd.DataFrame, whole: CurveScores, shots: int) -> CurveScores | None:
    """The scores with random heads closed, where each mask of each seed counts as a seed of its own.

    Under a seed whose training closed no head they are those of the untouched model.
    """
    rows = found[(found["condition"] == RANDOM) & (found["shots"] == shots)]
    if rows.empty:
        return None
    seeds, draws = sorted(rows["seed"].unique()), sorted(rows["draw"].unique())
    values = np.stack([whole.values] * len(draws), axis=2)  # [1, S, D, I] or [1, S, D, I, n]
    for number, draw in enumerate(draws):
        values[:, seeds, number] = _of(rows[rows["draw"] == draw], RANDOM, shots).values
    return replace(whole, values=values.reshape(1, -1, *whole.values.shape[2:]))


def _kept(whole: CurveScores, other: CurveScores) -> Interval | None:
    """One score as a share of the other, with items and seeds drawn alike for both; None where that is 0."""
    masks = other.values.shape[1] // whole.values.shape[1]  # of each seed
    both = np.concatenate([np.repeat(whole.values, masks, axis=1), other.values])
    observed = whole.statistic.observed(both)
    replicates = whole.statistic.resampled(both, resamples=_RESAMPLES, seed=0)
    if not observed[0] > 0 or not (replicates[:, 0] > 0).all():
        return None
    return percentile_interval(float(observed[1] / observed[0]), replicates[:, 1] / replicates[:, 0], level=0.95)


def _settings(facts: HeadsFacts, settings: HeadsConfig) -> dict[str, str]:
    said = {
        **about(facts),
        "template": settings.template,
        "instruction": "yes" if settings.instruction else "no",
        "penalties": ", ".join(f"{each:g}" for each in settings.penalty),
        "training shots": ", ".join(map(str, settings.train_shots)),
        "test shots": ", ".join(map(str, settings.shots)),
        "seeds": settings.seeds,
        "test items": settings.items,
        "training items": facts.training,
        "epochs": settings.epochs,
        "patience": settings.patience,
        "learning rate": f"{settings.lr:g}",
        "temperature": f"{settings.temperature:g}",
        "threshold": f"{settings.threshold:g}",
        "random masks": settings.random,
        "batch size": settings.batch_size,
        "intervals": "95 %, bootstrap over items and over seeds",
    }
    return {name: str(value) for name, value in said.items()}
