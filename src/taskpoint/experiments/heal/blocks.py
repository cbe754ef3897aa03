"""What a `heal` run found, as blocks: two curves, a table, the controls, one sentence."""

from __future__ import annotations

from dataclasses import replace

from taskpoint.analysis.kept import LowestCut
from taskpoint.experiments.heal.findings import Healed, HealView
from taskpoint.report.blocks import Block, Cell, Column, Facts, Report, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, Key, Level, Point, Row, Strip
from taskpoint.report.numbers import OF_HUNDRED, percent, score, span


def conclusion(view: HealView) -> str:
    """What was found, in one sentence."""
    if view.recognition.layer is None:
        return f"{view.model} has nothing to lose under a cut: {(view.recognition.reason or '').rstrip('.')}."
    before, after = view.unhealed, view.healed
    found = (
        f"Without healing the cut can go down to r = {_cut(before)} of {view.num_layers} at {percent(view.keep)} of "
        "the score"
    )
    if after.lowest.cut >= before.lowest.cut:
        return f"{found}; under none of the lower cuts that were healed the score stays so high."
    found = f"{found}; healed to r = {_cut(after)}"
    if before.work is None or after.work is None:
        return f"{found}."
    return f"{found}: {percent(after.work)} of the uncut prompt's work is left instead of {percent(before.work)}."


def _cut(found: Healed) -> str:
    return f"{found.lowest.cut} ({found.lowest.low}-{found.lowest.high})"


def blocks(view: HealView) -> tuple[Block, ...]:
    """Scores by cut, the controls, how to read them, and the conclusion."""
    return (
        _scores(view),
        _lowest(view),
        _controls(view),
        *map(_aside, _notes(view)),
        Sentence(conclusion(view), "headline"),
    )


def _aside(text: str) -> Sentence:
    return Sentence(text, "aside")


def _scores(view: HealView) -> Table:
    columns = (
        Column("cut"),
        *(Column(heading, folds=True, most=22) for heading in ("unhealed", "healed", "healed, nothing cut")),
        Column("KL before", most=11),
        Column("KL after", most=11),
    )
    uncut = {point.cut: point for point in view.uncut}
    rows: list[tuple[str | Cell, ...]] = []
    for point in view.unhealed.points:
        healed = view.healed.at(point.cut)
        cells: list[str | Cell] = [str(point.cut)]
        cells.append(_cell(view, point.mean, point.low, point.high, point.cut == view.unhealed.lowest.cut))
        if healed is None:
            cells.append("")
        else:
            cells.append(_cell(view, healed.mean, healed.low, healed.high, point.cut == view.healed.lowest.cut))
        whole = uncut.get(point.cut)
        cells.append("" if whole is None else _cell(view, whole.mean, whole.low, whole.high, False))
        cells += [f"{value:.2g}" for value in view.divergence[point.cut]] if point.cut in view.divergence else ["", ""]
        rows.append(tuple(cells))
    return Table(
        f"{view.metric} by cut: {view.hidden}",
        columns,
        tuple(rows),
        mark=f"marks the lowest cut that keeps {percent(view.keep)}; the numbers beside a score are its interval",
    )


def _cell(view: HealView, mean: float, low: float, high: float, marked: bool) -> Cell:
    return Cell(score(mean, view.metric), span(low, high, view.metric), marked)


def _lowest(view: HealView) -> Table:
    columns = (Column("of the score"), Column("unhealed"), Column("healed"))
    rows = tuple(
        (percent(before.share), _lowest_cell(before), _lowest_cell(after))
        for before, after in zip(view.unhealed.others, view.healed.others, strict=True)
    )
    return Table("lowest cut that keeps", columns, rows)


def _lowest_cell(found: LowestCut) -> Cell:
    return Cell(str(found.cut), f"{found.low}-{found.high}")


def _controls(view: HealView) -> Table:
    columns = (Column("control", right=False, folds=True), Column(view.metric), Column("what it tells", right=False))
    ceiling = view.recognition.ceiling_interval
    told = [
        ("ceiling", ceiling, "the model as it is, nothing cut"),
        ("zero-shot", view.zero_shot, "the model as it is, without what is hidden"),
        ("healed, zero-shot", view.by_heart, "what an adapter learns by heart, without what is hidden"),
    ]
    rows = [
        (name, Cell(score(found.mean, view.metric), span(found.low, found.high, view.metric)), what)
        for name, found, what in told
        if found is not None
    ]
    return Table("controls", columns, tuple(rows))


def _notes(view: HealView) -> list[str]:
    notes = ["KL: divergence from the uncut model, nats for each answer token, at the start and at the end of training"]
    lower = view.lower
    if lower.mean > 0:
        layers = "1 layer" if lower.mean == 1 else f"{lower.mean:g} layers"
        ends = f"{percent(view.unhealed.lowest.level)} interval {lower.low:g} to {lower.high:g}"
        notes.append(f"healing lowers the lowest cut by {layers} ({ends})")
    if view.subtasks == 1:
        notes.append(
            f"{view.task} is one task: an adapter may learn it by heart, so that the cut says nothing of the context; "
            "hold its scores against healed, zero-shot, or heal a suite"
        )
    return notes


def report_of(view: HealView) -> Report:
    """What people see of a run."""
    return Report(f"{view.model} on {view.task}: healed cuts", blocks(view), figure_blocks(view))


def page_of(view: HealView) -> Report:
    """The same with the figure, and with what the run was."""
    report = report_of(view)
    facts = Facts("settings", (*view.settings.items(), ("command", view.command), *view.versions.items()))
    return replace(report, blocks=(*report.figures, *report.blocks, facts))


def figure_blocks(view: HealView) -> tuple[Curves]:
    """Score against the cut, healed and not."""
    margin = 0.03 * view.num_layers
    drawn = [("unhealed", view.unhealed), ("healed", view.healed)]
    curves = tuple(
        Curve(
            label=f"{label}: r = {_cut(found)}",
            style=style,
            x=tuple(float(point.cut) for point in found.points),
            y=tuple(point.mean for point in found.points),
            low=tuple(point.low for point in found.points),
            high=tuple(point.high for point in found.points),
            ring=float(found.lowest.cut),
        )
        for style, (label, found) in enumerate(drawn)
    )
    uncut = Curve(
        "healed, nothing cut",
        2,
        tuple(float(point.cut) for point in view.uncut),
        tuple(point.mean for point in view.uncut),
        dashed=True,
    )
    shots = [found.mean for found in (view.zero_shot, view.by_heart) if found is not None]
    figure = Curves(
        title=f"{view.model} on {view.task}: healed cuts",
        rows=(
            Row(
                panels=((*curves, uncut),),
                label=view.metric,
                levels=(Level(view.ceiling, "dashed"), *(Level(value, "dotted") for value in shots)),
                from_zero=view.metric in OF_HUNDRED,
            ),
        ),
        x_label=f"cut r: layers below r see the hidden tokens, layers r to {view.num_layers - 1} do not",
        x_ends=(-margin, view.num_layers + margin),
        strip=Strip(
            "lowest",
            tuple(
                Point(style, *map(float, (found.lowest.cut, found.lowest.low, found.lowest.high)))
                for style, (_, found) in enumerate(drawn)
            ),
            "no cut",
        ),
        keys=(
            Key("dashed level", "nothing cut (ceiling)"),
            *((Key("dotted level", "no examples (zero-shot), and healed so"),) if shots else ()),
            Key("band", "95 % interval of the mean"),
            Key("ring", f"lowest cut at {percent(view.keep)}"),
        ),
        around=1.7,
    )
    return (figure,)
