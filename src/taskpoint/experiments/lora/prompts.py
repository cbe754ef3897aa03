"""The prompts of `lora`: those that are scored, and the sequences that are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taskpoint.asking.encoding import encoded
from taskpoint.asking.questions import longest_answer, with_room
from taskpoint.errors import SettingError
from taskpoint.experiments.lora.config import LoraConfig, Loss
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.writing import Template
from taskpoint.tasks.base import Item, Task
from taskpoint.training.adapter_training import Lesson
from taskpoint.training.sequences import taught


class Prompts:
    """Prompts of one model, task and template.

    Attributes:
        items: those that are scored.
        sizes: numbers of pairs to train on, ascending.
        pairs: pairs that there are to train on and for checks, at most as many as are wanted.
        max_new_tokens: longest answer in tokens.
    """

    def __init__(self, lm: LanguageModel, task: Task, template: Template, config: LoraConfig) -> None:
        """Builds nothing yet.

        Raises:
            DataError: nothing is left to train on.
            SettingError: fewer pairs than asked for.
        """
        self._lm, self._task, self._template, self._config = lm, task, template, config
        self.items = task.items(config.items)
        found = task.training(config.most_pairs + config.dev, self.items)
        self.pairs, self.sizes = len(found), config.fitting_sizes(len(found))
        largest = self.sizes[-1]
        if largest > len(found):
            raise SettingError(
                f"sizes asks for {largest} training pairs, but task {task.name!r} has {len(found)} beside the "
                f"{len(self.items)} that are scored; give smaller sizes, or fewer items"
            )
        self._trained = found[:largest]
        self._checked = found[largest : largest + config.dev] if config.patience else ()
        if config.patience and not self._checked:
            raise SettingError(
                f"patience is {config.patience}, but beside {largest} training pairs task {task.name!r} has none left "
                "for checks; give smaller sizes, or patience 0"
            )
        self.max_new_tokens = config.max_new_tokens or longest_answer(lm, task, template, self.items)

    @property
    def checked(self) -> range:
        """The places of the lessons that checks are made on."""
        return range(len(self._trained), len(self._trained) + len(self._checked))

    def scored(self, items: Sequence[Item]) -> list[SegmentedPrompt]:
        """The prompts of items that are scored; a PromptError where one leaves no room for the longest answer."""
        config = self._config
        contents = [self._task.content(item, config.test_shots, 0, instruction=config.instruction) for item in items]
        return with_room(self._lm, encoded(self._lm, self._template, contents), self.max_new_tokens)

    def lessons(self) -> list[Lesson]:
        """The pairs to train on, each as a prompt without examples and its answer, with the text that ends it.

        Raises:
            PromptError: one is too long for the model.
        """
        items = (*self._trained, *self._checked)
        contents = [self._task.content(item, 0, 0, instruction=False) for item in items]
        end = self._template.stop or self._lm.tokenizer.eos_token or ""
        prompts = encoded(self._lm, self._template, contents, [f"{item.answers[0]}{end}" for item in items])
        return [Lesson(prompt.ids, self._taught(prompt)) for prompt in with_room(self._lm, prompts, 0)]

    def _taught(self, prompt: SegmentedPrompt) -> np.ndarray:
        return np.arange(len(prompt)) > 0 if self._config.loss is Loss.sequence else taught(prompt)
