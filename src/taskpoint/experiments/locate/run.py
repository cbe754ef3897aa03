"""At which cut is the task recognised? (paper A, experiments 1 and 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taskpoint.analysis.recognition import recognition_point
from taskpoint.asking.condition import EARLY_EXIT, GRID_CONDITIONS, Condition, conditions
from taskpoint.asking.measure import Measure, ReferenceScores
from taskpoint.asking.questions import answer_facts, check_scored, examples_name, facts_of, run_name, shape_of
from taskpoint.asking.scores import curve_scores
from taskpoint.configuration import described
from taskpoint.errors import PromptError, SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.contract import Step, Work
from taskpoint.experiments.locate.cells import Cell, Grid
from taskpoint.experiments.locate.config import LocateConfig
from taskpoint.experiments.locate.prompts import Prompts
from taskpoint.experiments.locate.result import LocateResult as LocateResult
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.prompts.content import Place
from taskpoint.prompts.template import template as template_of
from taskpoint.results.rows import Row
from taskpoint.settings import shown
from taskpoint.tasks.base import Item, Task

if TYPE_CHECKING:
    import pandas as pd

_EXPERIMENT = EXPERIMENTS["locate"]


@described(LocateConfig)
def locate(  # noqa: D417  # settings are told by `described`
    lm: LanguageModel | str,
    task: Task | str,
    shots: int | Sequence[int] = LocateConfig.shots[0],
    seeds: int = LocateConfig.seeds,
    hide: str | Sequence[str] = "examples",
    instruction: bool | Sequence[bool] = False,
    items: int | None = None,
    cuts: str | Sequence[int] | None = None,
    out: str | Path | None = None,
    *,
    place: Place | str = Place.first,
    wording: int | Sequence[int] = 0,
    fresh: bool = LocateConfig.fresh,
    template: str | None = None,
    max_new_tokens: int | None = None,
    batch_size: int = LocateConfig.batch_size,
    controls: bool = LocateConfig.controls,
    progress: Progress | None = None,
) -> LocateResult:
    """Finds the layer after which a model has recognised a task.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name.
        hide: what is hidden from layer r on; several selectors give several curves.
        instruction: whether the prompt has an instruction; `(False, True)` measures both. With one in sight there is
            often nothing left to recognise in the examples.
        place: where an instruction stands: "first", "before-query" or "after-query".
        wording: which of the task's wordings of its instruction, from 0; several measure each.
        out: folder to write to, or to continue; None keeps nothing.
        progress: called with the cells done and the cells there are.

    All other arguments are settings, told below. Bisection trusts that no score falls again above the point that it
    finds; without the controls the point cannot be held against zero-shot.

    Returns:
        Rows, curve, point, report and figure.

    Raises:
        SettingError, PromptError, DataError: the settings do not fit the task or each other.
        ModelError: the model cannot be cut, or computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    config = LocateConfig.of(
        shots=shots,
        seeds=seeds,
        cuts=LocateConfig.cuts if cuts is None else cuts,
        conditions=conditions(hide, instruction, place, wording),
        items=LocateConfig.items if items is None else items,
        fresh=fresh,
        template=template,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        controls=controls,
    )
    found = runner.run_asked(_EXPERIMENT, lm, task, config, out, progress)
    return LocateResult(found.rows, found.view, found.folder)


def start(subject: Asked, config: LocateConfig) -> Locate:
    """The run of a model and a task; errors as `locate`."""
    return Locate(subject.lm, subject.task, config)


class Locate(Work[Cell]):
    """What `locate` measures."""

    def __init__(self, lm: LanguageModel, task: Task, config: LocateConfig) -> None:
        self._cuts = _fitting(config.cuts, lm.num_layers)
        self.config = config
        check_scored(task)
        task.check_scoring()
        items, template = task.items(config.items), template_of(config.template or task.template)
        self._lm, self._task, self._template = lm, task, template
        self._prompts = Prompts(lm, task, template, items, config.fresh, config.max_new_tokens)
        self._measure = Measure(lm, template, self._prompts.max_new_tokens)
        size = config.batch_size
        blocks = tuple(items[start : start + size] for start in range(0, len(items), size))
        shuffled = _can_shuffle(task, items, config)
        asked = _possible_conditions(task, config)
        self._grid = Grid(asked, config.shots, config.seeds, blocks, lm.num_layers, shuffled)
        self.name = run_name(lm, task)
        told = [condition.setting for condition in config.conditions]
        settings = dataclasses.asdict(config) | {"template": template.name, "conditions": told}
        left_out = [one.name for one in config.conditions if one not in asked]
        facts = {**facts_of(lm, task, items), "shape": shape_of(lm)}
        self.manifest = {**facts, **({"left_out": left_out} if left_out else {}), **settings}

    def check(self) -> None:
        """Builds all prompts of the first seed, and reads some of them without a cut."""
        grid = dataclasses.replace(self._grid, seeds=1)
        self._prompts.check(cell for curve in grid.curves() for cell in grid.curve_cells(*curve, ()))
        self._prompts.check_finite(next(grid.curve_cells(*next(grid.curves()), ())))

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Cell]]:
        """Curves, then controls; where cuts are bisected controls come first, then what each step asks for."""
        controls = list(self._controls())
        if self._cuts is not None:
            curves = [cell for curve in self._grid.curves() for cell in self._grid.curve_cells(*curve, self._cuts)]
            yield curves + controls
            return
        yield controls
        for condition, shots in self._grid.curves():
            yield from self._bisected(condition, shots, rows)

    def _bisected(self, condition: Condition, shots: int, rows: Callable[[], pd.DataFrame]) -> Iterator[list[Cell]]:
        """0, N, and the cuts between the last that misses the threshold and the first that holds it."""
        measured = [0, self._grid.layers]
        missing, holding = measured
        yield list(self._grid.curve_cells(condition, shots, measured))
        while holding - missing > 1:
            middle = (missing + holding) // 2
            yield list(self._grid.curve_cells(condition, shots, [middle]))
            measured = sorted([*measured, middle])
            scores = curve_scores(rows(), condition.name, shots, measured)
            threshold = recognition_point(measured, scores.values, statistic=scores.statistic, resamples=1).threshold
            holds = scores.by_cut[measured.index(middle)] >= threshold
            missing, holding = (missing, middle) if holds else (middle, holding)

    def cell(self, key: str) -> Cell:
        """The cell of this key."""
        cells = list(self._possible())
        for cell in cells:
            if cell.key == key:
                return cell
        raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {cells[0].key!r}")

    def _possible(self) -> Iterator[Cell]:
        """Every cell that the run may ask for; a bisection asks for some of them."""
        layers = self._grid.layers
        cuts = [(0, layers), *((cut,) for cut in range(1, layers))] if self._cuts is None else [self._cuts]
        for curve in self._grid.curves():
            for some in cuts:
                yield from self._grid.curve_cells(*curve, some)
        yield from self._controls()

    def _controls(self) -> Iterator[Cell]:
        yield from self._grid.control_cells() if self.config.controls else ()

    def rows(self, cell: Cell, step: Step) -> list[Row]:
        """Asks the model the items of a cell under each of its cuts.

        Raises:
            ModelError: the model gives NaN or infinity.
            PromptError: as `Prompts`.
        """
        lm, task, prompts = self._lm, self._task, self._prompts
        contents = prompts.contents(cell)
        asked = prompts.asked(contents)
        hidden = prompts.hidden(cell, asked)
        scores: ReferenceScores | None = None
        if cell.kind == EARLY_EXIT:
            texts = self._measure.exit_answers(asked, cell.cuts)
        else:
            newest_only = prompts.newest_only(cell)
            texts = self._measure.answers(asked, hidden, cell.cuts, newest_only=newest_only)
            answered = prompts.answered(cell, contents)
            told = prompts.hidden(cell, answered)
            scores = self._measure.reference(answered, told, cell.cuts, newest_only=newest_only)
        task.score_ahead((item, under[i]) for under in texts for i, item in enumerate(cell.items))
        return [
            Row(
                model=lm.name,
                task=task.name,
                condition=cell.name,
                shots=cell.shots,
                seed=cell.seed,
                cut=cut,
                item=item.id,
                logprob=None if scores is None else float(scores.logprob[c, i]),
                rank=None if scores is None else int(scores.rank[c, i]),
                subtask=item.task,
                query=item.input,
                reference=item.answers[0],
                template=self._template.name,
                examples=examples_name(contents[i]),
                tokens=len(asked[i]),
                hidden=int(hidden[i].sum()),
                revision=lm.revision,
                **answer_facts(task, item, texts[c][i]),
            )
            for c, cut in enumerate(cell.cuts)
            for i, item in enumerate(cell.items)
        ]


def _fitting(cuts: tuple[int, ...] | str, layers: int) -> tuple[int, ...] | None:
    """The cuts in order with floor and ceiling among them; None for a bisection."""
    if cuts == "bisect":
        return None
    if cuts == "all":
        return tuple(range(layers + 1))
    listed = tuple(cut for cut in cuts if isinstance(cut, int))
    if max(listed) > layers:
        raise SettingError(f"cuts names layer {max(listed)}; expected numbers from 0 to {layers}, the model's layers")
    return tuple(sorted({0, layers, *listed}))


def _possible_conditions(task: Task, config: LocateConfig) -> tuple[Condition, ...]:
    """The conditions, without those of the whole grid for which the task has too few wordings.

    Raises:
        SettingError: a wording that was asked for by its number is not there.
    """
    most = max((one.wording for one in config.conditions), default=0)
    if most < task.wordings or most == 0:
        return config.conditions
    if config.conditions != GRID_CONDITIONS:
        raise SettingError(
            f"wording {most} of the instruction was asked for, but task {task.name!r} has {task.wordings}; set wording "
            f"to at most {max(0, task.wordings - 1)}"
        )
    return tuple(one for one in config.conditions if one.wording < max(1, task.wordings))


def _can_shuffle(task: Task, items: Iterable[Item], config: LocateConfig) -> tuple[int, ...]:
    """The shots whose answers can be shuffled; few different answers leave no wrong ones to give."""
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
