"""From the rows of a `locate` run to what its reports show; needs no model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taskpoint.analysis.recognition import CurvePoint, RecognitionPoint, curve, recognition_point
from taskpoint.analysis.savings import Saving, saving
from taskpoint.analysis.shape import ModelShape
from taskpoint.asking.condition import EARLY_EXIT, SHUFFLED, ZERO_SHOT, Condition, named
from taskpoint.asking.learnt import model_for
from taskpoint.asking.scores import CurveScores, curve_scores, language_scores
from taskpoint.errors import RunFolderError
from taskpoint.experiments.locate.blocks import report_of as report_of
from taskpoint.experiments.locate.config import LocateConfig, LocateFacts
from taskpoint.experiments.locate.findings import AnswerView, ConditionView, ControlScore, LocateView, PartView
from taskpoint.experiments.stored import damaged, read_back, read_shape
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import ITEMS

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = ITEMS


def view_of(folder: RunFolder) -> LocateView:
    """Everything that reports show, from the rows, configuration and library versions of a run.

    Raises:
        RunFolderError: it was interrupted before its first curve, or its config.json was changed.
    """
    facts = read_back(LocateFacts, folder.manifest.config, folder.path)
    settings = read_back(LocateConfig, folder.manifest.config, folder.path)
    if facts.shape is not None:
        read_shape(facts.shape, folder.path)
    rows, config = folder.frame(), folder.manifest.config
    _check_rows(rows, facts, settings, folder.path)
    return _view(rows, config, settings, folder.versions)


def _check_rows(rows: pd.DataFrame, facts: LocateFacts, settings: LocateConfig, path: Path) -> None:
    """Refuses settings that the rows contradict: those of folders whose parts do not hold the settings themselves."""
    import pandas as pd

    said: dict[str, object] = {"model": facts.model, "task": facts.task, "revision": facts.revision}
    for name, value in (said | {"template": settings.template}).items():
        told = [None if pd.isna(each) else str(each) for each in rows[name].unique()]
        other = [each for each in told if each != value]
        if other:
            raise damaged(path, f"{name!r} is {value!r}, but the rows are of {other[0]!r}")
    for name, least in (("seed", settings.seeds), ("cut", facts.num_layers + 1)):
        if len(rows) and int(rows[name].max()) >= least:
            raise damaged(path, f"it knows of fewer {name}s than the rows, which go to {int(rows[name].max())}")
    strange = sorted(set(map(int, rows["shots"].unique())) - {0, *settings.shots})
    if strange:
        raise damaged(path, f"'shots' are {list(settings.shots)}, but some rows are of {strange[0]}")


def _view(
    rows: pd.DataFrame, config: Mapping[str, Any], settings: LocateConfig, versions: Mapping[str, str]
) -> LocateView:
    views: list[ConditionView] = []
    answers: list[AnswerView] = []
    for values in config["conditions"]:
        condition = Condition(values["hide"], values["instruction"])
        for shots in config["shots"]:
            found = rows[(rows["condition"] == condition.name) & (rows["shots"] == shots)]
            # A curve of fewer draws than were asked for is one that was interrupted.
            if found["seed"].nunique() < config["seeds"]:
                continue
            one = _condition_view(rows, found, condition, shots, config)
            answers += _answers(found, len(views), one.cuts)
            views.append(one)
    if not views:
        raise RunFolderError("the run has no complete curve yet; run the same command again to continue it")
    return LocateView(
        model=str(config["model"]),
        num_layers=int(config["num_layers"]),
        task=str(config["task"]),
        metric=str(config["metric"]),
        template=str(config["template"]),
        seeds=int(config["seeds"]),
        items=int(rows["item"].nunique()),
        conditions=tuple(views),
        answers=tuple(answers),
        settings=_settings(config),
        command=command(config, settings),
        versions=dict(versions),
    )


def _condition_view(
    rows: pd.DataFrame, found: pd.DataFrame, condition: Condition, shots: int, config: Mapping[str, Any]
) -> ConditionView:
    cuts = sorted(int(cut) for cut in found["cut"].unique())
    layers = int(config["num_layers"])
    scores = curve_scores(rows, condition.name, shots, cuts)
    zero = _zero_shot(rows, condition, shots, layers)
    point, points = _recognised(cuts, scores, zero, layers)
    language = language_scores(rows, condition.name, shots, cuts)
    spoken = None if language is None else curve(cuts, language.values)
    exits = _early_exit(rows, condition, shots, cuts)
    return ConditionView(
        label=condition.label if len(config["shots"]) == 1 else f"{condition.label}, {shots}-shot",
        hide=condition.hide,
        instruction=condition.instruction,
        shots=shots,
        cuts=tuple(cuts),
        mean=tuple(p.mean for p in points),
        low=tuple(p.low for p in points),
        high=tuple(p.high for p in points),
        point=point,
        controls=_controls(rows, condition, shots, scores, zero, layers),
        early_exit=None if exits is None else tuple(i.mean for i in exits),
        early_exit_low=None if exits is None else tuple(i.low for i in exits),
        early_exit_high=None if exits is None else tuple(i.high for i in exits),
        saving=_saving(config, found, point, shots),
        tokens=round(float(found["tokens"].mean())),
        hidden=round(float(found["hidden"].mean())),
        language=None if spoken is None else tuple(p.mean for p in spoken),
        language_low=None if spoken is None else tuple(p.low for p in spoken),
        language_high=None if spoken is None else tuple(p.high for p in spoken),
        parts=_parts(rows, condition, shots, cuts, layers),
    )


def _recognised(
    cuts: Sequence[int], scores: CurveScores, zero: CurveScores | None, layers: int
) -> tuple[RecognitionPoint, tuple[CurvePoint, ...]]:
    named: dict[str, Any] = {"statistic": scores.statistic}
    control = None if zero is None else zero.values[0]
    return recognition_point(cuts, scores.values, control, num_layers=layers, **named), curve(
        cuts, scores.values, **named
    )


def _parts(
    rows: pd.DataFrame, condition: Condition, shots: int, cuts: Sequence[int], layers: int
) -> tuple[PartView, ...]:
    """The same curve for each sub-task of a suite; nothing where there is only one."""
    names = list(dict.fromkeys(rows["subtask"]))
    if len(names) < 2:
        return ()
    views = []
    for name in sorted(names):
        own = rows[rows["subtask"] == name]
        scores = curve_scores(own, condition.name, shots, cuts)
        point, points = _recognised(cuts, scores, _zero_shot(own, condition, shots, layers), layers)
        language = language_scores(own, condition.name, shots, cuts)
        views.append(
            PartView(
                name=name,
                mean=tuple(p.mean for p in points),
                low=tuple(p.low for p in points),
                high=tuple(p.high for p in points),
                point=point,
                language=None if language is None else tuple(map(float, language.by_cut)),
            )
        )
    return tuple(views)


def _zero_shot(rows: pd.DataFrame, condition: Condition, shots: int, layers: int) -> CurveScores | None:
    if condition.zero_shot is None:
        return None
    name = named(ZERO_SHOT, condition.zero_shot)
    if not (rows["condition"] == name).any():
        return None
    # Without examples a prompt is the same under every seed, so it is asked once.
    seeds = rows[(rows["condition"] == condition.name) & (rows["shots"] == shots)]["seed"].nunique()
    asked = curve_scores(rows, name, 0, [layers])
    return replace(asked, values=np.repeat(asked.values, seeds, axis=1))


def _early_exit(
    rows: pd.DataFrame, condition: Condition, shots: int, cuts: Sequence[int]
) -> tuple[CurvePoint, ...] | None:
    name = named(EARLY_EXIT, condition.instruction)
    if not ((rows["condition"] == name) & (rows["shots"] == shots)).any():
        return None
    scores = curve_scores(rows, name, shots, cuts)
    return curve(cuts, scores.values, statistic=scores.statistic)


def _controls(
    rows: pd.DataFrame, condition: Condition, shots: int, scores: CurveScores, zero: CurveScores | None, layers: int
) -> tuple[ControlScore, ...]:
    measured = {"ceiling": scores.interval(-1), "floor": scores.interval(0)}
    if zero is not None:
        measured[ZERO_SHOT] = zero.interval(0)
    name = named(SHUFFLED, condition.instruction)
    if ((rows["condition"] == name) & (rows["shots"] == shots)).any():
        measured[SHUFFLED] = curve_scores(rows, name, shots, [layers]).interval(0)
    return tuple(ControlScore(control, i.mean, i.low, i.high) for control, i in measured.items())


def _saving(config: Mapping[str, Any], found: pd.DataFrame, point: RecognitionPoint, shots: int) -> Saving | None:
    if point.layer is None or config["shape"] is None:
        return None
    shape = ModelShape.from_json(config["shape"])
    tokens, hidden = round(float(found["tokens"].mean())), round(float(found["hidden"].mean()))
    return saving(shape, tokens, hidden, point.layer, shots)


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


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    said = {
        "model": config["model"],
        "revision": config["revision"] or "none",
        "precision": config["dtype"],
        "attention": config["attention"],
        "task": config["task"],
        "metric": config.get("metric_signature", config.get("metric_name", config["metric"])),
        "template": config["template"],
        "shots": ", ".join(map(str, config["shots"])),
        "seeds": config["seeds"],
        "examples": "new for each item" if config["fresh"] else "fixed for the test set",
        "items": config["items"],
        "cuts": config["cuts"] if isinstance(config["cuts"], str) else ", ".join(map(str, config["cuts"])),
        "batch size": config["batch_size"],
        "intervals": "95 %, bootstrap over items and over seeds",
    }
    return {name: str(value) for name, value in said.items()}


def command(config: Mapping[str, Any], settings: LocateConfig) -> str:
    """The command line that runs it again."""
    words = ["taskpoint", "locate"]
    if config["model"] != model_for(str(config["task"])):
        words += [str(config["model"])]
    words += ["--task", str(config["task"])]
    if "metric_name" in config:
        words += ["--metric", str(config["metric_name"])]
    return shlex.join([*words, *settings.words()])


def write(view: LocateView, folder: Path) -> Mapping[str, Path]:
    """Writes the page with the slider, and the figure."""
    from taskpoint.experiments.locate.page.html import save_page
    from taskpoint.report.figure import save_figure

    figure = save_figure(report_of(view).drawn, folder / "figure.pdf")
    return {"report": save_page(view, folder / "report.html"), "figure": figure}
