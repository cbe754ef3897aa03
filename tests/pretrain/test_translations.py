from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from taskpoint.models.loading import load
from taskpoint.pretrain.translations import ZeroShot, answered, mean_bleu, measured, translation_scores
from taskpoint.prompts.template import template
from taskpoint.tasks.mapping import Subtask
from taskpoint.tasks.translation import TranslationTask
from taskpoint.training.export import export
from taskpoint.training.tokenizer import train_tokenizer

_FRENCH = {
    "The bread is very good today.": "Le pain est très bon aujourd'hui.",
    "My brother works in a small shop.": "Mon frère travaille dans un petit magasin.",
    "We will leave tomorrow morning.": "Nous partirons demain matin.",
    "She never drinks coffee at night.": "Elle ne boit jamais de café le soir.",
}


def task() -> TranslationTask:
    ways = {
        "eng-fra": tuple((english, (french,)) for english, french in _FRENCH.items()),
        "fra-eng": tuple((french, (english,)) for english, french in _FRENCH.items()),
    }
    told = {"eng-fra": "Translate English to French:", "fra-eng": "Translate French to English:"}
    return TranslationTask("set", [Subtask(name, told[name], pairs) for name, pairs in ways.items()])


def answer(prompt: str, query: str) -> str:
    """With an instruction the translation, without one the query again; examples change nothing."""
    both = _FRENCH | {french: english for english, french in _FRENCH.items()}
    return both[query] if "Translate" in prompt else query.upper()


@pytest.fixture
def asked(oracle: Callable[..., Any]) -> Any:
    tokenizer = train_tokenizer([f"Q: {a}\nA: {b}\n" for a, b in _FRENCH.items()], vocab=500, positions=256)
    return oracle(tokenizer, answer)


@pytest.fixture
def lm(asked: Any) -> Any:
    return asked.lm


def test_each_direction_is_scored_in_each_form_on_its_own_prompts(lm: Any, asked: Any) -> None:
    told: list[tuple[int, int, str]] = []
    scores, bare = measured(
        lm, [task()], template("qa"), shots=(0, 2), per_direction=3, seed=0, progress=lambda *state: told.append(state)
    )
    assert told == [(form, 4, "measuring") for form in (1, 2, 3, 4)]
    assert {(each.task, each.direction, each.shots, each.instruction, each.items) for each in scores} == {
        ("set", direction, shots, instruction, 3)
        for direction in ("eng-fra", "fra-eng")
        for shots in (0, 2)
        for instruction in (False, True)
    }
    for each in scores:
        assert each.bleu == pytest.approx(100.0 if each.instruction else 0.0, abs=6)
        assert each.chrf == pytest.approx(100.0) if each.instruction else each.chrf < 40
    assert mean_bleu(scores, 2, True) == pytest.approx(100)
    assert {prompt.count("Q: ") for prompt in asked.prompts} == {1, 3}
    assert [(each.direction, each.items, each.repeated) for each in bare] == [("eng-fra", 3, 1.0), ("fra-eng", 3, 1.0)]


def test_the_languages_of_the_answers_are_shares_of_what_is_detected(lm: Any) -> None:
    class Told(TranslationTask):
        def spoken_language(self, text: str) -> str | None:
            return {"T": "English", "M": "English", "W": None}.get(text[0], "French")

    made = Told("set", task().subtasks[:1])
    [[said]] = answered(lm, made, template("qa"), forms=[(0, False)], per_direction=9)
    assert ZeroShot.of(made, said).languages == {"English": 0.5, "": 0.25, "French": 0.25}


def test_scores_alone_are_those_of_the_whole_measurement(lm: Any) -> None:
    alone = translation_scores(lm, task(), template("qa"), forms=[(2, True)], per_direction=3)
    whole, _ = measured(lm, [task()], template("qa"), shots=(2,), per_direction=3, seed=0)
    assert alone == tuple(each for each in whole if each.instruction)


def test_generation_ends_when_every_answer_has_ended(tmp_path: Path) -> None:
    """A model that says a newline at once is asked for one token, however many it may say."""
    tokenizer = train_tokenizer(["Q: a\nA: b\n"], vocab=270, positions=512)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, tie_word_embeddings=False, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    [newline] = tokenizer("\n", add_special_tokens=False)["input_ids"]
    passes = 0

    def say_newline(_module: Any, _args: Any, scores: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += 1
        scores = scores.clone()
        scores[..., newline] = scores.max() + 1
        return scores

    export(model, tokenizer, tmp_path / "model", "\n")
    lm = load(tmp_path / "model")
    lm.model.get_output_embeddings().register_forward_hook(say_newline)
    list(answered(lm, task(), template("qa"), forms=[(0, False)], per_direction=4, batch=64))
    assert passes == 1
