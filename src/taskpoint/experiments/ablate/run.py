"""Which single layers are critical? (paper A, experiment 2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskpoint.asking.finite_on_prompts import check_finite_on_first
from taskpoint.asking.measure import Measure
from taskpoint.asking.questions import Questions, answer_facts, check_scored, examples_name, facts_of, run_name
from taskpoint.configuration import described
from taskpoint.engine.calls.projections import output_projections
from taskpoint.errors import SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.ablate.config import AblateConfig
from taskpoint.experiments.ablate.result import AblateResult as AblateResult
from taskpoint.experiments.ablate.rows import NONE_REMOVED, AblateRow, condition_name
from taskpoint.experiments.contract import Step, Work
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.prompts.content import Content
from taskpoint.prompts.template import template as template_of
from taskpoint.results.rows import cell_key
from taskpoint.settings import shown
from taskpoint.tasks.base import Item, Task

if TYPE_CHECKING:
    import pandas as pd


@described(AblateConfig)
def ablate(  # noqa: D417  # settings are told by `described`
    lm: LanguageModel | str,
    task: Task | str,
    shots: int | Sequence[int] = AblateConfig.shots,
    seeds: int = AblateConfig.seeds,
    instruction: bool | Sequence[bool] = AblateConfig.instruction,
    items: int | None = None,
    out: str | Path | None = None,
    *,
    critical: float = AblateConfig.critical,
    fresh: bool = AblateConfig.fresh,
    template: str | None = None,
    max_new_tokens: int | None = None,
    batch_size: int = AblateConfig.batch_size,
    progress: Progress | None = None,
) -> AblateResult:
    """Finds the layers whose attention a model cannot do without, and those whose attention it does not need.

    The attention of one layer is removed at a time: its MLP works on the residual stream of the layer below.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name.
        out: folder to write to, or to continue; None keeps nothing.
        progress: called with the cells done and the cells there are.

    All other arguments are settings, told below.

    Returns:
        Rows, curves, critical and redundant layers, report and figure.

    Raises:
        SettingError, PromptError, DataError: the settings do not fit the task or each other.
        ModelError: a layer's attention has no output projection, or the model computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    config = AblateConfig.of(
        shots=shots,
        seeds=seeds,
        instruction=instruction,
        items=AblateConfig.items if items is None else items,
        critical=critical,
        fresh=fresh,
        template=template,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
    )
    found = runner.run_asked(EXPERIMENTS["ablate"], lm, task, config, out, progress)
    return AblateResult(found.rows, found.view, found.folder)


def start(subject: Asked, config: AblateConfig) -> Ablate:
    """The run of a model and a task; errors as `ablate`."""
    return Ablate(subject.lm, subject.task, config)


@dataclass(frozen=True)
class Cell:
    """Some items under one setting, without the attention of each layer in turn."""

    shots: int
    instruction: bool
    seed: int
    part: int
    items: tuple[Item, ...]

    @property
    def key(self) -> str:
        """What its part of the rows is called in a run folder."""
        return cell_key(condition_name(self.instruction), self.shots, self.seed, self.part)


class Ablate(Work[Cell]):
    """What `ablate` measures."""

    def __init__(self, lm: LanguageModel, task: Task, config: AblateConfig) -> None:
        check_scored(task)
        items, template = task.items(config.items), template_of(config.template or task.template)
        self.config = config
        self._lm, self._task, self._template = lm, task, template
        self._questions = Questions(lm, task, template, items, config.fresh, config.max_new_tokens)
        self._measure = Measure(lm, template, self._questions.max_new_tokens)
        size = config.batch_size
        blocks = [items[start : start + size] for start in range(0, len(items), size)]
        self._cells = [
            Cell(shots, told, seed, part, block)
            for shots, told in config.conditions
            for seed in range(config.seeds if shots else 1)  # without examples a prompt is the same under every seed
            for part, block in enumerate(blocks)
        ]
        self.name = run_name(lm, task)
        settings = dataclasses.asdict(config) | {"template": template.name}
        self.manifest = {**facts_of(lm, task, items), **settings}

    def check(self) -> None:
        """Looks for the projections, builds all prompts of the first seed, and reads some of them."""
        output_projections(self._lm.model)
        prompts = [self._questions.asked(self._contents(cell)) for cell in self._cells if cell.seed == 0]
        check_finite_on_first(self._lm, prompts[0])

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Cell]]:
        """All cells at once."""
        yield self._cells

    def cell(self, key: str) -> Cell:
        """The cell of this key."""
        for cell in self._cells:
            if cell.key == key:
                return cell
        raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {self._cells[0].key!r}")

    def rows(self, cell: Cell, step: Step) -> Iterator[AblateRow]:
        """Asks the model the items of a cell without the attention of each layer in turn, and with all of it.

        Raises:
            ModelError: the model gives NaN or infinity.
            PromptError: as `Questions`.
        """
        contents = self._contents(cell)
        asked = self._questions.asked(contents)
        texts = self._measure.answers_without_attention(asked)
        found = self._measure.reference_without_attention(self._questions.answered(contents, cell.items))
        for row, layer in enumerate([*range(self._lm.num_layers), NONE_REMOVED]):
            for i, item in enumerate(cell.items):
                yield AblateRow(
                    model=self._lm.name,
                    task=self._task.name,
                    condition=condition_name(cell.instruction),
                    shots=cell.shots,
                    seed=cell.seed,
                    layer=layer,
                    item=item.id,
                    logprob=float(found.logprob[row, i]),
                    rank=int(found.rank[row, i]),
                    subtask=item.task,
                    query=item.input,
                    reference=item.answers[0],
                    template=self._template.name,
                    examples=examples_name(contents[i]),
                    tokens=len(asked[i]),
                    revision=self._lm.revision,
                    **answer_facts(self._task, item, texts[row][i]),
                )

    def _contents(self, cell: Cell) -> list[Content]:
        return self._questions.contents(cell.items, cell.shots, cell.seed, cell.instruction)
