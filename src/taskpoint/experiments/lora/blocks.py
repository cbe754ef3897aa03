"""What a `lora` run found, as blocks: a table, the cliffs, curves over layers, one sentence.

The figure is after Sia, Mueller and Duh 2024, LoRA on one layer: score against the layer that has the adapter, with a
line at the score of adapters on all layers.
"""

from __future__ import annotations

from dataclasses import replace

from taskpoint.analysis.intervals import Interval
from taskpoint.experiments.lora.findings import LoraView, SizeView
from taskpoint.report.blocks import Block, Cell, Column, Facts, Report, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, Key, Level, Point, Row, Strip
from taskpoint.report.numbers import OF_HUNDRED, score, span


def conclusion(view: LoraView) -> str:
    """What was found, in one sentence."""
    found, metric = view.headline, view.metric
    best = found.by_layer[view.layers.index(view.best)]
    said = (
        f"Of layers 0 to {view.num_layers - 1}, an adapter on layer {view.best} alone gives most: "
        f"{score(best.mean, metric)} {metric} ({score(found.all_layers.mean, metric)} with one on each layer, "
        f"{score(view.base.mean, metric)} without)"
    )
    cliff = found.cliff
    if cliff.layer is None:
        return f"{said}. There is no cliff: {(cliff.reason or '').rstrip('.')}."
    behind = [each.mean for layer, each in zip(view.layers, found.by_layer, strict=True) if layer >= cliff.layer]
    where = f"from layer {cliff.layer} ({cliff.low}-{cliff.high}) on"
    return f"{said}; {where} it gives at most {score(max(behind), metric)}: the cliff."


def report_of(view: LoraView) -> Report:
    """What people see of a run."""
    blocks: tuple[Block, ...] = (
        _scores(view),
        _cliffs(view),
        Sentence("adapters are LoRA on the output projection of attention; other weights stay as they are", "aside"),
        Sentence(conclusion(view), "headline"),
    )
    return Report(f"{view.model} on {view.task}: which layer is worth adapting?", blocks, figure_blocks(view))


def page_of(view: LoraView) -> Report:
    """The same for a page, with the settings of the run."""
    report, command = report_of(view), (("command", view.command),)
    facts = (
        Facts("settings", (*view.settings.items(), *command)),
        Facts("versions", tuple(view.versions.items())),
    )
    return replace(report, blocks=(*report.blocks, *figure_blocks(view), *facts), figures=report.figures)


def _pairs(size: int) -> str:
    return "1 pair" if size == 1 else f"{size} pairs"


def _scores(view: LoraView) -> Table:
    columns = (Column("adapter on"), *(Column(_pairs(each.size), folds=True, most=22) for each in view.sizes))
    rows: list[tuple[str | Cell, ...]] = [
        (f"layer {layer}", *(_cell(view, each.by_layer[place], each.cliff.layer == layer) for each in view.sizes))
        for place, layer in enumerate(view.layers)
    ]
    rows.append(("all layers", *(_cell(view, each.all_layers) for each in view.sizes)))
    rows.append(("none", *(_cell(view, view.base) for _ in view.sizes)))
    return Table(
        f"{view.metric} by layer that is adapted and by number of training pairs",
        columns,
        tuple(rows),
        sections=(len(view.layers),),
        mark="marks the first layer behind the cliff; the numbers beside a score are its interval",
    )


def _cell(view: LoraView, found: Interval, marked: bool = False) -> Cell:
    return Cell(score(found.mean, view.metric), span(found.low, found.high, view.metric), marked)


def _cliffs(view: LoraView) -> Table:
    columns = (
        Column("pairs"),
        Column("steps"),
        Column("loss of layers", most=16),
        Column("cliff"),
        Column("score before", most=12),
        Column("and behind", most=12),
        Column("drop", folds=True),
    )
    rows = []
    for each in view.sizes:
        few, many = each.steps
        steps = str(few) if few == many else f"{few}-{many}"
        cells = [str(each.size), steps, f"{min(each.loss):.2g}-{max(each.loss):.2g}"]
        cliff = each.cliff
        if cliff.layer is None or cliff.drop is None or cliff.before is None or cliff.after is None:
            rows.append((*cells, "none", "", "", ""))
            continue
        drop = f"{score(cliff.drop.mean, view.metric)} {span(cliff.drop.low, cliff.drop.high, view.metric)}"
        levels = [score(level, view.metric) for level in (cliff.before, cliff.after)]
        rows.append((*cells, f"{cliff.layer} ({cliff.low}-{cliff.high})", *levels, drop))
    return Table("training, and the layer from which on adapters give less", columns, tuple(rows), narrow=True)


def figure_blocks(view: LoraView) -> tuple[Curves]:
    """Score against the adapted layer, one colour per number of training pairs."""
    margin = 0.03 * view.num_layers
    ends = -margin, view.num_layers - 1 + margin
    curves = [curve for index, each in enumerate(view.sizes) for curve in _curves(view, each, index, ends)]
    drawn = Curves(
        title=f"{view.model} on {view.task}",
        rows=(
            Row(
                panels=(tuple(curves),),
                label=view.metric,
                levels=(Level(view.base.mean, "dotted"),),
                from_zero=view.metric in OF_HUNDRED,
                height=2.9,
            ),
        ),
        x_label="the one layer that is adapted, the first is 0",
        x_ends=ends,
        strip=Strip("cliff", tuple(_points(view)), "no cliff"),
        keys=(
            Key("dashed curve", "all layers adapted"),
            Key("dotted level", "no adapter"),
            Key("band", "95 % interval"),
            Key("ring", "first layer behind the cliff"),
        ),
        around=1.2 + 0.19 * -(-(len(view.sizes) + 4) // 2),
    )
    return (drawn,)


def _curves(view: LoraView, found: SizeView, index: int, ends: tuple[float, float]) -> tuple[Curve, Curve]:
    one = Curve(
        label=f"{_pairs(found.size)}: {_cliff_words(found)}",
        style=index,
        x=tuple(map(float, view.layers)),
        y=tuple(each.mean for each in found.by_layer),
        low=tuple(each.low for each in found.by_layer),
        high=tuple(each.high for each in found.by_layer),
        ring=None if found.cliff.layer is None else float(found.cliff.layer),
    )
    return one, Curve("", index, ends, (found.all_layers.mean,) * 2, dashed=True)


def _cliff_words(found: SizeView) -> str:
    cliff = found.cliff
    return "no cliff" if cliff.layer is None else f"cliff {cliff.layer} ({cliff.low}-{cliff.high})"


def _points(view: LoraView) -> list[Point]:
    found = [(index, each.cliff) for index, each in enumerate(view.sizes)]
    return [
        Point(index, float(cliff.layer), float(cliff.low), float(cliff.high))
        for index, cliff in found
        if cliff.layer is not None and cliff.low is not None and cliff.high is not None
    ]
