from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskpoint.pretrain.accuracy import accuracies
from taskpoint.prompts.template import template
from taskpoint.tasks.lexicon import subtasks
from taskpoint.tasks.mapping import MappingTask
from taskpoint.training.tokenizer import suite_texts, train_tokenizer


def answer(prompt: str, query: str) -> str:
    """`past` right, `plural` wrong, and only when there is an instruction."""
    return dict(subtasks()["past"].pairs).get(query, ("wrong",))[0] if "Give" in prompt else "?"


def test_each_form_of_each_task_is_scored_on_its_own_prompts(oracle: Callable[..., Any]) -> None:
    task = MappingTask("two", (subtasks()["past"], subtasks()["plural"]))
    asked = oracle(train_tokenizer(suite_texts(subtasks(), ("qa",)), vocab=600, positions=128), answer)
    told: list[tuple[int, int, str]] = []
    found = accuracies(
        asked.lm, task, template("qa"), shots=(0, 2), per_subtask=10, batch=7, progress=lambda *at: told.append(at)
    )
    scores = {(each.subtask, each.shots, each.instruction): (each.items, each.mean) for each in found}
    assert scores == {
        (name, shots, instruction): (10, 1.0 if name == "past" and instruction else 0.0)
        for name in ("past", "plural")
        for shots in (0, 2)
        for instruction in (False, True)
    }
    assert told == [(form, 4, "measuring") for form in (1, 2, 3, 4)]
    assert {prompt.count("Q: ") for prompt in asked.prompts} == {1, 3}
    assert asked.batches == [7, 7, 6] * 4
