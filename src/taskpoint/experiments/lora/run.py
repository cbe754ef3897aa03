"""Which layer is worth adapting?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.finite_on_prompts import check_finite_on_first
from taskpoint.asking.measure import Measure
from taskpoint.asking.questions import answer_facts, check_scored, facts_of, run_name
from taskpoint.asking.token_device import token_device
from taskpoint.configuration import described
from taskpoint.errors import ModelError, SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.contract import Step, Work
from taskpoint.experiments.lora.config import Adapters, LoraConfig
from taskpoint.experiments.lora.prompts import Prompts
from taskpoint.experiments.lora.result import LoraResult as LoraResult
from taskpoint.experiments.lora.rows import ALL, LAYER, NONE, LoraRow
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.prompts.template import template as template_of
from taskpoint.settings import shown
from taskpoint.tasks.base import Item, Task
from taskpoint.training.adapter_training import AdapterTraining, Lessons, Trained, steps_of
from taskpoint.training.adapters import AdapterSettings, adapted, check_free_of_adapters, save_adapter

if TYPE_CHECKING:
    import pandas as pd


@described(LoraConfig)
def lora(  # noqa: D417  # settings are told by `described`
    lm: LanguageModel | str,
    task: Task | str,
    layers: int | Sequence[int] | None = None,
    sizes: int | Sequence[int] | None = None,
    seeds: int = LoraConfig.seeds,
    items: int | None = None,
    out: str | Path | None = None,
    *,
    variant: str = LoraConfig.variant,
    progress: Progress | None = None,
    **settings: Any,
) -> LoraResult:
    """Trains an adapter on one layer after the other, and finds the layer from which on it no longer helps.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name; one that the model cannot know from a prompt without
            examples, or there is nothing to teach.
        out: folder to write to, or to continue; None keeps nothing, no adapter either.
        progress: called with the steps done, the steps there are, and a note.
        settings: the others of those that are told below.

    Returns:
        Rows, curves, the cliff, figure; and where the adapters are.

    Raises:
        SettingError, PromptError, DataError: the settings do not fit the task or each other.
        ModelError: the model cannot be adapted, or computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    strange = sorted(settings.keys() - {field.name for field in dataclasses.fields(LoraConfig)})
    if strange:
        raise SettingError(f"lora has no setting {strange[0]!r}; its settings are told in its help")
    if items is not None:
        settings["items"] = items
    config = LoraConfig.of(layers=layers, sizes=sizes, seeds=seeds, variant=variant, **settings)
    found = runner.run_asked(EXPERIMENTS["lora"], lm, task, config, out, progress)
    return LoraResult(found.rows, found.view, found.folder)


def start(subject: Asked, config: LoraConfig) -> Lora:
    """The run of a model and a task; errors as `lora`."""
    return Lora(subject.lm, subject.task, config)


@dataclass(frozen=True)
class Part:
    """What is computed at once: one adapter, or none.

    Attributes:
        adapter: "none", "layer" or "all".
        layer: the layer that has one.
        size: pairs that it is trained on.
    """

    adapter: str
    layer: int | None
    size: int
    seed: int

    @property
    def key(self) -> str:
        """Its name in a run folder, and that of the folder of its adapter."""
        if self.adapter == NONE:
            return "no adapter"
        where = f"layer={self.layer}" if self.adapter == LAYER else "all"
        return f"{where} size={self.size} seed={self.seed}"


class Lora(Work[Part]):
    """What `lora` measures: first the ends of the scale, then layer by layer from the first one up."""

    def __init__(self, lm: LanguageModel, task: Task, config: LoraConfig) -> None:
        check_free_of_adapters(lm.model)
        check_scored(task)
        self._lm, self._task, self._template = lm, task, template_of(config.template or task.template)
        self._prompts = Prompts(lm, task, self._template, config)
        layers = _fitting(config.layers, lm.num_layers)
        self.config = dataclasses.replace(config, layers=layers, sizes=self._prompts.sizes)
        self._layers = layers
        self._measure = Measure(lm, self._template, self._prompts.max_new_tokens)
        self._lessons: Lessons | None = None
        self.name = run_name(lm, task)
        settings = dataclasses.asdict(self.config) | {"template": self._template.name}
        self.manifest = {**facts_of(lm, task, self._prompts.items), "pairs": self._prompts.pairs, **settings}

    def check(self) -> None:
        """Builds all prompts, reads some of them, and puts an adapter on the model and off again."""
        prompts = self._prompts.scored(self._prompts.items)
        check_finite_on_first(self._lm, prompts)
        with adapted(self._lm.model, self._layers, self._settings(0)):
            pass
        self._lessons = self._taught()

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Part]]:
        """All at once; in this order what is kept below the trained layer only moves up."""
        yield list(self._parts())

    def _parts(self) -> Iterator[Part]:
        trained = [(size, seed) for size in self._prompts.sizes for seed in range(self.config.seeds)]
        yield Part(NONE, None, 0, 0)
        yield from (Part(ALL, None, size, seed) for size, seed in trained)
        for layer in self._layers:
            yield from (Part(LAYER, layer, size, seed) for size, seed in trained)

    def cell(self, key: str) -> Part:
        """The part of this key."""
        parts = list(self._parts())
        for part in parts:
            if part.key == key:
                return part
        raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {parts[-1].key!r}")

    def steps(self, cell: Part) -> int:
        """Training steps, at most, and one more for the answers."""
        return 1 + (0 if cell.adapter == NONE else self._steps_of(cell.size))

    def rows(self, cell: Part, step: Step) -> list[LoraRow]:
        """Asks the model as it is, or trains an adapter and asks it then.

        Raises:
            ModelError: the loss is NaN or infinite.
        """
        if cell.adapter == NONE:
            return self._asked(cell, None)
        self._lessons = self._lessons or self._taught()
        every, layer = cell.adapter == ALL, cell.layer or 0
        chosen = range(self._lm.num_layers) if every else [layer]
        where = "all layers" if every else f"layer {layer}"
        with adapted(self._lm.model, chosen, self._settings(cell.seed)) as wrapped:
            try:
                found = self._lessons.train(
                    layer,
                    range(cell.size),
                    self._training(cell),
                    self._prompts.checked,
                    lambda note: step(f"{where}, {cell.size} pairs, {note}"),
                )
            except ModelError as error:
                raise ModelError(f"{where}, {cell.size} pairs, seed {cell.seed}: {error}") from error
            if self.config.adapters is Adapters.keep:
                wrapped.peft_config["default"].base_model_name_or_path = self._lm.name
                save_adapter(wrapped, self.folder / "adapters" / cell.key)
            return self._asked(cell, found)

    def _taught(self) -> Lessons:
        pad, device = AnswerEnd(self._lm, self._template).pad, token_device(self._lm)
        return Lessons(self._lm.model, self._prompts.lessons(), pad, device, self.config.memory * 2**20)

    def _settings(self, seed: int) -> AdapterSettings:
        config = self.config
        return AdapterSettings(config.rank, config.alpha, config.dropout, seed)

    def _training(self, cell: Part) -> AdapterTraining:
        config = self.config
        return AdapterTraining(
            steps=self._steps_of(cell.size),
            batch=config.batch,
            lr=config.lr,
            patience=config.patience or None,
            threshold=config.threshold,
            check_every=config.check_every,
            seed=cell.seed,
        )

    def _steps_of(self, size: int) -> int:
        config = self.config
        return config.steps or steps_of(config.epochs or 1, size, config.batch)

    def _asked(self, part: Part, found: Trained | None) -> list[LoraRow]:
        """Answers to all items of the model with whatever adapter is on it."""
        rows = []
        for start in range(0, len(self._prompts.items), self.config.batch_size):
            items = self._prompts.items[start : start + self.config.batch_size]
            prompts = self._prompts.scored(items)
            nothing = [np.zeros(len(prompt), dtype=bool) for prompt in prompts]
            (texts,) = self._measure.answers(prompts, nothing, (self._lm.num_layers,))
            rows += [self._row(part, item, text, found) for item, text in zip(items, texts, strict=True)]
        return rows

    def _row(self, part: Part, item: Item, text: str, found: Trained | None) -> LoraRow:
        task, lm = self._task, self._lm
        return LoraRow(
            model=lm.name,
            task=task.name,
            adapter=part.adapter,
            layer=part.layer,
            size=part.size,
            seed=part.seed,
            steps=0 if found is None else found.steps,
            item=item.id,
            subtask=item.task,
            query=item.input,
            reference=item.answers[0],
            template=self._template.name,
            shots=self.config.test_shots,
            revision=lm.revision,
            loss=None if found is None else found.loss,
            check=None if found is None else found.check,
            **answer_facts(task, item, text),
        )


def _fitting(layers: tuple[int, ...] | None, known: int) -> tuple[int, ...]:
    if layers is None:
        return tuple(range(known))
    if max(layers) >= known:
        raise SettingError(f"layers names {max(layers)}; expected numbers from 0 to {known - 1}, the model's layers")
    return tuple(sorted(layers))
