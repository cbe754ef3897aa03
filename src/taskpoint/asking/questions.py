"""The questions of an experiment: the items of a task as prompts for one model, and what rows say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.asking.encoding import encoded
from taskpoint.errors import ModelError, SettingError
from taskpoint.models.library import attention_name
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.content import Content
from taskpoint.prompts.encode import check_length
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.writing import Template
from taskpoint.tasks.base import Item, Task

# An answer longer than every reference by this much is wrong anyway; the report still shows how it goes on.
_SPARE_TOKENS = 4


def check_scored(task: Task) -> None:
    """Refuses, by a SettingError, a task whose answers nothing can be held against."""
    if not task.has_answers:
        raise SettingError(f"task {task.name!r} has items without accepted answers; give them 'answers' to score them")


def longest_answer(lm: LanguageModel, task: Task, template: Template, items: Sequence[Item]) -> int:
    """The longest answer that a model is let write, in tokens, where the user names none."""
    contents = [task.content(item, 0, 0, instruction=False) for item in items]
    prompts = encoded(lm, template, contents, [max(item.answers, key=len) for item in items])
    return max(len(prompt) - prompt.prompt_length for prompt in prompts) + _SPARE_TOKENS


def with_room(lm: LanguageModel, prompts: list[SegmentedPrompt], new: int = 0) -> list[SegmentedPrompt]:
    """The prompts; a PromptError where one leaves no room in the model's positions for so many new tokens."""
    if lm.max_positions is not None:
        for prompt in prompts:
            check_length(prompt, lm.max_positions, new)
    return prompts


class Questions:
    """Prompts of one model, task and template.

    Attributes:
        max_new_tokens: the longest answer.
    """

    def __init__(
        self, lm: LanguageModel, task: Task, template: Template, items: Sequence[Item], fresh: bool, new: int | None
    ) -> None:
        """`fresh` draws examples anew for each item; `new` is the longest answer, None takes it from the references."""
        self._lm, self._task, self._template, self._fresh = lm, task, template, fresh
        self.max_new_tokens = new if new is not None else longest_answer(lm, task, template, items)

    def contents(self, items: Iterable[Item], shots: int, seed: int, instruction: bool) -> list[Content]:
        """What the prompts say; a PromptError where there are too few examples, or there is no instruction."""
        named = {"instruction": instruction, "fresh": self._fresh}
        return [self._task.content(item, shots, seed, **named) for item in items]

    def asked(self, contents: Sequence[Content]) -> list[SegmentedPrompt]:
        """The prompts without answers; a PromptError where one leaves no room for the longest answer."""
        return with_room(self._lm, encoded(self._lm, self._template, contents), self.max_new_tokens)

    def answered(self, contents: Sequence[Content], items: Iterable[Item]) -> list[SegmentedPrompt]:
        """The prompts with their reference answers."""
        return encoded(self._lm, self._template, contents, [item.answers[0] for item in items])


def run_name(lm: LanguageModel, task: Task) -> str:
    """What the folder of a run is called after."""
    return f"{lm.name}-{task.name}".replace("/", "-").replace(":", "-")


def shape_of(lm: LanguageModel) -> dict[str, Any] | None:
    """The sizes of a model as JSON values; None for a family whose sizes are not known."""
    model: Any = lm.model
    try:
        return asdict(ModelShape.from_config(model.config))
    except ModelError:
        return None


def facts_of(lm: LanguageModel, task: Task, items: Sequence[Item]) -> Mapping[str, object]:
    """What beside the settings decides the rows of a run: which model, which task."""
    model: Any = lm.model
    signature = task.signature(items)
    return {
        "model": lm.name,
        "revision": lm.revision,
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(attention_name(model.config)),
        "num_layers": lm.num_layers,
        "task": task.name,
        "task_sha256": task.fingerprint(),
        "metric": task.metric,
        **({} if task.scoring == type(task).scoring else {"metric_name": task.scoring.name}),
        **({} if signature is None else {"metric_signature": signature}),
    }


def examples_name(content: Content) -> str:
    """A short name of the examples of a prompt, so that a row can be traced to them."""
    text = "\x00".join(f"{example.input}\x01{example.output}" for example in content.examples)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def answer_facts(task: Task, item: Item, text: str) -> dict[str, Any]:
    """What rows say of an answer: its score, the counts of a corpus score, and its language."""
    asked, spoken = task.asked_language(item), task.spoken_language(text)
    return {
        "text": text,
        "score": task.score(item, text),
        "counts": " ".join(map(str, task.counts(item, text))),
        "language": spoken or "",
        "in_language": None if asked is None else float(spoken == asked),
    }
