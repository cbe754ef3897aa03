"""Which attention heads can go? (paper A, version 1, sections 6.3 to 6.5)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.measure import Measure
from taskpoint.asking.questions import check_scored, facts_of, run_name
from taskpoint.asking.token_device import token_device
from taskpoint.configuration import described
from taskpoint.engine.calls.forward import check_free
from taskpoint.engine.calls.projections import output_projections
from taskpoint.engine.gates import gating, heads_of
from taskpoint.errors import PlanError, SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.contract import Step, Work
from taskpoint.experiments.heads.config import HeadsConfig
from taskpoint.experiments.heads.files import GATES_FOLDER, MASKS_FOLDER, file_name
from taskpoint.experiments.heads.prompts import Prompts
from taskpoint.experiments.heads.result import HeadsResult as HeadsResult
from taskpoint.experiments.heads.rows import GATES, MASK, RANDOM, UNTOUCHED, HeadsRow
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import Asked
from taskpoint.models.anatomy import anatomy
from taskpoint.models.head_gates import HeadGates, gates_on
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.settings import shown
from taskpoint.tasks.base import Task
from taskpoint.tasks.drawing import generator, permutation
from taskpoint.training.gates import AnswerBatch, GateTraining, TrainedGates, train_gates
from taskpoint.training.gates_file import save_gates
from taskpoint.training.hard_concrete import HardConcrete

if TYPE_CHECKING:
    import pandas as pd

_EXPERIMENT = EXPERIMENTS["heads"]

# Log alpha before training: the least with one decimal at which a gate without noise is 1, as the paper starts.
_START: Final = 2.4


@described(HeadsConfig)
def heads(  # noqa: D417  # settings are told by `described`
    lm: LanguageModel | str,
    task: Task | str,
    penalty: float | Sequence[float] = HeadsConfig.penalty,
    train_shots: int | Sequence[int] = HeadsConfig.train_shots,
    shots: int | Sequence[int] = HeadsConfig.shots,
    seeds: int = HeadsConfig.seeds,
    items: int = HeadsConfig.items,
    train_items: int = HeadsConfig.train_items,
    out: str | Path | None = None,
    *,
    epochs: int = HeadsConfig.epochs,
    patience: int = HeadsConfig.patience,
    lr: float = HeadsConfig.lr,
    temperature: float = HeadsConfig.temperature,
    threshold: float = HeadsConfig.threshold,
    random: int = HeadsConfig.random,
    batch_size: int = HeadsConfig.batch_size,
    instruction: bool = HeadsConfig.instruction,
    template: str | None = None,
    max_new_tokens: int | None = None,
    progress: Progress | None = None,
) -> HeadsResult:
    """Finds attention heads that a task does not need, by a gate on every head; the model stays as it is.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name.
        out: folder to write to, or to continue; None keeps nothing.
        progress: called with the steps done and those known of; an epoch is a step.

    All other arguments are settings, told below.

    Returns:
        Rows, scores, gates, report and figure.

    Raises:
        SettingError, PromptError, DataError: the settings do not fit the task or each other, or nothing is left to
            train on.
        ModelError: the model's heads are not found, or it computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    config = HeadsConfig.of(
        penalty=penalty,
        train_shots=train_shots,
        shots=shots,
        seeds=seeds,
        items=items,
        train_items=train_items,
        epochs=epochs,
        patience=patience,
        lr=lr,
        temperature=temperature,
        threshold=threshold,
        random=random,
        batch_size=batch_size,
        instruction=instruction,
        template=template,
        max_new_tokens=max_new_tokens,
    )
    found = runner.run_asked(_EXPERIMENT, lm, task, config, out, progress)
    return HeadsResult(found.rows, found.view, found.folder)


def start(subject: Asked, config: HeadsConfig) -> Heads:
    """The run of a model and a task; errors as `heads`."""
    return Heads(subject.lm, subject.task, config)


@dataclass(frozen=True)
class Cell:
    """One training with what came of it; without a penalty the untouched model under one seed."""

    seed: int
    penalty: float | None = None
    train_shots: int | None = None

    @property
    def key(self) -> str:
        """Its name in a run folder."""
        if self.penalty is None or self.train_shots is None:
            return f"untouched seed={self.seed}"
        return f"penalty={self.penalty!r} train_shots={self.train_shots} seed={self.seed}"


class Heads(Work[Cell]):
    """What `heads` trains and measures."""

    def __init__(self, lm: LanguageModel, task: Task, config: HeadsConfig) -> None:
        check_scored(task)
        parts = anatomy(lm.model)
        check_free(parts)
        if gates_on(lm.model) is not None:
            raise PlanError("this model has gates on its heads already; leave that block first")
        self.config = config
        self._lm, self._task, self._family = lm, task, parts.family
        self._projections = output_projections(lm.model)
        self._heads = heads_of(self._projections, parts.family)
        self._prompts = Prompts(lm, task, config)
        self._measure = Measure(lm, self._prompts.template, self._prompts.max_new_tokens)
        seeds = range(config.seeds)
        self._cells = [Cell(seed) for seed in seeds]
        self._cells += [Cell(s, p, t) for p, t, s in itertools.product(config.penalty, config.train_shots, seeds)]
        self.name = run_name(lm, task)
        settings = dataclasses.asdict(config) | {"template": self._prompts.template.name}
        own = {"family": self._family, "num_heads": self._heads, "training": len(self._prompts.training)}
        self.manifest = {**facts_of(lm, task, self._prompts.items), **own, **settings}

    def check(self) -> None:
        """Builds the prompts of the first seed, and reads some of them."""
        self._prompts.check()

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Cell]]:
        """All of them at once."""
        yield self._cells

    def cell(self, key: str) -> Cell:
        """The cell of this key."""
        for cell in self._cells:
            if cell.key == key:
                return cell
        raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {self._cells[-1].key!r}")

    def steps(self, cell: Cell) -> int:
        """The epochs, and one for the answers under each condition."""
        return 1 if cell.penalty is None else self.config.epochs + 2 + self.config.random

    def rows(self, cell: Cell, step: Step) -> Iterator[HeadsRow]:
        """Trains gates, writes them into the folder of the run, and asks the test items with them."""
        if cell.penalty is None or cell.train_shots is None:
            everything = np.ones((len(self._projections), self._heads), dtype=np.float32)
            yield from self._answers(cell, UNTOUCHED, everything)
            step("untouched model")
            return
        trained = self._trained(cell, step)
        gates = trained.values.astype(np.float32)
        mask = (gates > self.config.threshold).astype(np.float32)
        for folder, values in ((GATES_FOLDER, gates), (MASKS_FOLDER, mask)):
            self._save(values, self.folder / folder / file_name(cell.penalty, cell.train_shots, cell.seed))
        told: dict[str, Any] = {"epochs": trained.epochs, "loss": trained.loss}
        yield from self._answers(cell, GATES, gates, **told)
        step("answers with gates")
        yield from self._answers(cell, MASK, mask, **told)
        step("answers with the mask")
        if mask.all():
            return  # every random mask would be the same one
        for draw in range(self.config.random):
            yield from self._answers(cell, RANDOM, _shuffled(mask, cell.key, draw), draw=draw, **told)
            step("answers with random heads")

    def _trained(self, cell: Cell, step: Step) -> TrainedGates:
        lm, config = self._lm, self.config
        settings = GateTraining(
            penalty=cell.penalty or 0.0,
            epochs=config.epochs,
            patience=config.patience,
            lr=config.lr,
            start=_START,
            seed=cell.seed,
            distribution=HardConcrete(config.temperature),
        )
        pad, device = AnswerEnd(lm, self._prompts.template).pad, token_device(lm)
        training, held_out = (
            [AnswerBatch.of(part, pad, device) for part in self._parts(prompts)]
            for prompts in self._prompts.taught(cell.train_shots or 0, cell.seed)
        )
        return train_gates(lm.model, self._projections, training, held_out, settings, step)

    def _answers(
        self, cell: Cell, condition: str, gates: NDArray[np.float32], draw: int = 0, **told: Any
    ) -> Iterator[HeadsRow]:
        """The test items of every number of shots, asked with these gates."""
        for shots in self.config.shots:
            prompts = self._prompts.asked(shots, cell.seed)
            with gating(self._projections, torch.from_numpy(gates)):
                texts = [text for part in self._parts(prompts) for text in self._texts(part)]
            for item, text in zip(self._prompts.items, texts, strict=True):
                yield HeadsRow(
                    condition=condition,
                    penalty=cell.penalty,
                    train_shots=cell.train_shots,
                    seed=cell.seed,
                    draw=draw,
                    shots=shots,
                    item=item.id,
                    text=text,
                    score=self._task.score(item, text),
                    open_heads=int(np.count_nonzero(gates)),
                    counts=" ".join(map(str, self._task.counts(item, text))),
                    subtask=item.task,
                    query=item.input,
                    reference=item.answers[0],
                    **told,
                )

    def _parts(self, prompts: Sequence[SegmentedPrompt]) -> Iterator[Sequence[SegmentedPrompt]]:
        size = self.config.batch_size
        return (prompts[start : start + size] for start in range(0, len(prompts), size))

    def _texts(self, prompts: Sequence[SegmentedPrompt]) -> list[str]:
        nothing = [np.zeros(len(prompt), dtype=bool) for prompt in prompts]
        return self._measure.answers(prompts, nothing, (len(self._projections),))[0]

    def _save(self, values: NDArray[np.float32], path: Path) -> None:
        path.unlink(missing_ok=True)  # of a cell that was killed before its rows were written
        save_gates(HeadGates(values, self._lm.name, self._family), path)


def _shuffled(mask: NDArray[np.float32], key: str, draw: int) -> NDArray[np.float32]:
    """A mask with as many heads closed, drawn among all heads of the model."""
    order = list(permutation(generator(RANDOM, key, draw), mask.size))
    return mask.ravel()[order].reshape(mask.shape)
