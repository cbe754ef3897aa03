"""The prompts of `heads`: what gates are trained on, and what the gated model is asked."""

from __future__ import annotations

from taskpoint.asking.encoding import encoded
from taskpoint.asking.finite_on_prompts import check_finite_on_first
from taskpoint.asking.questions import longest_answer, with_room
from taskpoint.errors import DataError
from taskpoint.experiments.heads.config import HeadsConfig
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.template import template as template_of
from taskpoint.tasks.base import Task

# One of so many training items is held out, to say when to stop.
_HELD_OUT = 10


class Prompts:
    """Prompts of one model and task."""

    def __init__(self, lm: LanguageModel, task: Task, config: HeadsConfig) -> None:
        self._lm, self._task, self._config = lm, task, config
        self.template = template_of(config.template or task.template)
        self.items = task.items(config.items)
        self.training = task.training(config.train_items, self.items)
        if len(self.training) < 2:
            raise DataError(
                f"task {task.name!r} has one item to train on beside the {len(self.items)} to be scored; expected at "
                "least 2, one of which is held out: score fewer items"
            )
        given = config.max_new_tokens
        self.max_new_tokens = given if given is not None else longest_answer(lm, task, self.template, self.items)

    def asked(self, shots: int, seed: int) -> list[SegmentedPrompt]:
        """A prompt for each test item, without an answer."""
        contents = [self._task.content(item, shots, seed, instruction=self._config.instruction) for item in self.items]
        return with_room(self._lm, encoded(self._lm, self.template, contents), self.max_new_tokens)

    def taught(self, shots: int, seed: int) -> tuple[list[SegmentedPrompt], list[SegmentedPrompt]]:
        """Training prompts with their answers and the stop text after them, and those that are held out.

        Every item has examples of its own: gates shall serve the task, not one set of examples.
        """
        contents = [
            self._task.content(item, shots, seed, instruction=self._config.instruction, fresh=True)
            for item in self.training
        ]
        answers = [f"{item.answers[0]}{self.template.stop or ''}" for item in self.training]
        prompts = with_room(self._lm, encoded(self._lm, self.template, contents, answers))
        # The last ones: sub-tasks take turns, so that one of ten would be of few of them.
        held_out = max(1, len(prompts) // _HELD_OUT)
        return prompts[:-held_out], prompts[-held_out:]

    def check(self) -> None:
        """Builds the prompts of the first seed, and reads some.

        Raises:
            PromptError: a prompt is too long for the model, has too few examples, or no instruction.
            ModelError: the model computes NaN or infinity.
        """
        for shots in self._config.train_shots:
            self.taught(shots, 0)
        for shots in self._config.shots:
            check_finite_on_first(self._lm, self.asked(shots, 0))
