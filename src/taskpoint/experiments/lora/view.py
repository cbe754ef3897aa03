"""From the rows of a `lora` run to what its reports show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from taskpoint.analysis.cliff import Cliff, cliff, cliffs
from taskpoint.analysis.intervals import Interval, percentile_interval
from taskpoint.analysis.layers import LayerValues
from taskpoint.asking.scores import curve_scores
from taskpoint.errors import RunFolderError
from taskpoint.experiments.lora.blocks import page_of
from taskpoint.experiments.lora.blocks import report_of as report_of
from taskpoint.experiments.lora.config import LoraConfig, LoraFacts
from taskpoint.experiments.lora.findings import LoraView, SizeView
from taskpoint.experiments.lora.rows import ALL, LAYER, NONE
from taskpoint.experiments.lora.rows import LAYOUT as LAYOUT
from taskpoint.experiments.stored import about, command_line, damaged, read_back
from taskpoint.results.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

_RESAMPLES = 2000

# The layer of rows that have none.
_NO_LAYER = -1


def view_of(folder: RunFolder) -> LoraView:
    """Everything that reports show, from the rows, configuration and library versions of a run.

    Raises:
        RunFolderError: it was interrupted before its curves were whole, or its config.json was changed.
    """
    facts = read_back(LoraFacts, folder.manifest.config, folder.path)
    settings = read_back(LoraConfig, folder.manifest.config, folder.path)
    layers, sizes = settings.layers, settings.sizes
    if layers is None or sizes is None or max(layers) >= facts.num_layers:
        raise damaged(folder.path, "'layers' and 'sizes' are not those of the run")
    rows = folder.frame()
    for name, said in (("model", facts.model), ("task", facts.task), ("template", settings.template)):
        other = sorted(set(map(str, rows[name].unique())) - {str(said)})
        if other:
            raise damaged(folder.path, f"{name!r} is {said!r}, but the rows are of {other[0]!r}")
    # By the names that curves have elsewhere.
    named = rows.drop(columns="shots").rename(columns={"adapter": "condition", "size": "shots", "layer": "cut"})
    named["cut"] = named["cut"].fillna(_NO_LAYER).astype("int64")
    _check_whole(named, settings)
    found = [_size(named, settings, size) for size in sorted(sizes)]
    values = found[-1][1] if layers == tuple(range(facts.num_layers)) else None
    return LoraView(
        model=facts.model,
        num_layers=facts.num_layers,
        task=facts.task,
        metric=facts.metric,
        seeds=settings.seeds,
        items=int(rows["item"].nunique()),
        layers=layers,
        sizes=tuple(size for size, _ in found),
        base=curve_scores(named, NONE, 0, [_NO_LAYER]).interval(0),
        values=values,
        settings=_settings(facts, settings),
        command=command_line("lora", facts, settings),
        versions=dict(folder.versions),
    )


def layers_of(view: LoraView) -> LayerValues:
    """The score with an adapter on each layer, trained on the most pairs; it points at the cliff.

    Raises:
        RunFolderError: some layers were left out.
    """
    if view.values is None:
        raise RunFolderError(
            f"the run adapted {len(view.layers)} of {view.num_layers} layers; expected each: run again without layers"
        )
    return view.values


def write(view: LoraView, folder: Path) -> Mapping[str, Path]:
    """Writes the page, with the run's settings below what was found, and the figure."""
    from taskpoint.report.figure import save_figure
    from taskpoint.report.page import save_page

    figure = save_figure(report_of(view).drawn, folder / "figure.pdf")
    written = {"report": save_page(page_of(view), folder / "report.html"), "figure": figure}
    adapters = folder / "adapters"
    return written | ({"adapters": adapters} if adapters.is_dir() else {})


def _check_whole(rows: pd.DataFrame, settings: LoraConfig) -> None:
    sizes, layers = settings.sizes or (), settings.layers or ()
    wanted = 1 + (1 + len(layers)) * len(sizes) * settings.seeds
    if len(rows[["condition", "cut", "shots", "seed"]].drop_duplicates()) < wanted:
        raise RunFolderError("the run has no whole curve yet; run the same command again to continue it")


def _size(rows: pd.DataFrame, settings: LoraConfig, size: int) -> tuple[SizeView, LayerValues]:
    layers = settings.layers or ()
    alone = curve_scores(rows, LAYER, size, layers)
    together = curve_scores(rows, ALL, size, [_NO_LAYER])
    base = curve_scores(rows, NONE, 0, [_NO_LAYER])
    # Without training every repetition is the same, so it was asked once.
    repeated = np.repeat(base.values, settings.seeds, axis=1)
    values = np.concatenate([alone.values, together.values, repeated])  # [L + 2, S, I] or [L + 2, S, I, n]
    observed = alone.statistic.observed(values)
    replicates = alone.statistic.resampled(values, resamples=_RESAMPLES, seed=0)  # [R, L + 2]
    intervals = [percentile_interval(float(mean), drawn) for mean, drawn in zip(observed, replicates.T, strict=True)]
    place = np.array(layers)
    found = _cliff(place, observed, replicates)
    own = rows[(rows["shots"] == size) & (rows["condition"] == LAYER)]
    shown = SizeView(
        size=size,
        by_layer=tuple(intervals[:-2]),
        all_layers=intervals[-2],
        cliff=found,
        steps=(int(own["steps"].min()), int(own["steps"].max())),
        loss=tuple(float(loss) for loss in own.groupby("cut")["loss"].mean()),
    )
    drawn = replicates[:, :-2]
    pointed = np.full(len(drawn), np.nan) if found.layer is None else cliffs(place, drawn)
    at = np.nan if found.layer is None else float(found.layer)
    return shown, LayerValues("score with an adapter on the layer alone", observed[:-2], drawn, at, pointed)


def _cliff(layers: np.ndarray, observed: Float[np.ndarray, " _"], replicates: Float[np.ndarray, "R _"]) -> Cliff:
    """The cliff of the layers, where those before it give more than the model does without an adapter."""
    found = cliff(layers, observed[:-2], replicates[:, :-2])
    if found.layer is None:
        return found
    before = layers < found.layer
    gain = replicates[:, :-2][:, before].mean(1) - replicates[:, -1]
    won: Interval = percentile_interval(float(observed[:-2][before].mean() - observed[-1]), gain)
    if won.low <= 0:
        return Cliff(None, reason="adapters before it give no more than the model does without one")
    return found


def _settings(facts: LoraFacts, settings: LoraConfig) -> dict[str, str]:
    steps = f"{settings.steps} steps" if settings.epochs is None else f"{settings.epochs} epochs at most"
    said = {
        **about(facts),
        "template": settings.template,
        "variant": settings.variant,
        "repetitions": settings.seeds,
        "test items": settings.items,
        "test prompts": f"{settings.test_shots}-shot, {'with' if settings.instruction else 'without'} an instruction",
        "adapters": f"LoRA on the output of attention, rank {settings.rank}, alpha {settings.alpha:g}, dropout "
        f"{settings.dropout:g}",
        "training": f"{steps} of {settings.batch} pairs, learning rate {settings.lr:g}, loss on the {settings.loss}",
        "checks": f"patience {settings.patience}, every {settings.check_every} steps, progress {settings.threshold:g}"
        if settings.patience
        else "none",
        "intervals": "95 %, bootstrap over items and over repetitions",
    }
    return {name: str(value) for name, value in said.items()}
