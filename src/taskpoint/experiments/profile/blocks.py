"""What a `profile` run found, as blocks: one panel for each experiment over the same layers, and how far they agree."""

from __future__ import annotations

from taskpoint.analysis.intervals import Interval
from taskpoint.experiments.profile.findings import Evidence, ProfileView
from taskpoint.report.blocks import Column, Facts, Report, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, Key, Point, Row, Strip
from taskpoint.report.numbers import score


def report_of(view: ProfileView) -> Report:
    """What people see of a run."""
    return Report(
        f"{view.model} on {view.task}: what each layer is for",
        (
            Sentence(conclusion(view), "headline"),
            figure(view),
            _points(view),
            _pairs(view),
            Sentence(
                "Intervals are those of other items and seeds (95 %, bootstrap), drawn independently for each "
                "experiment. Noise makes a correlation smaller, not greater.",
                "aside",
            ),
            Facts("how it was made", (("command", view.command),)),
        ),
    )


def conclusion(view: ProfileView) -> str:
    """Do the experiments point at the same layer? In one sentence."""
    pointing = [one for one in view.evidence if one.pointed is not None]
    if len(pointing) < 2:
        return f"Fewer than two experiments point at a layer of {view.model}, so that nothing can be compared."
    told = ", ".join(f"{one.kind} at {_layers(one.pointed)}" for one in pointing)
    apart = [pair for pair in view.pairs if pair.found.same_layer is False]
    if not apart:
        return f"The experiments may all point at the same of the {view.num_layers} layers: {told}."
    names = ", ".join(f"{pair.one} and {pair.other}" for pair in apart)
    return f"The experiments do not all point at the same of the {view.num_layers} layers: {told}; apart are {names}."


def figure(view: ProfileView) -> Curves:
    """A panel for each experiment, and below them the layers that they point at."""
    layers = tuple(float(layer + 1) for layer in range(view.num_layers))
    points = [
        Point(style, one.pointed.mean, min(one.pointed.low, one.pointed.mean), max(one.pointed.high, one.pointed.mean))
        for style, one in enumerate(view.evidence)
        if one.pointed is not None
    ]
    return Curves(
        title=f"{view.model} on {view.task}",
        rows=tuple(_row(one, style, layers) for style, one in enumerate(view.evidence)),
        x_label="layer, counted from 1: a point at r means that the first r layers do it",
        x_ends=(0.0 - 0.03 * view.num_layers, 1.03 * view.num_layers),
        strip=Strip("points at", tuple(points), "no experiment points at a layer"),
        keys=(Key("band", "95 % interval"),),
        around=1.4,
    )


def _row(one: Evidence, style: int, layers: tuple[float, ...]) -> Row:
    curve = Curve(one.kind, style, layers, one.values, one.low, one.high)
    return Row(((curve,),), title=f"{one.kind}: {one.what}", height=1.2)


def _points(view: ProfileView) -> Table:
    columns = (
        Column("experiment", right=False),
        Column("what it says of a layer", right=False, folds=True),
        Column("points at"),
        Column("highest at layer", folds=True, most=24),
    )
    rows = [(one.kind, one.what, _layers(one.pointed), _highest(one)) for one in view.evidence]
    return Table("the experiments", columns, tuple(rows))


def _highest(one: Evidence) -> str:
    top = max(one.values)
    found = [layer for layer, value in enumerate(one.values, start=1) if value == top]
    return "all alike" if len(found) == len(one.values) else ", ".join(map(str, found))


def _pairs(view: ProfileView) -> Table:
    columns = (
        Column("pair", right=False),
        Column("rank correlation of layers"),
        Column("layers apart"),
        Column("the same layer?"),
    )
    said = {True: "within the intervals", False: "no", None: "not known"}
    rows = [
        (
            f"{pair.one} and {pair.other}",
            _span(pair.found.correlation),
            _layers(pair.found.apart),
            said[pair.found.same_layer],
        )
        for pair in view.pairs
    ]
    return Table("how far they agree", columns, tuple(rows))


def _layers(found: Interval | None) -> str:
    return "none" if found is None else f"{found.mean:g} ({found.low:g} to {found.high:g})"


def _span(found: Interval | None) -> str:
    return "not known" if found is None else f"{score(found.mean)} ({score(found.low)} to {score(found.high)})"
