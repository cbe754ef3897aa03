"""The prompts of `heal`: those that are scored, and those that are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from taskpoint.asking.encoding import encoded
from taskpoint.asking.questions import longest_answer, with_room
from taskpoint.errors import DataError, PromptError
from taskpoint.experiments.heal.config import HealConfig
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.content import Content
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.writing import Template
from taskpoint.tasks.base import Item, Task
from taskpoint.tasks.scores.same_text import input_key

# Training prompts have examples of their own: those of seeds that no test prompt has.
_TRAINING_SEEDS = 1_000_000
# Draws of them until one holds no item that is scored.
_DRAWS = 20


@dataclass(frozen=True, eq=False)
class Asked:
    """Prompts, and what of each is hidden from layer r on. [T] for each prompt."""

    prompts: list[SegmentedPrompt]
    hidden: list[Bool[np.ndarray, " _"]]


class Prompts:
    """Prompts of one model, task and template.

    Attributes:
        items: those that are scored.
        max_new_tokens: longest answer in tokens.
    """

    def __init__(self, lm: LanguageModel, task: Task, template: Template, config: HealConfig) -> None:
        """Raises a DataError where nothing is left to train on."""
        self._lm, self._task, self._template, self._config = lm, task, template, config
        self.items = task.items(config.items)
        self._trained = task.training(config.training, self.items)
        self.max_new_tokens = config.max_new_tokens or longest_answer(lm, task, template, self.items)

    def scored(self, items: Sequence[Item], seed: int) -> Asked:
        """The prompts of items that are scored."""
        return self._asked([self._content(item, self._config.shots, seed, self._config.fresh) for item in items])

    def training(self, seed: int) -> tuple[Asked, Asked | None]:
        """The prompts that are trained on, with reference answers where these are asked for; and without examples.

        Every one has examples of its own, and none of them is an item that is scored. Without examples there are none
        where that hides nothing that names the task (`Condition.zero_shot`).

        Raises:
            DataError: the items that are scored are among the examples of every draw.
        """
        scored = {(item.task, input_key(item.input)) for item in self.items}
        contents, items = [], []
        for item in self._trained:
            for draw in range(_DRAWS):
                found = self._content(item, self._config.shots, _TRAINING_SEEDS + seed * _DRAWS + draw, True)
                if all((item.task, input_key(example.input)) not in scored for example in found.examples):
                    contents.append(found)
                    items.append(item)
                    break
        if not contents:
            raise DataError(
                f"every training prompt of task {self._task.name!r} has one of the {len(self.items)} test items among "
                "its examples; give fewer --items or fewer --shots"
            )
        answers = [item.answers[0] for item in items] if self._config.references else None
        return self._asked(contents, answers), self.without(items)

    def without(self, items: Sequence[Item]) -> Asked | None:
        """The prompts of items without examples, and without the instruction where that is hidden too."""
        bare = self._config.condition.zero_shot
        if bare is None:
            return None
        prompts = self._encoded([self._task.content(item, 0, 0, instruction=bare.instruction) for item in items])
        return Asked(prompts, [np.zeros(len(prompt), dtype=bool) for prompt in prompts])

    def _content(self, item: Item, shots: int, seed: int, fresh: bool) -> Content:
        return self._task.content(item, shots, seed, instruction=self._config.instruction, fresh=fresh)

    def _asked(self, contents: Sequence[Content], answers: Sequence[str] | None = None) -> Asked:
        selector = parse_selector(self._config.condition.hide)
        prompts = self._encoded(contents, answers)
        hidden = [selector.mask(prompt) for prompt in prompts]
        if not all(mask.any() for mask in hidden):
            raise PromptError(f"hide={selector.text!r} hides no token of a prompt with {self._config.shots} shots")
        return Asked(prompts, hidden)

    def _encoded(self, contents: Sequence[Content], answers: Sequence[str] | None = None) -> list[SegmentedPrompt]:
        return with_room(self._lm, encoded(self._lm, self._template, contents, answers), self.max_new_tokens)
