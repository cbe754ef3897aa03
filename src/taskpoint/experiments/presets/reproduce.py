"""Does the runs of a preset: each in a folder of its own, so that it can be killed anywhere and be run again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskpoint.configuration import Configuration, settings_of
from taskpoint.errors import DataError, ModelError, RunFolderError, TaskpointError, UnknownNameError
from taskpoint.experiments.assigned import assigned, assignments
from taskpoint.experiments.contract import SubjectOptions
from taskpoint.experiments.presets import data
from taskpoint.experiments.presets.preset import PresetRun, Published
from taskpoint.experiments.presets.reading import Found
from taskpoint.experiments.registry import EXPERIMENTS, Experiment
from taskpoint.models.bundled import bundled_models
from taskpoint.progress import Progress
from taskpoint.results.atomic import save_whole
from taskpoint.results.manifest import as_json, digest_of

if TYPE_CHECKING:
    from taskpoint.report.blocks import Report

MARK = "preset.yaml"
"""The file that makes a folder one of a reproduction: the preset as it was read."""

_DIRECTION = re.compile(r":[a-z]{3}-[a-z]{3}(?:,[a-z]{3}-[a-z]{3})*$")


@dataclass(frozen=True)
class Wishes:
    """What the user wants otherwise than a preset has it; None leaves it.

    Attributes:
        model: takes the place of every model.
        task: takes the place of every task; where it names no direction of translation, each run keeps its own.
        data: the folder of data sets.
        items: test items of each run.
        seeds: draws of each run.
        runs: names of the runs to do; none does all.
        others: settings of single experiments, as `assigned` reads them.
        run_programs: allows what no preset may: that programs which a model wrote are run.
    """

    model: str | None = None
    task: str | None = None
    data: Path | None = None
    items: int | None = None
    seeds: int | None = None
    device: str | None = None
    dtype: str | None = None
    runs: tuple[str, ...] = ()
    run_programs: bool = False
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assignments("set", self.others)


@dataclass(frozen=True)
class Planned:
    """A run that can be done.

    Attributes:
        subject: what it is about.
        published: what the paper gives for it.
        changed: what the user wanted otherwise, in words.
    """

    name: str
    experiment: Experiment
    subject: SubjectOptions
    config: Configuration
    published: Published | None
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """A run that is done.

    Attributes:
        report: what the experiment itself says of it.
        layers: number of layers of its model; None where there is no one number.
        folder: where its rows are.
    """

    planned: Planned
    report: Report
    model: str
    layers: int | None
    folder: Path


def planned(found: Found, wishes: Wishes) -> tuple[Planned, ...]:
    """The runs of a preset as the user wants them.

    Raises:
        SettingError: a wish is out of range.
        UnknownNameError: there is no such run.
        DataError: a data set is missing; the message says how to get it.
    """
    runs = found.preset.runs
    for name in wishes.runs:
        if name not in runs:
            raise UnknownNameError(f"run of {found.name}", name, runs)
    wanted = {name: run for name, run in runs.items() if not wishes.runs or name in wishes.runs}
    folder = data.folder_of(wishes.data)
    asked = {name: _data(run, wishes) for name, run in wanted.items()}
    lacking = data.missing((text for texts in asked.values() for text in texts.values()), folder)
    if lacking is not None:
        raise DataError(f"{found.name}: {lacking}")
    return tuple(_planned(name, run, found.configs[name], asked[name], folder, wishes) for name, run in wanted.items())


def _planned(
    name: str, run: PresetRun, config: Configuration, asked: dict[str, str], folder: Path | None, wishes: Wishes
) -> Planned:
    experiment = EXPERIMENTS[run.experiment]
    subject: dict[str, Any] = {key: data.filled(text, folder) for key, text in asked.items()}
    if wishes.model is not None:
        subject |= {"model": wishes.model}
    elif run.model is not None:
        subject |= {"model": run.model.name, "revision": run.model.revision, "dtype": run.model.dtype}
    subject |= {key: value for key, value in (("device", wishes.device), ("dtype", wishes.dtype)) if value}
    if wishes.run_programs and "run_programs" in settings_of(experiment.config.SUBJECT):
        subject["run_programs"] = True
    changes = {"items": wishes.items, "seeds": wishes.seeds}
    changes = {key: value for key, value in changes.items() if value not in (None, getattr(config, key, None))}
    changes = {key: value for key, value in changes.items() if key in settings_of(type(config))}
    changes |= assigned(run.experiment, wishes.others, type(config))
    told = [f"{key} {value} in place of {getattr(config, key)}" for key, value in changes.items()]
    if run.model is not None and wishes.model not in (None, run.model.name):
        told.append(f"model {wishes.model} in place of {run.model.name}")
    told += [f"{key} {text} in place of {run.data[key]}" for key, text in asked.items() if run.data[key] != text]
    if _bundled(wishes) and "template" in settings_of(type(config)):
        changes["template"] = None
        told.append("the prompt template and the metric that this model learnt with")
    return Planned(
        name,
        experiment,
        experiment.config.SUBJECT.of(**subject),
        replace(config, **changes),
        run.published,
        tuple(told),
    )


def _bundled(wishes: Wishes) -> bool:
    return wishes.model in bundled_models()


def _data(run: PresetRun, wishes: Wishes) -> dict[str, str]:
    """What a run is about beside its model: a bundled model is asked what it learnt, in the words that it knows."""
    from taskpoint.asking.learnt import task_for

    asked = dict(run.data)
    if "task" not in asked:
        return asked
    direction = _DIRECTION.search(asked["task"])
    if wishes.task is not None:
        asked["task"] = wishes.task
    elif _bundled(wishes):
        asked["task"] = _DIRECTION.sub("", task_for(wishes.model))
    else:
        return asked
    if direction is not None and asked["task"].partition(":")[0] in ("everyday", "tatoeba", "flores"):
        asked["task"] = asked["task"] if _DIRECTION.search(asked["task"]) else asked["task"] + direction[0]
    if _bundled(wishes):
        asked.pop("metric", None)
    return asked


def default_folder(found: Found, plan: Sequence[Planned]) -> Path:
    """Where a reproduction is kept when the user names no folder: the same wishes find the same folder again."""
    said = {each.name: [repr(each.subject), repr(each.config)] for each in plan}
    return Path("runs") / f"{found.name.replace('/', '-')}-{digest_of(as_json(said))[:8]}"


def check_models(plan: Iterable[Planned]) -> None:
    """Looks for the models of all runs before the first is begun.

    Raises:
        ModelError: one cannot be had; the message says how to get it.
    """
    seen = {(getattr(each.subject, "model", None), getattr(each.subject, "revision", None)) for each in plan}
    for name, revision in sorted(seen, key=str):
        if name is None or name in bundled_models() or Path(name).expanduser().exists() or name.count("/") != 1:
            continue
        from taskpoint.models.files.reading import read_config

        try:
            read_config(name, name, revision, {} if revision is None else {"revision": revision})
        except TaskpointError as error:
            raise _with_way(error, name, revision) from None


def _with_way(error: TaskpointError, name: str, revision: str | None) -> ModelError:
    at = "" if revision in (None, "main") else f" --revision {revision}"
    return ModelError(f"{error}. Fetch it with `hf download {name}{at}`, or take another with --model")


def claim(found: Found, out: Path) -> None:
    """Makes the folder of a reproduction, or finds it again.

    Raises:
        RunFolderError: it holds something else, or runs of another preset.
    """
    mark = out / MARK
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is no folder: give another one with --out")
    if mark.exists():
        if mark.is_file() and mark.read_bytes() == found.text.encode():
            return
        raise RunFolderError(
            f"{out} holds runs of another preset, or of one that was changed since: give another --out"
        )
    others = sorted(file.name for file in out.iterdir() if not file.name.startswith(".")) if out.exists() else []
    if others:
        raise RunFolderError(f"{out} holds files that are not of a preset ({others[0]}): give a new folder with --out")
    save_whole(mark, found.text.encode())


def do(
    found: Found,
    plan: Sequence[Planned],
    out: Path,
    telling: Callable[[str], AbstractContextManager[Progress]],
    done: Callable[[Sequence[Measured]], object],
) -> tuple[Measured, ...]:
    """Does what runs lack, one after another; runs that wishes made equal are done once.

    Args:
        found: the preset, for the folder's mark.
        plan: from `planned`.
        out: folder with one folder for each run.
        telling: shows the progress of a run, given its name.
        done: called after each run with those that are done.

    Raises:
        TaskpointError: as the experiments; a model that is missing with how to get it.
    """
    claim(found, out)
    finished: list[Measured] = []
    for each in plan:
        equal = next((one for one in finished if _work(one.planned) == _work(each)), None)
        if equal is None:
            with telling(each.name) as tell:
                finished.append(_run(each, out / each.name, tell))
        else:
            finished.append(replace(equal, planned=each))
        done(finished)
    return tuple(finished)


def _work(planned: Planned) -> tuple[object, ...]:
    return planned.experiment, planned.subject, planned.config


def _run(planned: Planned, folder: Path, tell: Progress) -> Measured:
    """One run; its model is let go of before the next is loaded."""
    from taskpoint.experiments.outputs import write
    from taskpoint.experiments.runner import run

    experiment = planned.experiment
    try:
        subject = planned.subject.load()
    except ModelError as error:
        name = str(getattr(planned.subject, "model", None))
        raise (_with_way(error, name, getattr(planned.subject, "revision", None)) if "/" in name else error) from None
    work = experiment.run.start(subject, planned.config)
    view = run(experiment, work, folder, tell).view
    write(experiment, view, folder)
    told = work.manifest
    layers = told.get("num_layers")
    model = str(told.get("model", work.name))
    report = experiment.view.report_of(view)
    return Measured(planned, report, model, layers if isinstance(layers, int) else None, folder)
