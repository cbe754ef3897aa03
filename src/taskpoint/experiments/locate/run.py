"""At which cut is the task recognised? (paper A, experiments 1 and 3)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from taskpoint.analysis.shape import ModelShape
from taskpoint.asking.by_name import model_of, task_of
from taskpoint.asking.condition import conditions
from taskpoint.errors import ModelError, PromptError, SettingError
from taskpoint.experiments.locate.cells import Cells, Grid
from taskpoint.experiments.locate.config import DEFAULT_ITEMS, LocateConfig
from taskpoint.experiments.locate.result import LocateResult as LocateResult
from taskpoint.experiments.locate.view import view_of
from taskpoint.experiments.locate.work import Work, bisect, open_folder
from taskpoint.models.library import attention_name
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.prompts.template import template as template_of
from taskpoint.results.manifest import digest_of
from taskpoint.settings import place, shown, wholes
from taskpoint.tasks.base import Item, Task

Cuts = str | Sequence[int] | None
"""`all`, `bisect`, or the cuts; None is `all`."""


def locate(
    lm: LanguageModel | str,
    task: Task | str,
    shots: int | Sequence[int] = 5,
    seeds: int = 3,
    hide: str | Sequence[str] = "examples",
    instruction: bool | Sequence[bool] = False,
    items: int | None = None,
    cuts: Cuts = None,
    out: str | Path | None = None,
    *,
    fresh: bool = False,
    template: str | None = None,
    max_new_tokens: int | None = None,
    batch_size: int = 64,
    controls: bool = True,
    progress: Progress | None = None,
) -> LocateResult:
    """Finds the layer after which a model has recognised a task.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name.
        shots: worked examples in the prompt; several numbers give several curves.
        seeds: number of draws of examples (paper A uses up to 4).
        hide: what is hidden from layer r on; several selectors give several curves.
        instruction: whether the prompt has an instruction; `(False, True)` measures both. With one in sight there is
            often nothing left to recognise in the examples.
        items: test items at most; None takes 200, or all where there are fewer.
        cuts: "all" (or None), a list of cuts, or "bisect": only the cuts that a bisection needs, which trusts that no
            score falls again above the point that it finds.
        out: folder to write to, or to continue; None keeps nothing.
        fresh: new examples for each item, instead of the same for the whole test set.
        template: name of the prompt template; None takes the task's.
        max_new_tokens: longest answer; None takes the longest reference and a little more.
        batch_size: items that are computed, and written, at once.
        controls: whether zero-shot, shuffled answers and early exit are measured too; without zero-shot the point
            cannot be held against it.
        progress: called with the cells done and the cells there are.

    Returns:
        Rows, curve, point, report and figure.

    Raises:
        SettingError, PromptError, DataError: the settings do not fit the task or each other.
        ModelError: the model cannot be cut, or computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    config = LocateConfig(
        shots=wholes("shots", shots, 0),
        seeds=seeds,
        conditions=conditions(hide, instruction),
        cuts=_read_cuts(cuts),
        items=DEFAULT_ITEMS if items is None else items,
        fresh=fresh,
        template=template,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        controls=controls,
    )
    if progress is not None and not callable(progress):
        raise SettingError(f"progress is {shown(progress)}; expected a function of the cells done and all there are")
    folder = None if out is None else place("out", out)
    return run(model_of(lm), task_of(task), config, folder, progress)


def _read_cuts(cuts: Cuts) -> tuple[int, ...] | Literal["all", "bisect"]:
    if cuts is None or cuts == "all":
        return "all"
    if cuts == "bisect":
        return "bisect"
    if isinstance(cuts, str | bytes) or not isinstance(cuts, Iterable):
        raise SettingError(f"cuts is {shown(cuts)}; expected 'all', 'bisect' or a list of layers")
    return wholes("cuts", cuts, 0)


def run(
    lm: LanguageModel,
    task: Task,
    config: LocateConfig,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> LocateResult:
    """Runs `locate` with a configuration; arguments and errors as there."""
    layers = lm.num_layers
    cuts = _checked_cuts(config.cuts, layers)
    if not task.has_answers:
        raise SettingError(f"task {task.name!r} has items without accepted answers; give them 'answers' to score them")
    items = task.items(config.items)
    template = template_of(config.template or task.template)
    cells = Cells(lm, task, template, items, config.fresh, config.max_new_tokens)
    blocks = tuple(items[start : start + config.batch_size] for start in range(0, len(items), config.batch_size))
    grid = Grid(config.conditions, config.shots, config.seeds, blocks, layers, _can_shuffle(task, items, config))
    first_seed = dataclasses.replace(grid, seeds=1)
    cells.check(cell for condition, count in grid.curves() for cell in first_seed.curve_cells(condition, count, ()))
    cells.check_finite(next(first_seed.curve_cells(*next(grid.curves()), ())))
    with open_folder(out, manifest(lm, task, config, template.name)) as folder:
        work = Work(folder, cells, progress)
        if cuts is not None:
            work.do(
                [cell for condition, count in grid.curves() for cell in grid.curve_cells(condition, count, cuts)],
                list(grid.control_cells()) if config.controls else [],
            )
        else:
            work.do(list(grid.control_cells()) if config.controls else [])
            for condition, count in grid.curves():
                bisect(work, grid, condition, count)
        rows = folder.frame()
        view = view_of(folder)
    return LocateResult(rows, view, None if out is None else Path(out))


def manifest(lm: LanguageModel, task: Task, config: LocateConfig, template: str) -> Mapping[str, object]:
    """Everything that decides the rows, as JSON values."""
    model: Any = lm.model
    try:
        shape: object = dataclasses.asdict(ModelShape.from_config(model.config))
    except ModelError:
        shape = None  # savings are not known for this family; the curve is
    settings = dataclasses.asdict(config) | {"template": template}
    plain: dict[str, object] = json.loads(
        json.dumps(
            {
                "model": lm.name,
                "revision": lm.revision,
                "dtype": str(model.dtype).removeprefix("torch."),
                "attention": str(attention_name(model.config)),
                "num_layers": lm.num_layers,
                "shape": shape,
                "task": task.name,
                "task_sha256": task.fingerprint(),
                "metric": task.metric,
                **_scoring(task, config.items),
                **settings,
            },
            default=sorted,
        )
    )
    return plain


def _scoring(task: Task, items: int) -> Mapping[str, str]:
    """The metric that was asked for in place of the task's own, and the signature of a score that has one."""
    signature = task.signature(task.items(items))
    asked = {} if task.scoring == type(task).scoring else {"metric_name": task.scoring.name}
    return asked if signature is None else {**asked, "metric_signature": signature}


def default_folder(lm: LanguageModel, task: Task, settings: LocateConfig) -> Path:
    """Where a run is kept when the user names no folder: the same settings find the same folder again."""
    config = manifest(lm, task, settings, settings.template or task.template)
    digest = digest_of(config)[:8]
    name = "-".join(str(config[key]).replace("/", "-").replace(":", "-") for key in ("model", "task"))
    return Path("runs") / f"locate-{name}-{digest}"


def _checked_cuts(cuts: tuple[int, ...] | str, layers: int) -> tuple[int, ...] | None:
    """The cuts in order with floor and ceiling among them; None for a bisection."""
    if cuts == "bisect":
        return None
    if cuts == "all":
        return tuple(range(layers + 1))
    listed = tuple(cut for cut in cuts if isinstance(cut, int))
    if max(listed) > layers:
        raise SettingError(f"cuts names layer {max(listed)}; expected numbers from 0 to {layers}, the model's layers")
    return tuple(sorted({0, layers, *listed}))


def _can_shuffle(task: Task, items: Iterable[Item], config: LocateConfig) -> tuple[int, ...]:
    """The shots whose answers can be shuffled: tasks with few different answers leave no wrong ones to give."""
    possible = []
    for count in filter(None, config.shots):
        try:
            for seed in range(config.seeds):
                for item in items:
                    task.content(item, count, seed, instruction=False, fresh=config.fresh, shuffled=True)
        except PromptError:
            continue
        possible.append(count)
    return tuple(possible)
