"""The bundled translator: what its card promises holds for the files that are shipped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from taskpoint.asking.learnt import model_for, task_for
from taskpoint.models.bundled import bundled_models
from taskpoint.models.loading import LanguageModel, load
from taskpoint.pretrain.translations import mean_bleu, translation_scores
from taskpoint.prompts.template import template
from taskpoint.tasks.everyday import everyday
from taskpoint.tasks.registry import task


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load("translator")


def test_it_is_at_most_16_megabytes_and_opens_in_float32(lm: LanguageModel) -> None:
    bundled = bundled_models()["translator"]
    assert sum(file.stat().st_size for file in bundled.path.rglob("*")) <= 16_000_000
    assert (lm.name, lm.num_layers, lm.max_positions) == ("translator", 10, 1024)
    assert lm.model.dtype == torch.float32


def test_transformers_alone_opens_it_and_it_translates_into_the_language_of_the_example() -> None:
    path = bundled_models()["translator"].path
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    said = []
    for example in ("Je suis fatigué.", "Ich bin müde.", "Estoy cansado.", "Ik ben moe."):
        inputs = tokenizer(f"Q: I am tired.\nA: {example}\nQ: I am here.\nA:", return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=20)[0, inputs["input_ids"].shape[1] :]
        said.append(tokenizer.decode(tokens))
    assert said == [" Je suis ici.\n", " Ich bin hier.\n", " Estoy aquí.\n", " Ik ben hier.\n"]


@pytest.mark.parametrize("form", [(5, False), (0, True)])
def test_it_translates_with_examples_or_an_instruction_and_not_without(
    lm: LanguageModel, form: tuple[int, bool]
) -> None:
    torch.set_num_threads(1)
    found = translation_scores(lm, everyday(), template("qa"), forms=[form, (0, False)], per_direction=12)
    assert mean_bleu(found, *form) > 2 * mean_bleu(found, 0, False)


def test_each_task_that_a_bundled_model_learnt_finds_it() -> None:
    assert [model_for(name) for name in ("lexicon", "everyday:eng-fra", "tatoeba:d", "words:x.json")] == [
        "lexicon",
        "translator",
        "translator",
        "lexicon",
    ]
    for name in bundled_models():
        assert model_for(task_for(name)) == name
        assert task(task_for(name)).items(1)
    assert task_for(None) == task_for("some/model") == "lexicon"
