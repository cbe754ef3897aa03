from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from taskpoint.models.loading import LanguageModel
from taskpoint.pretrain.accuracy import accuracies
from taskpoint.prompts.template import template
from taskpoint.tasks.lexicon import subtasks
from taskpoint.tasks.mapping import MappingTask
from taskpoint.training.tokenizer import suite_texts, train_tokenizer


class _Oracle:
    """Stands for a model: answers `past` right, `plural` wrong, and only when there is an instruction."""

    device = torch.device("cpu")

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.prompts: list[str] = []

    def generate(self, ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> torch.Tensor:
        said = []
        for row, mask in zip(ids, attention_mask, strict=True):
            prompt = self.tokenizer.decode(row[mask.bool()], skip_special_tokens=True)
            self.prompts.append(prompt)
            query = prompt.rsplit("Q: ", 1)[1].removesuffix("\nA:")
            answer = dict(subtasks()["past"].pairs).get(query, ("wrong",))[0]
            said.append(self.tokenizer(f" {answer if 'Give' in prompt else '?'}\nQ: more", add_special_tokens=False))
        new = self.tokenizer.pad(said, padding_side="right", return_tensors="pt")["input_ids"]
        return torch.cat([ids, torch.as_tensor(new)], 1)


def test_each_form_of_each_task_is_scored_on_its_own_prompts() -> None:
    task = MappingTask("two", (subtasks()["past"], subtasks()["plural"]))
    tokenizer = train_tokenizer(suite_texts(subtasks(), ("qa",)), vocab=600, positions=128)
    oracle = _Oracle(tokenizer)
    lm: Any = LanguageModel.__new__(LanguageModel)
    object.__setattr__(lm, "model", oracle)
    object.__setattr__(lm, "tokenizer", tokenizer)
    told: list[tuple[int, int]] = []
    found = accuracies(
        lm, task, template("qa"), shots=(0, 2), per_subtask=10, batch=7, progress=lambda *state: told.append(state)
    )
    scores = {(each.subtask, each.shots, each.instruction): (each.items, each.mean) for each in found}
    assert scores == {
        (name, shots, instruction): (10, 1.0 if name == "past" and instruction else 0.0)
        for name in ("past", "plural")
        for shots in (0, 2)
        for instruction in (False, True)
    }
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {prompt.count("Q: ") for prompt in oracle.prompts} == {1, 3}
