"""The work of `locate` in cells: what is computed at once, written at once, and skipped when a run continues."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from taskpoint.asking.condition import EARLY_EXIT, SHUFFLED, ZERO_SHOT, Condition, named
from taskpoint.asking.encoding import encoded
from taskpoint.asking.finite_on_prompts import check_finite_on_prompts
from taskpoint.asking.measure import Measure, ReferenceScores
from taskpoint.errors import PromptError, SettingError
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.content import Content
from taskpoint.prompts.encode import check_length
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.writing import Template
from taskpoint.results.rows import Row, cell_key
from taskpoint.settings import shown
from taskpoint.tasks.base import Item, Task

_KEY = re.compile(r"(?P<name>.+) shots=(?P<shots>\d+) seed=(?P<seed>\d+) part=(?P<part>\d+) cuts=(?P<cuts>\d+(,\d+)*)")

# An answer longer than every reference by this much is wrong anyway; the report still shows how it goes on.
_SPARE_TOKENS = 4

# Prompts that are read before anything is written. All others are looked at as they are measured.
_TRIED = 8


@dataclass(frozen=True)
class Cell:
    """Some items under one setting.

    Attributes:
        kind: "cut" for a point of the curve, otherwise the control.
        condition: what is hidden; for controls only whether there is an instruction counts.
        shots: examples in the prompt.
        seed: draw of the examples.
        part: which batch of items.
        items: the items.
        cuts: the cuts to measure, ascending.
    """

    kind: Literal["cut", "zero-shot", "shuffled answers", "early exit"]
    condition: Condition
    shots: int
    seed: int
    part: int
    items: tuple[Item, ...]
    cuts: tuple[int, ...]

    @property
    def name(self) -> str:
        """The condition or control as rows call it."""
        return self.condition.name if self.kind == "cut" else named(self.kind, self.condition.instruction)

    @property
    def key(self) -> str:
        """The name of the cell's part in a run folder."""
        cuts = ",".join(map(str, self.cuts))
        return f"{cell_key(self.name, self.shots, self.seed, self.part)} cuts={cuts}"


@dataclass(frozen=True)
class Grid:
    """Everything that one run of `locate` measures, apart from the cuts that a bisection chooses on its way.

    Attributes:
        conditions: what is hidden; the first is the headline.
        shots: examples in the prompt.
        seeds: number of draws of examples, 0 ... seeds - 1.
        blocks: the test items in batches.
        layers: number of layers of the model, N.
        shuffled: shots for which the answers can be shuffled.
    """

    conditions: tuple[Condition, ...]
    shots: tuple[int, ...]
    seeds: int
    blocks: tuple[tuple[Item, ...], ...]
    layers: int
    shuffled: tuple[int, ...]

    def cell(self, key: str) -> Cell:
        """The cell of this key.

        Raises:
            SettingError: there is none.
        """
        form = _KEY.fullmatch(key)
        kinds: dict[str, tuple[Any, Condition]] = {one.name: ("cut", one) for one in self.conditions}
        kinds |= {cell.name: (cell.kind, cell.condition) for cell in self.control_cells()}
        if form is None or form["name"] not in kinds:
            raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {self._some_key()!r}")
        kind, condition = kinds[form["name"]]
        shots, seed, part = (int(form[name]) for name in ("shots", "seed", "part"))
        if shots not in (0, *self.shots) or seed >= self.seeds or part >= len(self.blocks):
            raise SettingError(f"{shown(key)} is no cell of this run; expected a key such as {self._some_key()!r}")
        cuts = tuple(map(int, form["cuts"].split(",")))
        return Cell(kind, condition, shots, seed, part, self.blocks[part], cuts)

    def _some_key(self) -> str:
        return next(self.curve_cells(*next(self.curves()), (self.layers,))).key

    def curves(self) -> Iterator[tuple[Condition, int]]:
        """Every condition with every number of shots."""
        for condition in self.conditions:
            for shots in self.shots:
                yield condition, shots

    def curve_cells(self, condition: Condition, shots: int, cuts: Sequence[int]) -> Iterator[Cell]:
        """The cells of one curve, at some cuts."""
        for seed in range(self.seeds):
            for part, items in enumerate(self.blocks):
                yield Cell("cut", condition, shots, seed, part, items, tuple(cuts))

    def control_cells(self) -> Iterator[Cell]:
        """Zero-shot, shuffled answers and early exit, once for prompts with and once for those without instruction."""
        for flag in sorted({one.zero_shot for one in self.conditions if one.zero_shot is not None}):
            for part, items in enumerate(self.blocks):
                yield Cell(ZERO_SHOT, Condition("examples", flag), 0, 0, part, items, (self.layers,))
        for condition in {condition.instruction: condition for condition in self.conditions}.values():
            for shots in self.shots:
                for seed in range(self.seeds):
                    for part, items in enumerate(self.blocks):
                        if shots in self.shuffled:
                            yield Cell(SHUFFLED, condition, shots, seed, part, items, (self.layers,))
                        yield Cell(EARLY_EXIT, condition, shots, seed, part, items, tuple(range(self.layers + 1)))


class Cells:
    """Computes cells for one model, task and template."""

    def __init__(
        self, lm: LanguageModel, task: Task, template: Template, items: Sequence[Item], fresh: bool, new: int | None
    ) -> None:
        """Args are those of `locate`; `new` is the longest answer in tokens, None to take it from the references."""
        self._lm, self._task, self._template, self._fresh = lm, task, template, fresh
        self.max_new_tokens = new if new is not None else self._longest(items) + _SPARE_TOKENS
        self._measure = Measure(lm, template, self.max_new_tokens)

    def _longest(self, items: Sequence[Item]) -> int:
        contents = [self._task.content(item, 0, 0, instruction=False) for item in items]
        answers = [max(item.answers, key=len) for item in items]
        prompts = encoded(self._lm, self._template, contents, answers)
        return max(len(prompt) - prompt.prompt_length for prompt in prompts)

    def check(self, cells: Iterable[Cell]) -> None:
        """Builds the prompts of cells without computing anything, so that bad input costs no result.

        Raises:
            PromptError: as `rows`.
        """
        for cell in cells:
            for prompt in self._asked(cell, self._contents(cell)):
                self._hidden(cell, prompt)

    def check_finite(self, cell: Cell) -> None:
        """Reads some prompts of a cell without a cut, so that a model that computes no numbers costs no result.

        Raises:
            ModelError: it gives NaN or infinity.
        """
        some = replace(cell, items=cell.items[:_TRIED])
        check_finite_on_prompts(self._lm, self._asked(some, self._contents(some)))

    def rows(self, cell: Cell) -> list[Row]:
        """The rows of a cell, cut by cut.

        Raises:
            ModelError: the model gives NaN or infinity.
            PromptError: a prompt is too long for the model, has too few examples, or lacks what is to be hidden.
        """
        contents = self._contents(cell)
        asked = self._asked(cell, contents)
        hidden = [self._hidden(cell, prompt) for prompt in asked]
        scores: ReferenceScores | None = None
        if cell.kind == EARLY_EXIT:
            texts = self._measure.exit_answers(asked, cell.cuts)
        else:
            texts = self._measure.answers(asked, hidden, cell.cuts)
            references = [item.answers[0] for item in cell.items]
            answered = encoded(self._lm, self._template, contents, references)
            scores = self._measure.reference(answered, [self._hidden(cell, prompt) for prompt in answered], cell.cuts)
        return [
            Row(
                model=self._lm.name,
                task=self._task.name,
                condition=cell.name,
                shots=cell.shots,
                seed=cell.seed,
                cut=cut,
                item=item.id,
                text=texts[c][i],
                score=self._task.score(item, texts[c][i]),
                logprob=None if scores is None else float(scores.logprob[c, i]),
                rank=None if scores is None else int(scores.rank[c, i]),
                subtask=item.task,
                query=item.input,
                reference=item.answers[0],
                template=self._template.name,
                examples=_fingerprint(contents[i]),
                tokens=len(asked[i]),
                hidden=int(hidden[i].sum()),
                revision=self._lm.revision,
                counts=" ".join(map(str, self._task.counts(item, texts[c][i]))),
                **self._languages(item, texts[c][i]),
            )
            for c, cut in enumerate(cell.cuts)
            for i, item in enumerate(cell.items)
        ]

    def _languages(self, item: Item, text: str) -> dict[str, Any]:
        asked, spoken = self._task.asked_language(item), self._task.spoken_language(text)
        return {"language": spoken or "", "in_language": None if asked is None else float(spoken == asked)}

    def _contents(self, cell: Cell) -> list[Content]:
        named = {
            "instruction": cell.condition.instruction,
            "fresh": self._fresh,
            "shuffled": cell.kind == SHUFFLED,
        }
        return [self._task.content(item, cell.shots, cell.seed, **named) for item in cell.items]

    def _asked(self, cell: Cell, contents: Sequence[Content]) -> list[SegmentedPrompt]:
        prompts = encoded(self._lm, self._template, contents)
        if self._lm.max_positions is not None:
            for prompt in prompts:
                check_length(prompt, self._lm.max_positions, self.max_new_tokens)
        return prompts

    def _hidden(self, cell: Cell, prompt: SegmentedPrompt) -> Bool[np.ndarray, " T"]:
        if cell.kind != "cut":
            return np.zeros(len(prompt), dtype=bool)
        mask = parse_selector(cell.condition.hide).mask(prompt)
        if not mask.any():
            raise PromptError(f"hide={cell.condition.hide!r} hides no token of a prompt with {cell.shots} shots")
        return mask


def _fingerprint(content: Content) -> str:
    """Names the examples of a prompt, so that a row can be traced to them."""
    text = "\x00".join(f"{example.input}\x01{example.output}" for example in content.examples)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
