"""How far down can the cut go once the model is healed? (LoRA under the cut, taught by the uncut model)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.finite_on_prompts import check_finite_on_first
from taskpoint.asking.measure import Measure
from taskpoint.asking.questions import answer_facts, check_scored, facts_of, run_name, shape_of
from taskpoint.configuration import described
from taskpoint.errors import SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.contract import Step, Work
from taskpoint.experiments.heal.card import card
from taskpoint.experiments.heal.config import HealConfig, Layers
from taskpoint.experiments.heal.healing import Divergence
from taskpoint.experiments.heal.healing import heal as teach
from taskpoint.experiments.heal.lessons import Lesson, lessons
from taskpoint.experiments.heal.prompts import Asked as Prompted
from taskpoint.experiments.heal.prompts import Prompts
from taskpoint.experiments.heal.result import HealResult as HealResult
from taskpoint.experiments.heal.rows import BY_HEART, HEALED, UNCUT, UNHEALED, ZERO_SHOT, HealRow
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.prompts.template import template as template_of
from taskpoint.results.atomic import write_whole
from taskpoint.settings import shown
from taskpoint.tasks.base import Item, Task
from taskpoint.training.adapters import AdapterSettings, adapted, check_free_of_adapters, save_adapter

if TYPE_CHECKING:
    import pandas as pd
    from peft import PeftModel

# Cuts that are healed when none are named.
_CUTS = 6


@described(HealConfig)
def heal(  # noqa: D417  # settings are told by `described`
    lm: LanguageModel | str,
    task: Task | str,
    after: Sequence[int] | str | None = None,
    shots: int = HealConfig.shots,
    seeds: int = HealConfig.seeds,
    hide: str = HealConfig.hide,
    instruction: bool = HealConfig.instruction,
    items: int | None = None,
    out: str | Path | None = None,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> HealResult:
    """Teaches adapters under cuts what the uncut model says, and finds how far down the cut can then go.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name; a suite, so that the model has to see in the context which
            of its tasks is asked.
        out: folder to write to, or to continue; None keeps nothing, no adapter either.
        progress: called with the steps done and the steps there are.
        settings: the others of those that are told below.

    Returns:
        Rows, curves, the lowest cuts, figure; and where the adapters are.

    Raises:
        SettingError, PromptError, DataError: the settings do not fit the task or each other.
        ModelError: the model cannot be cut or adapted, or computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    strange = sorted(settings.keys() - {field.name for field in dataclasses.fields(HealConfig)})
    if strange:
        raise SettingError(f"heal has no setting {strange[0]!r}; its settings are told in its help")
    if items is not None:
        settings["items"] = items
    config = HealConfig.of(after=after, shots=shots, seeds=seeds, hide=hide, instruction=instruction, **settings)
    found = runner.run_asked(EXPERIMENTS["heal"], lm, task, config, out, progress)
    return HealResult(found.rows, found.view, found.folder)


def start(subject: Asked, config: HealConfig) -> Heal:
    """The run of a model and a task; errors as `heal`."""
    return Heal(subject.lm, subject.task, config)


@dataclass(frozen=True)
class Part:
    """What is computed at once: one repetition of the model as it is, or with one adapter.

    Attributes:
        kind: the first of the conditions that it gives rows of.
        cut: the cut that an adapter is taught for; N where nothing is hidden.
    """

    kind: Literal["unhealed", "healed", "zero-shot", "healed, zero-shot"]
    seed: int
    cut: int

    @property
    def key(self) -> str:
        """Its name in a run folder."""
        return f"{self.kind} r={self.cut} seed={self.seed}" if self.kind == HEALED else f"{self.kind} seed={self.seed}"

    @property
    def adapter(self) -> str:
        """What the folder of its adapter is called: the first repetition has the short name."""
        return f"r={self.cut}" if self.seed == 0 else f"r={self.cut}-seed={self.seed}"

    @property
    def trains(self) -> bool:
        """Whether it has an adapter."""
        return self.kind in (HEALED, BY_HEART)


class Heal(Work[Part]):
    """What `heal` measures."""

    def __init__(self, lm: LanguageModel, task: Task, config: HealConfig) -> None:
        check_free_of_adapters(lm.model)
        _ = config.condition
        check_scored(task)
        self._cuts = _fitting(config, lm.num_layers)
        self.config = dataclasses.replace(config, after=self._cuts)
        self._lm, self._task, self._template = lm, task, template_of(config.template or task.template)
        self._prompts = Prompts(lm, task, self._template, config)
        self._end = AnswerEnd(lm, self._template)
        self._lessons: tuple[int, list[Lesson], list[Lesson] | None] | None = None
        self.name = run_name(lm, task)
        settings = dataclasses.asdict(self.config) | {"template": self._template.name}
        self.manifest = {**facts_of(lm, task, self._prompts.items), "shape": shape_of(lm), **settings}

    def check(self) -> None:
        """Builds all prompts of the first repetition, and reads some of them without a cut."""
        self._prompts.training(0)
        asked = self._prompts.scored(self._prompts.items, 0)
        check_finite_on_first(self._lm, asked.prompts)

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Part]]:
        """The model as it is, then the adapters of each repetition."""
        yield list(self._parts())

    def _parts(self) -> Iterator[Part]:
        layers, seeds = self._lm.num_layers, range(self.config.seeds)
        yield from (Part(UNHEALED, seed, layers) for seed in seeds)
        controlled = self.config.condition.zero_shot is not None
        if controlled:
            yield Part(ZERO_SHOT, 0, layers)
        for seed in seeds:
            if controlled:
                yield Part(BY_HEART, seed, layers)
            yield from (Part(HEALED, seed, cut) for cut in self._cuts)

    def cell(self, key: str) -> Part:
        """The part of this key."""
        parts = list(self._parts())
        for part in parts:
            if part.key == key:
                return part
        raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {parts[0].key!r}")

    def steps(self, cell: Part) -> int:
        """Training steps, and one more for the answers."""
        return 1 + (self.config.steps if cell.trains else 0)

    def rows(self, cell: Part, step: Step) -> list[HealRow]:
        """Asks the model as it is, or trains an adapter and asks it then.

        Raises:
            ModelError: the divergence is NaN or infinite.
        """
        layers = self._lm.num_layers
        if cell.kind == UNHEALED:
            return self._asked(cell, {UNHEALED: range(layers + 1)}, None)
        if cell.kind == ZERO_SHOT:
            return self._asked(cell, {ZERO_SHOT: (layers,)}, None)
        taught, by_heart = self._taught(cell.seed)
        own = taught if cell.kind == HEALED else by_heart or []
        config, lm = self.config, self._lm
        settings = AdapterSettings(rank=config.rank, alpha=config.alpha, dropout=0.0, seed=cell.seed)
        chosen = _adapted_layers(config.layers if cell.kind == HEALED else "all", cell.cut, layers)
        with adapted(lm.model, chosen, settings) as wrapped:
            found = teach(lm, self._end, own, cell.cut, config, cell.seed, lambda note: step(f"{_told(cell)}, {note}"))
            if cell.kind == HEALED and config.save_adapters:
                self._keep(wrapped, cell)
            asked = {HEALED: (cell.cut,), UNCUT: (layers,)} if cell.kind == HEALED else {BY_HEART: (layers,)}
            return self._asked(cell, asked, found)

    def _keep(self, wrapped: PeftModel, part: Part) -> None:
        """Leaves the adapter beside the rows, with the model's name: the path of a bundled one is of this machine."""
        name, folder = self._lm.name, self.folder / "adapters" / part.adapter
        wrapped.peft_config["default"].base_model_name_or_path = name
        save_adapter(wrapped, folder)
        write_whole(folder / "README.md", card(name, self._task.name, part.cut, self.config).encode())

    def _taught(self, seed: int) -> tuple[list[Lesson], list[Lesson] | None]:
        """What adapters of a repetition are taught: the same for all of them."""
        if self._lessons is None or self._lessons[0] != seed:
            asked, without = self._prompts.training(seed)
            found = lessons(self._lm, self._end, asked.prompts, asked.hidden, self._prompts.max_new_tokens)
            by_heart = None
            if without is not None:
                by_heart = [one.asked_by(prompt) for one, prompt in zip(found, without.prompts, strict=True)]
            self._lessons = seed, found, by_heart
        return self._lessons[1:]

    def _asked(self, part: Part, cuts: Mapping[str, Sequence[int]], found: Divergence | None) -> list[HealRow]:
        """Answers to all items, by condition under some cuts, of the model as it is now."""
        measure = Measure(self._lm, self._template, self._prompts.max_new_tokens)
        rows = []
        for start in range(0, len(self._prompts.items), self.config.batch_size):
            items = self._prompts.items[start : start + self.config.batch_size]
            zero = part.kind in (ZERO_SHOT, BY_HEART)
            asked = (self._prompts.without(items) if zero else None) or self._prompts.scored(items, part.seed)
            for condition, under in cuts.items():
                texts = measure.answers(asked.prompts, asked.hidden, under)
                for cut, by_item in zip(under, texts, strict=True):
                    at = part.cut if condition == UNCUT else cut
                    rows += [
                        self._row(condition, part.seed, at, item, text, asked, place, found)
                        for place, (item, text) in enumerate(zip(items, by_item, strict=True))
                    ]
        return rows

    def _row(
        self,
        condition: str,
        seed: int,
        cut: int,
        item: Item,
        text: str,
        asked: Prompted,
        place: int,
        found: Divergence | None,
    ) -> HealRow:
        task, lm = self._task, self._lm
        return HealRow(
            model=lm.name,
            task=task.name,
            condition=condition,
            shots=0 if condition in (ZERO_SHOT, BY_HEART) else self.config.shots,
            seed=seed,
            cut=cut,
            item=item.id,
            subtask=item.task,
            query=item.input,
            reference=item.answers[0],
            template=self._template.name,
            tokens=len(asked.prompts[place]),
            hidden=int(asked.hidden[place].sum()),
            revision=lm.revision,
            divergence_before=None if found is None else found.before,
            divergence=None if found is None else found.after,
            **answer_facts(task, item, text),
        )


def _told(part: Part) -> str:
    return f"r = {part.cut}" if part.kind == HEALED else "zero-shot"


def _adapted_layers(which: str, cut: int, layers: int) -> range:
    return {"all": range(layers), "below": range(cut), "above": range(cut, layers)}[which]


def _fitting(config: HealConfig, layers: int) -> tuple[int, ...]:
    """The cuts to heal, ascending: none is N, which cuts nothing, so that there is nothing to heal."""
    least = 1 if config.layers == Layers.below else 0
    if config.after == "all":
        return tuple(range(least, layers))
    if config.after is None:
        spread = sorted({round(number * layers / _CUTS) for number in range(_CUTS)})
        return tuple(sorted({max(least, cut) for cut in spread if max(least, cut) < layers}))
    listed = tuple(sorted(cut for cut in config.after if isinstance(cut, int)))
    if listed[-1] >= layers:
        raise SettingError(
            f"after names layer {listed[-1]}; expected numbers from {least} to {layers - 1}: at {layers}, the number "
            "of the model's layers, nothing is cut and there is nothing to heal"
        )
    if listed[0] < least:
        raise SettingError("after names cut 0, below which no layer is to adapt; leave it out, or give --layers all")
    return listed
