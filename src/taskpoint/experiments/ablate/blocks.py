"""What an `ablate` run found, as blocks: tables for a terminal, curves for a paper.

The figure is after Sia, Mueller and Duh (2023, first version of the paper), experiment 2: score against the layer whose
attention is removed; the dashed line is the full score. The band is the interval of the difference to it, so that a
layer is critical where the whole band lies below the dotted line.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from taskpoint.analysis.intervals import Interval
from taskpoint.experiments.ablate.findings import AblatedView, AblateView
from taskpoint.report.blocks import Block, Cell, Column, Facts, Report, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, Key, Level, Row
from taskpoint.report.numbers import OF_HUNDRED, percent, score, span

# Layers in a row from which on a sentence names the first and the last only.
_RANGE = 3


def named(layers: Sequence[int]) -> str:
    """Layers as people write them: "3, 5 and 7-9"."""
    runs: list[list[int]] = [[layer] for layer in layers[:1]]
    for before, layer in pairwise(layers):
        if layer == before + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    words = [
        word
        for run in runs
        for word in ([f"{run[0]}-{run[-1]}"] if len(run) >= _RANGE else [str(each) for each in run])
    ]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def _subject(layers: Sequence[int]) -> tuple[str, str]:
    """The layers as the subject of a sentence, with its verb."""
    if not layers:
        return "no layer", "is"
    return (f"layer {layers[0]}", "is") if len(layers) == 1 else (f"layers {named(layers)}", "are")


def conclusion(view: AblateView) -> str:
    """The report in a sentence: which layers are critical under which condition, and which are redundant under all."""
    judged = [one for one in view.conditions if one.effects.reason is None]
    sentences = []
    if judged:
        sentences.append(f"{_critical(view, judged)}; {_redundant(judged)}.")
    for one in view.conditions:
        if one.effects.reason is not None:
            sentences.append(f"Nothing can be said at {one.label}: {one.effects.reason}.")
    return " ".join(sentences)


def _critical(view: AblateView, judged: Sequence[AblatedView]) -> str:
    labels: dict[tuple[int, ...], list[str]] = {}
    for one in judged:
        labels.setdefault(one.effects.layers("critical"), []).append(one.label)
    words = []
    for number, (critical, where) in enumerate(labels.items()):
        subject, verb = _subject(critical)
        said = f"{subject[0].upper()}{subject[1:]} of {view.num_layers} {verb} critical" if not number else subject
        words.append(f"{said} at {' and '.join(where)}")
    return ", ".join(words)


def _redundant(judged: Sequence[AblatedView]) -> str:
    common = set.intersection(*(set(one.effects.layers("redundant")) for one in judged))
    subject, verb = _subject(sorted(common))
    return f"{subject} {verb} redundant{' each time' if len(judged) > 1 else ''}"


def report_of(view: AblateView) -> Report:
    """What people see of a run."""
    return Report(_title(view), (_scores(view), _verdicts(view), _headline(view)), figure_blocks(view))


def page_of(view: AblateView) -> Report:
    """The same with the figure, settings, versions and the command line."""
    facts = (
        Facts("settings", tuple(view.settings.items())),
        Facts("made again by", (("command", view.command), *view.versions.items())),
    )
    return Report(_title(view), (_headline(view), *figure_blocks(view), _verdicts(view), _scores(view), *facts))


def _title(view: AblateView) -> str:
    return f"{view.model} on {view.task}: one layer's attention removed"


def _headline(view: AblateView) -> Block:
    return Sentence(conclusion(view), "headline")


def _scores(view: AblateView) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    for layer in range(view.num_layers):
        cells: list[str | Cell] = [str(layer)]
        for one in view.conditions:
            change, critical = one.effects.changes[layer], one.effects.verdicts[layer] == "critical"
            cells.append(
                Cell(score(one.scores[layer], view.metric), span(change.low, change.high, view.metric), critical)
            )
        rows.append(tuple(cells))
    rows.append(("none", *(score(one.effects.full.mean, view.metric) for one in view.conditions)))
    return Table(
        f"{view.metric} by the layer whose attention is removed (the first is 0)",
        (Column("layer"), *(Column(one.label, folds=True, most=24) for one in view.conditions)),
        tuple(rows),
        sections=(view.num_layers,),
        mark="marks critical layers; beside a score stands the interval of its difference to the full score",
    )


def _verdicts(view: AblateView) -> Table:
    headings = ["full score", "critical", "redundant", "undecided"]
    failing = any(one.failed is not None for one in view.conditions)
    speaking = any(one.language is not None for one in view.conditions)
    headings += ["most fail entirely"] * failing + ["fewest in asked language"] * speaking
    rows = []
    for one in view.conditions:
        full, effects = one.effects.full, one.effects
        cells = [one.label, f"{score(full.mean, view.metric)} {span(full.low, full.high, view.metric)}"]
        cells += [named(effects.layers(verdict)) for verdict in ("critical", "redundant", "undecided")]
        cells += [_extreme(one.failed, 1)] if failing else []
        cells += [_extreme(one.language, -1)] if speaking else []
        rows.append(tuple(cells))
    columns = (Column("condition", right=False, folds=True), *(Column(each, folds=True, most=24) for each in headings))
    return Table("layers whose attention is critical, redundant, or neither for sure", columns, tuple(rows))


def _extreme(shares: tuple[Interval, ...] | None, sign: int) -> str:
    """The greatest (sign 1) or least share without the attention of one layer, which layer, and the share with it."""
    if shares is None:
        return ""
    *without, full = [share.mean for share in shares]
    layer = max(range(len(without)), key=lambda each: sign * without[each])
    return f"{percent(without[layer])} (layer {layer}; full {percent(full)})"


def figure_blocks(view: AblateView) -> tuple[Curves]:
    """Score against the removed layer, one line per condition; 6.4 inches wide, as the figure of `locate`."""
    judged = [one for one in view.conditions if one.effects.reason is None]
    share = percent(view.conditions[0].effects.share)
    rows = [_score_row(view)]
    rows += [_share_row(view, "failed", "fail entirely (below 5)")] if view.conditions[0].failed is not None else []
    spoken = view.conditions[0].language is not None
    rows += [_share_row(view, "language", "in the asked language")] if spoken else []
    margin = 0.03 * view.num_layers
    curves = Curves(
        title=_title(view),
        rows=tuple(rows),
        x_label=f"layer whose attention is removed: 0 to {view.num_layers - 1}",
        x_ends=(-margin, view.num_layers - 1 + margin),
        keys=(
            Key("dashed level", "nothing removed (full score)"),
            *((Key("dotted level", f"{share} below: critical if the band is under it"),) if judged else ()),
            Key("band", "95 % interval of the difference to the full score"),
        ),
        key_columns=1,
        around=0.95 + 0.2 * len(rows) + 0.19 * (len(view.conditions) + 3),
    )
    return (curves,)


def _score_row(view: AblateView) -> Row:
    curves = []
    for index, one in enumerate(view.conditions):
        full, changes = one.effects.full.mean, one.effects.changes
        critical, _ = _subject(one.effects.layers("critical"))
        curves.append(
            Curve(
                label=one.label if one.effects.reason else f"{one.label} ({critical} critical)",
                style=index,
                x=tuple(map(float, range(view.num_layers))),
                y=one.scores,
                low=tuple(full + change.low for change in changes),
                high=tuple(full + change.high for change in changes),
            )
        )
    judged = [one.effects for one in view.conditions if one.effects.reason is None]
    fulls = sorted({round(one.effects.full.mean, 6) for one in view.conditions})
    limits = sorted({round(effects.full.mean - effects.tolerance, 6) for effects in judged})
    return Row(
        panels=(tuple(curves),),
        label=view.metric,
        levels=(*(Level(full, "dashed") for full in fulls), *(Level(limit, "dotted") for limit in limits)),
        from_zero=view.metric in OF_HUNDRED,
        height=2.9,
    )


def _share_row(view: AblateView, name: str, title: str) -> Row:
    curves = []
    for index, one in enumerate(view.conditions):
        shares: tuple[Interval, ...] = getattr(one, name)[:-1]
        x = tuple(map(float, range(view.num_layers)))
        y, low, high = (tuple(getattr(share, end) for share in shares) for end in ("mean", "low", "high"))
        curves.append(Curve("", index, x, y, low, high))
    return Row((tuple(curves),), title=title, unit="share", height=1.1)
