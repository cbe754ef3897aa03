"""How often a model answers right, by sub-task, number of examples, and with or without an instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taskpoint.asking.encoding import encoded
from taskpoint.asking.measure import Measure
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.prompts.content import Content
from taskpoint.prompts.template import Template
from taskpoint.tasks.base import Item, Task


@dataclass(frozen=True)
class Accuracy:
    """The mean score of one sub-task in one form; for word tasks the share that is exactly right."""

    subtask: str
    shots: int
    instruction: bool
    items: int
    mean: float


def accuracies(
    lm: LanguageModel,
    task: Task,
    template: Template,
    *,
    shots: Sequence[int] = (0, 1, 3, 5),
    per_subtask: int = 60,
    seed: int = 0,
    batch: int = 128,
    progress: Progress | None = None,
) -> tuple[Accuracy, ...]:
    """Asks every sub-task greedily, with new examples for each query, with and (then) without the instruction.

    Of each sub-task the first `per_subtask` items are asked; the seed chooses the examples.

    Raises:
        PromptError: too few examples for `shots`, or a task without instruction.
    """
    items = first_items(task, per_subtask)
    forms = [(count, instruction) for instruction in (False, True) for count in shots]
    found = []
    for number, (count, instruction) in enumerate(forms, start=1):
        contents = [task.content(item, count, seed, instruction=instruction, fresh=True) for item in items]
        longest = max(len(ids) for ids in lm.tokenizer([f" {a}" for item in items for a in item.answers])["input_ids"])
        said = greedy_answers(lm, template, contents, longest + 1, batch)
        right: dict[str, list[float]] = {}
        for item, text in zip(items, said, strict=True):
            right.setdefault(item.task, []).append(task.score(item, text))
        found += [
            Accuracy(name, count, instruction, len(scores), float(np.mean(scores))) for name, scores in right.items()
        ]
        if progress is not None:
            progress(number, len(forms), "measuring")
    return tuple(found)


def first_items(task: Task, per_subtask: int) -> list[Item]:
    """The first items of every sub-task, one sub-task after the other; all of them where there are fewer."""
    chosen: dict[str, list[Item]] = {}
    for item in task.items():
        group = chosen.setdefault(item.task, [])
        if len(group) < per_subtask:
            group.append(item)
    return [item for group in chosen.values() for item in group]


def greedy_answers(
    lm: LanguageModel, template: Template, contents: Sequence[Content], new: int, batch: int
) -> list[str]:
    """What the model answers to each prompt in at most `new` tokens, ended at the template's stop text."""
    prompts = encoded(lm, template, contents)
    measure = Measure(lm, template, new)
    # Prompts of like length share a batch: less padding.
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    said = [""] * len(prompts)
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        together = [prompts[place] for place in places]
        [texts] = measure.answers(together, [np.zeros(len(prompt), dtype=bool) for prompt in together], [lm.num_layers])
        for place, text in zip(places, texts, strict=True):
            said[place] = text
    return said
