"""From the rows of an `ablate` run to what its reports show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskpoint.analysis.effects import layer_effects
from taskpoint.analysis.intervals import Interval
from taskpoint.analysis.layers import LayerValues
from taskpoint.asking.scores import CurveScores, answer_scores, curve_scores, language_scores
from taskpoint.errors import RunFolderError
from taskpoint.experiments.ablate.blocks import figure_blocks, page_of
from taskpoint.experiments.ablate.blocks import report_of as report_of
from taskpoint.experiments.ablate.config import AblateConfig, AblateFacts
from taskpoint.experiments.ablate.findings import AblatedView, AblateView
from taskpoint.experiments.ablate.rows import LAYOUT as LAYOUT
from taskpoint.experiments.ablate.rows import NONE_REMOVED, condition_name
from taskpoint.experiments.stored import about, check_rows, command_line, read_back
from taskpoint.report.numbers import OF_HUNDRED
from taskpoint.results.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

# An answer below this score, of 100, fails entirely (paper A, section 5.2).
_FAILED_BELOW = 5.0


def view_of(folder: RunFolder) -> AblateView:
    """Everything that reports show, from the rows, configuration and library versions of a run.

    Raises:
        RunFolderError: it was interrupted before its first curve, or its config.json was changed.
    """
    facts = read_back(AblateFacts, folder.manifest.config, folder.path)
    settings = read_back(AblateConfig, folder.manifest.config, folder.path)
    rows = folder.frame()
    most = {"seed": settings.seeds, "layer": facts.num_layers}
    check_rows(rows, facts, settings, most, folder.path)
    conditions = []
    for shots, told in settings.conditions:
        name = condition_name(told)
        found = rows[(rows["condition"] == name) & (rows["shots"] == shots)]
        # A curve of fewer draws than were asked for is one that was interrupted.
        if found["seed"].nunique() == (settings.seeds if shots else 1):
            conditions.append(_ablated(found, shots, told, facts, settings))
    if not conditions:
        raise RunFolderError("the run has no complete curve yet; run the same command again to continue it")
    return AblateView(
        model=facts.model,
        num_layers=facts.num_layers,
        task=facts.task,
        metric=facts.metric,
        seeds=settings.seeds,
        items=int(rows["item"].nunique()),
        conditions=tuple(conditions),
        settings=_settings(facts, settings),
        command=command_line("ablate", facts, settings),
        versions=dict(folder.versions),
    )


def layers_of(view: AblateView) -> LayerValues:
    """What the attention of each layer is worth at the most shots; points at the last critical layer."""
    effects = view.headline.effects
    return LayerValues(
        what="score lost without the layer's attention",
        values=-np.array([change.mean for change in effects.changes]),
        replicates=-effects.replicates,
        pointed=effects.last_critical,
        pointed_replicates=effects.last_critical_replicates,
    )


def _ablated(found: pd.DataFrame, shots: int, told: bool, facts: AblateFacts, settings: AblateConfig) -> AblatedView:
    # -1, where nothing is removed, is the first of the ascending values; here it comes last.
    layers = [NONE_REMOVED, *range(facts.num_layers)]
    asked = found, condition_name(told), shots, layers, "layer"
    scores, language = _none_last(curve_scores(*asked)), language_scores(*asked)
    failed = None
    if facts.metric in OF_HUNDRED:
        single = answer_scores(*asked)
        failed = replace(single, values=(single.values < _FAILED_BELOW).astype(np.float64))
    return AblatedView(
        shots=shots,
        instruction=told,
        effects=layer_effects(scores.values, share=settings.critical, statistic=scores.statistic),
        failed=None if failed is None else _intervals(_none_last(failed)),
        language=None if language is None else _intervals(_none_last(language)),
    )


def _none_last(scores: CurveScores) -> CurveScores:
    return replace(scores, values=np.roll(scores.values, -1, axis=0))


def _intervals(scores: CurveScores) -> tuple[Interval, ...]:
    return tuple(scores.interval(layer) for layer in range(len(scores.values)))


def _settings(facts: AblateFacts, settings: AblateConfig) -> dict[str, str]:
    said = {
        **about(facts),
        "template": settings.template,
        "shots": ", ".join(map(str, settings.shots)),
        "seeds": settings.seeds,
        "examples": "new for each item" if settings.fresh else "fixed for the test set",
        "items": settings.items,
        "critical": f"more than {settings.critical:g} of the full score lost",
        "batch size": settings.batch_size,
        "intervals": "95 %, bootstrap over items and over seeds, of the difference to the full score",
    }
    return {name: str(value) for name, value in said.items()}


def write(view: AblateView, folder: Path) -> Mapping[str, Path]:
    """Writes the page, which has settings and versions too, and the figure."""
    from taskpoint.report.figure import save_figure
    from taskpoint.report.page import save_page

    figure = save_figure(figure_blocks(view), folder / "figure.pdf")
    return {"report": save_page(page_of(view), folder / "report.html"), "figure": figure}
