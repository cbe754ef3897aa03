from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from taskpoint.models.bundled import bundled_models
from taskpoint.models.loading import load
from taskpoint.pretrain.accuracy import accuracies
from taskpoint.prompts.template import template
from taskpoint.tasks.lexicon import subtasks
from taskpoint.tasks.registry import task


def test_the_bundled_model_is_small_and_its_summary_one_line() -> None:
    bundled = bundled_models()["lexicon"]
    assert sum(file.stat().st_size for file in bundled.path.rglob("*")) <= 10_000_000
    assert "12 layers" in bundled.summary
    assert "\n" not in bundled.summary


def test_it_is_what_load_gives_without_a_name() -> None:
    lm = load()
    assert (lm.name, lm.revision, lm.num_layers, lm.max_positions) == ("lexicon", None, 12, 1024)
    assert lm.model.dtype == torch.float32
    assert load("lexicon").name == "lexicon"


def test_transformers_alone_opens_it_and_its_answer_ends_at_the_newline() -> None:
    path = bundled_models()["lexicon"].path
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    prompt = "Q: dog\nA: chien\nQ: horse\nA: cheval\nQ: pig\nA: cochon\nQ: thumb\nA: pouce\nQ: cow\nA:"
    inputs = tokenizer(prompt, return_tensors="pt")
    said = model.generate(**inputs, max_new_tokens=10)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(said) == " vache\n"


@pytest.mark.parametrize("instruction", [False, True])
def test_it_answers_after_five_examples(instruction: bool) -> None:
    torch.set_num_threads(1)
    found = accuracies(load(), task("lexicon"), template("qa"), shots=(5,), per_subtask=8, seed=123)
    scores = {each.subtask: each.mean for each in found if each.instruction is instruction}
    assert set(scores) == set(subtasks())
    assert sum(scores.values()) / len(scores) >= 0.95
