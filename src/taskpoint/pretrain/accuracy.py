"""How often a model answers right, by sub-task, number of examples, and with or without an instruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.batch import pad_left
from taskpoint.prompts.content import Content
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.template import Template
from taskpoint.tasks.base import Item, Task


@dataclass(frozen=True)
class Accuracy:
    """The score of one sub-task in one form.

    Attributes:
        subtask: Name of the sub-task.
        shots: Examples in each prompt.
        instruction: Whether the prompts have the instruction line.
        items: Number of queries.
        mean: Mean score, for word tasks the share that is exactly right.
    """

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
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Accuracy, ...]:
    """Ask every sub-task greedily, with new examples for each query, with and (then) without the instruction.

    Args:
        lm: The model.
        task: Its first `per_subtask` items of each sub-task are asked.
        template: How prompts are written.
        shots: Numbers of examples.
        per_subtask: Most queries of a sub-task.
        seed: Chooses the examples.
        batch: Prompts at once.
        progress: Called with forms done and forms in all.

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
            progress(number, len(forms))
    return tuple(found)


def first_items(task: Task, per_subtask: int) -> list[Item]:
    """The first items of every sub-task, one sub-task after the other; all of them where there are fewer."""
    chosen: dict[str, list[Item]] = {}
    for item in task.items():
        group = chosen.setdefault(item.task, [])
        if len(group) < per_subtask:
            group.append(item)
    return [item for group in chosen.values() for item in group]


@torch.inference_mode()
def greedy_answers(
    lm: LanguageModel, template: Template, contents: Sequence[Content], new: int, batch: int
) -> list[str]:
    """What the model answers to each prompt, ended at the template's stop text.

    Args:
        lm: The model.
        template: How prompts are written.
        contents: What they say.
        new: Most tokens of an answer.
        batch: Prompts at once.
    """
    prompts = encode_many(lm.tokenizer, template, contents)
    # Prompts of like length share a batch: less padding.
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    pad: Any = lm.tokenizer.pad_token_id
    said = [""] * len(prompts)
    model: Any = lm.model
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        hidden = [np.zeros(len(prompts[place]), dtype=bool) for place in places]
        padded = pad_left([prompts[place] for place in places], hidden, int(pad))
        tokens = model.generate(
            padded.input_ids.to(model.device),
            attention_mask=padded.attention_mask.to(model.device),
            do_sample=False,
            max_new_tokens=new,
        )[:, padded.input_ids.shape[1] :]
        texts = lm.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        for place, text in zip(places, texts, strict=True):
            said[place] = template.answer(text)
    return said
