"""From the rows of a `locate` run to what its reports show."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskpoint.analysis.costs.savings import saving
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.analysis.layers import LayerValues
from taskpoint.analysis.movement import movement
from taskpoint.analysis.recognition import CurvePoint, RecognitionPoint, curve, first_holding, recognition_point
from taskpoint.asking.condition import EARLY_EXIT, SHUFFLED, ZERO_SHOT, Condition
from taskpoint.asking.scores import CurveScores, curve_scores, language_scores
from taskpoint.errors import RunFolderError
from taskpoint.experiments.locate.blocks import report_of as report_of
from taskpoint.experiments.locate.config import LocateConfig, LocateFacts
from taskpoint.experiments.locate.findings import (
    AnswerView,
    ConditionView,
    ControlScore,
    LocateView,
    MovementView,
    PartView,
)
from taskpoint.experiments.stored import about, check_rows, command_line, read_back, read_shape
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import ITEMS

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = ITEMS

# As many as `recognition_point` draws.
_RESAMPLES = 2000


def view_of(folder: RunFolder) -> LocateView:
    """Everything that reports show, from the rows, configuration and library versions of a run.

    Raises:
        RunFolderError: it was interrupted before its first curve, or its config.json was changed.
    """
    facts = read_back(LocateFacts, folder.manifest.config, folder.path)
    settings = read_back(LocateConfig, folder.manifest.config, folder.path)
    shape = None if facts.shape is None else read_shape(facts.shape, folder.path)
    rows = folder.frame()
    most = {"seed": settings.seeds, "cut": facts.num_layers + 1}
    check_rows(rows, facts, settings, most, folder.path, zero_shot=True)
    conditions: list[ConditionView] = []
    answers: list[AnswerView] = []
    curves: list[_Curve] = []
    for condition, shots in itertools.product(settings.conditions, settings.shots):
        found = _rows_of(rows, condition.name, shots)
        # A curve of fewer draws than were asked for is one that was interrupted.
        if found["seed"].nunique() < settings.seeds:
            continue
        label = condition.label if len(settings.shots) == 1 else f"{condition.label}, {shots}-shot"
        cuts = tuple(sorted(int(cut) for cut in found["cut"].unique()))
        curves.append(_Curve(rows, condition, shots, cuts, facts.num_layers))
        view = _condition_view(curves[-1], label, shape)
        answers += _answers(found, len(conditions), cuts)
        conditions.append(view)
    if not conditions:
        raise RunFolderError("the run has no complete curve yet; run the same command again to continue it")
    return LocateView(
        model=facts.model,
        num_layers=facts.num_layers,
        task=facts.task,
        metric=facts.metric,
        template=str(settings.template),
        seeds=settings.seeds,
        items=int(rows["item"].nunique()),
        conditions=tuple(conditions),
        answers=tuple(answers),
        settings=_settings(facts, settings),
        command=command_line("locate", facts, settings),
        versions=dict(folder.versions),
        movements=_movements(curves, conditions),
        layers=_layers(curves[0], conditions[0].point),
    )


def layers_of(view: LocateView) -> LayerValues:
    """What each layer gains by seeing the hidden tokens, in the first condition; it points at the recognition point.

    Raises:
        RunFolderError: not every cut was measured.
    """
    if view.layers is None:
        raise RunFolderError("the run did not measure every cut; run again with cuts 'all'")
    return view.layers


def _layers(own: _Curve, point: RecognitionPoint) -> LayerValues | None:
    if own.cuts != tuple(range(own.layers + 1)):
        return None
    means = own.scores.by_cut
    replicates = own.scores.statistic.resampled(own.scores.values, resamples=_RESAMPLES, seed=0)  # [R, C]
    points = first_holding(replicates, point.share, 0.0).astype(np.float64)
    return LayerValues(
        what="score gained where the layer sees the hidden tokens",
        values=np.diff(means),
        replicates=np.diff(replicates, axis=1),
        pointed=float("nan") if point.layer is None else float(point.layer),
        pointed_replicates=points if point.layer is not None else np.full(len(points), np.nan),
    )


@dataclass(frozen=True, eq=False)
class _Curve:
    """One curve among the rows of a run, or of one of its sub-tasks, with the controls that belong to it.

    Attributes:
        rows: all of them, those of other curves too.
        layers: number of layers of the model, N.
    """

    rows: pd.DataFrame
    condition: Condition
    shots: int
    cuts: tuple[int, ...]
    layers: int

    @cached_property
    def scores(self) -> CurveScores:
        return curve_scores(self.rows, self.condition.name, self.shots, self.cuts)

    @cached_property
    def language(self) -> CurveScores | None:
        return language_scores(self.rows, self.condition.name, self.shots, self.cuts)

    @cached_property
    def zero_shot(self) -> CurveScores | None:
        if self.condition.zero_shot is None:
            return None
        name = self.condition.zero_shot.control(ZERO_SHOT)
        if not (self.rows["condition"] == name).any():
            return None
        # Without examples a prompt is the same under every seed, so it is asked once.
        seeds = _rows_of(self.rows, self.condition.name, self.shots)["seed"].nunique()
        asked = curve_scores(self.rows, name, 0, [self.layers])
        return replace(asked, values=np.repeat(asked.values, seeds, axis=1))

    def control(self, kind: str, cuts: Sequence[int]) -> CurveScores | None:
        """The scores of a control that is asked with examples; None where it was not measured."""
        name = self.condition.control(kind)
        if _rows_of(self.rows, name, self.shots).empty:
            return None
        return curve_scores(self.rows, name, self.shots, cuts)

    def point(self) -> RecognitionPoint:
        scores, zero = self.scores, self.zero_shot
        control = None if zero is None else zero.values[0]
        return recognition_point(self.cuts, scores.values, control, num_layers=self.layers, statistic=scores.statistic)

    def with_intervals(self, scores: CurveScores) -> tuple[CurvePoint, ...]:
        return curve(self.cuts, scores.values, statistic=scores.statistic)


def _rows_of(rows: pd.DataFrame, condition: str, shots: int) -> pd.DataFrame:
    found: pd.DataFrame = rows[(rows["condition"] == condition) & (rows["shots"] == shots)]
    return found


def _condition_view(own: _Curve, label: str, shape: ModelShape | None) -> ConditionView:
    found = _rows_of(own.rows, own.condition.name, own.shots)
    tokens, hidden = round(float(found["tokens"].mean())), round(float(found["hidden"].mean()))
    point, points = own.point(), own.with_intervals(own.scores)
    spoken = None if own.language is None else own.with_intervals(own.language)
    skipped = own.control(EARLY_EXIT, own.cuts)
    exits = None if skipped is None else own.with_intervals(skipped)
    return ConditionView(
        label=label,
        hide=own.condition.hide,
        instruction=own.condition.instruction,
        place=own.condition.place,
        wording=own.condition.wording,
        shots=own.shots,
        cuts=own.cuts,
        mean=tuple(p.mean for p in points),
        low=tuple(p.low for p in points),
        high=tuple(p.high for p in points),
        point=point,
        controls=_controls(own),
        early_exit=None if exits is None else tuple(p.mean for p in exits),
        early_exit_low=None if exits is None else tuple(p.low for p in exits),
        early_exit_high=None if exits is None else tuple(p.high for p in exits),
        saving=None if shape is None or point.layer is None else saving(shape, tokens, hidden, point.layer, own.shots),
        tokens=tokens,
        hidden=hidden,
        language=None if spoken is None else tuple(p.mean for p in spoken),
        language_low=None if spoken is None else tuple(p.low for p in spoken),
        language_high=None if spoken is None else tuple(p.high for p in spoken),
        parts=_parts(own),
    )


def _movements(curves: Sequence[_Curve], views: Sequence[ConditionView]) -> tuple[MovementView, ...]:
    """The numbers of examples of each condition compared, where it has several."""
    found = []
    for condition in dict.fromkeys(one.condition for one in curves):
        places = sorted(
            (place for place, one in enumerate(curves) if one.condition == condition and one.shots),
            key=lambda place: curves[place].shots,
        )
        if len(places) < 2:
            continue
        pointed = [curves[place] for place in places if views[place].point.layer is not None]
        alike = len({one.cuts for one in pointed}) == 1  # a bisection measures other cuts for each
        tested = None
        if len(pointed) > 1 and alike:
            zero = pointed[0].zero_shot
            tested = movement(
                pointed[0].cuts,
                {one.shots: one.scores.values for one in pointed},
                None if zero is None else zero.values[0],
                statistic=pointed[0].scores.statistic,
            )
        found.append(MovementView(condition.label, tuple(places), tested))
    return tuple(found)


def _parts(own: _Curve) -> tuple[PartView, ...]:
    """The same curve for each sub-task of a suite; nothing where there is only one."""
    names = sorted(set(own.rows["subtask"]))
    if len(names) < 2:
        return ()
    views = []
    for name in names:
        part = replace(own, rows=own.rows[own.rows["subtask"] == name])
        points = part.with_intervals(part.scores)
        views.append(
            PartView(
                name=name,
                mean=tuple(p.mean for p in points),
                low=tuple(p.low for p in points),
                high=tuple(p.high for p in points),
                point=part.point(),
                language=None if part.language is None else tuple(map(float, part.language.by_cut)),
            )
        )
    return tuple(views)


def _controls(own: _Curve) -> tuple[ControlScore, ...]:
    measured = {"ceiling": own.scores.interval(-1), "floor": own.scores.interval(0)}
    if own.zero_shot is not None:
        measured[ZERO_SHOT] = own.zero_shot.interval(0)
    shuffled = own.control(SHUFFLED, [own.layers])
    if shuffled is not None:
        measured[SHUFFLED] = shuffled.interval(0)
    return tuple(ControlScore(name, found.mean, found.low, found.high) for name, found in measured.items())


def _answers(found: pd.DataFrame, index: int, cuts: Sequence[int]) -> list[AnswerView]:
    """Answers under the first seed: one page cannot show them all."""
    first = found[found["seed"] == found["seed"].min()]
    views = []
    for item, group in first.groupby("item", sort=False):
        by_cut = group.set_index("cut").loc[list(cuts)]
        row = group.iloc[0]
        views.append(
            AnswerView(
                condition=index,
                item=str(item),
                subtask=str(row["subtask"]),
                query=str(row["query"]),
                reference=str(row["reference"]),
                texts=tuple(map(str, by_cut["text"])),
                scores=tuple(map(float, by_cut["score"])),
                languages=tuple(map(str, by_cut["language"])) if by_cut["in_language"].notna().all() else None,
            )
        )
    return views


def _settings(facts: LocateFacts, settings: LocateConfig) -> dict[str, str]:
    said = {
        **about(facts),
        "template": settings.template,
        "shots": ", ".join(map(str, settings.shots)),
        "seeds": settings.seeds,
        "examples": "new for each item" if settings.fresh else "fixed for the test set",
        "items": settings.items,
        **({"left out": ", ".join(facts.left_out)} if facts.left_out else {}),
        "cuts": settings.cuts if isinstance(settings.cuts, str) else ", ".join(map(str, settings.cuts)),
        "batch size": settings.batch_size,
        "intervals": "95 %, bootstrap over items and over seeds",
    }
    return {name: str(value) for name, value in said.items()}


def write(view: LocateView, folder: Path) -> Mapping[str, Path]:
    """Writes the page with the slider, and the figure."""
    from taskpoint.experiments.locate.page.html import save_page
    from taskpoint.report.figure import save_figure

    figure = save_figure(report_of(view).drawn, folder / "figure.pdf")
    return {"report": save_page(view, folder / "report.html"), "figure": figure}
