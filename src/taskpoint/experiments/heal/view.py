"""From the rows of a `heal` run to what its reports show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskpoint.analysis.costs.savings import saving
from taskpoint.analysis.kept import LowestCut, lowest_cut
from taskpoint.analysis.recognition import curve, recognition_point
from taskpoint.asking.scores import CurveScores, curve_scores
from taskpoint.errors import RunFolderError
from taskpoint.experiments.heal.blocks import page_of
from taskpoint.experiments.heal.blocks import report_of as report_of
from taskpoint.experiments.heal.config import HealConfig, HealFacts
from taskpoint.experiments.heal.findings import Healed, HealView
from taskpoint.experiments.heal.rows import BY_HEART, HEALED, UNCUT, UNHEALED, ZERO_SHOT
from taskpoint.experiments.heal.rows import LAYOUT as LAYOUT
from taskpoint.experiments.stored import about, command_line, damaged, read_back, read_shape
from taskpoint.results.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

SHARES = (0.9, 0.95, 0.98, 0.99, 1.0)
"""Shares of the score whose lowest cuts a report shows beside that of the share that was asked for."""


def view_of(folder: RunFolder) -> HealView:
    """Everything that reports show, from the rows, configuration and library versions of a run.

    Raises:
        RunFolderError: it was interrupted before its curves were whole, or its config.json was changed.
    """
    facts = read_back(HealFacts, folder.manifest.config, folder.path)
    settings = read_back(HealConfig, folder.manifest.config, folder.path)
    cuts, layers = settings.after, facts.num_layers
    if not isinstance(cuts, tuple) or max(cuts) >= layers:
        raise damaged(folder.path, f"'after' is {cuts!r}, expected cuts below {layers}")
    rows = folder.frame()
    for name, said in (("model", facts.model), ("task", facts.task), ("template", settings.template)):
        other = sorted(set(map(str, rows[name].unique())) - {str(said)})
        if other:
            raise damaged(folder.path, f"{name!r} is {said!r}, but the rows are of {other[0]!r}")
    for condition, wanted in ((UNHEALED, 1), (HEALED, len(cuts))):
        found = rows[rows["condition"] == condition]
        if len(found[["seed", "cut"]].drop_duplicates()) < wanted * settings.seeds:
            raise RunFolderError("the run has no whole curve yet; run the same command again to continue it")
    plain = curve_scores(rows, UNHEALED, settings.shots, range(layers + 1))
    taught = curve_scores(rows, HEALED, settings.shots, cuts)
    # At r = N nothing is cut, and so nothing was healed.
    healed = replace(taught, values=np.concatenate([taught.values, plain.values[-1:]]))
    work = _work(facts, settings, rows, folder)
    before = _curve(range(layers + 1), plain, settings.keep, work)
    after = _curve((*cuts, layers), healed, settings.keep, work)
    uncut = curve_scores(rows, UNCUT, settings.shots, cuts)
    zero = _control(rows, ZERO_SHOT, layers)
    controlled = None if zero is None else np.repeat(zero.values[0], settings.seeds, axis=0)
    heart = _control(rows, BY_HEART, layers)
    told = rows[rows["condition"] == HEALED].groupby("cut")[["divergence_before", "divergence"]].mean()
    point = recognition_point(range(layers + 1), plain.values, controlled, statistic=plain.statistic, num_layers=layers)
    return HealView(
        model=facts.model,
        num_layers=layers,
        task=facts.task,
        metric=facts.metric,
        hidden=settings.condition.label,
        shots=settings.shots,
        seeds=settings.seeds,
        items=int(rows["item"].nunique()),
        unhealed=before,
        healed=after,
        uncut=curve(cuts, uncut.values, statistic=uncut.statistic),
        divergence={int(cut): (float(a), float(b)) for cut, a, b in told.itertuples()},
        lower=before.lowest.above(after.lowest),
        zero_shot=None if zero is None else zero.interval(0),
        by_heart=None if heart is None else heart.interval(0),
        recognition=point,
        subtasks=int(rows["subtask"].nunique()),
        settings=_settings(facts, settings),
        command=command_line("heal", facts, settings),
        versions=dict(folder.versions),
    )


def write(view: HealView, folder: Path) -> Mapping[str, Path]:
    """Writes the page, with the run's settings below what was found, and the figure."""
    from taskpoint.report.figure import save_figure
    from taskpoint.report.page import save_page

    figure = save_figure(report_of(view).drawn, folder / "figure.pdf")
    return {"report": save_page(page_of(view), folder / "report.html"), "figure": figure}


def _curve(cuts: Sequence[int], scores: CurveScores, keep: float, work: Callable[[int], float | None]) -> Healed:
    def lowest(share: float) -> LowestCut:
        return lowest_cut(cuts, scores.values, statistic=scores.statistic, share=share)

    asked = lowest(keep)
    points = curve(cuts, scores.values, statistic=scores.statistic)
    return Healed(points, asked, tuple(map(lowest, SHARES)), work(asked.cut))


def _control(rows: pd.DataFrame, condition: str, layers: int) -> CurveScores | None:
    if not (rows["condition"] == condition).any():
        return None
    return curve_scores(rows, condition, 0, [layers])


def _work(
    facts: HealFacts, settings: HealConfig, rows: pd.DataFrame, folder: RunFolder
) -> Callable[[int], float | None]:
    """The share of the uncut prompt's operations that a cut leaves, for prompts of the mean length."""
    found = rows[rows["condition"] == UNHEALED]
    tokens, hidden = round(float(found["tokens"].mean())), round(float(found["hidden"].mean()))
    if facts.shape is None:
        return lambda cut: None
    shape = read_shape(facts.shape, folder.path)
    return lambda cut: 1.0 - saving(shape, tokens, hidden, cut, settings.shots).work


def _settings(facts: HealFacts, settings: HealConfig) -> dict[str, str]:
    said = {
        **about(facts),
        "template": settings.template,
        "hidden": settings.condition.label,
        "shots": settings.shots,
        "repetitions": settings.seeds,
        "test items": settings.items,
        "examples": "new for each item" if settings.fresh else "fixed for the test set",
        "cuts": ", ".join(map(str, settings.after or ())),
        "training prompts": f"{settings.training} at most",
        "training": f"{settings.steps} steps of {settings.batch} prompts, learning rate {settings.lr:g}",
        "adapters": f"LoRA on the output of attention, rank {settings.rank}, alpha {settings.alpha:g}",
        "layers": f"{settings.layers} of them" if settings.layers == "all" else f"those {settings.layers} the cut",
        "taught at": "reference answers" if settings.references else "the model's own answers",
        "intervals": "95 %, bootstrap over items and over repetitions",
    }
    return {name: str(value) for name, value in said.items()}
