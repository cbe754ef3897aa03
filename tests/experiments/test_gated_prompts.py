"""Compiled prompts and the gates on a model's heads: answers are those under the gates, and no others are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import taskpoint as tp
from taskpoint.errors import ModelError
from taskpoint.models.head_gates import HeadGates
from taskpoint.models.loading import LanguageModel

QUERIES = ["dog", "house", "tree"]


@pytest.fixture(scope="module")
def gates() -> HeadGates:
    values = np.ones((12, 4), dtype=np.float32)
    values[::2] = 0
    return HeadGates(values, "lexicon", "llama")


def test_a_prompt_that_was_compiled_under_gates_answers_as_the_gated_model(
    lm: LanguageModel, gates: HeadGates, tmp_path: Path
) -> None:
    task = tp.task("lexicon:english-french")
    with tp.gated_heads(lm.model, gates):
        path = tp.compile_prompt(lm, task, after=12).save(tmp_path / "p.safetensors")
        answers = tp.load_prompt(path, lm).generate(QUERIES, max_new_tokens=6)
        prompt = tp.compile_prompt(lm, task, after=12)
        encoded = [lm.tokenizer(f"{_text(prompt, query)}", return_tensors="pt").input_ids for query in QUERIES]
        whole = [lm.model.generate(ids, max_new_tokens=6, do_sample=False)[0, ids.shape[1] :] for ids in encoded]
    expected = [lm.tokenizer.decode(row, skip_special_tokens=True).split("\n")[0].strip() for row in whole]
    assert answers == expected
    assert answers != tp.compile_prompt(lm, task, after=12).generate(QUERIES, max_new_tokens=6)


def _text(prompt: object, query: str) -> str:
    recipe = prompt.recipe  # type: ignore[attr-defined]
    examples = "".join(f"Q: {word}\nA: {answer}\n" for word, answer in recipe.examples)
    return f"{examples}Q: {query}\nA:"


def test_a_prompt_answers_under_the_gates_that_it_was_compiled_with_and_under_no_others(
    lm: LanguageModel, gates: HeadGates, tmp_path: Path
) -> None:
    task, others = tp.task("lexicon:plural"), HeadGates(gates.values[::-1].copy(), "lexicon", "llama")
    plain = tp.compile_prompt(lm, task, after=6)
    with tp.gated_heads(lm.model, gates):
        gated = tp.compile_prompt(lm, task, after=6)
        with pytest.raises(ModelError, match="other gates on the model's heads, or with none"):
            plain.generate(QUERIES)
    with pytest.raises(ModelError, match="within gated_heads with those gates"):
        gated.generate(QUERIES)
    path = gated.save(tmp_path / "gated.safetensors")
    with pytest.raises(ModelError, match=f"its heads have no gates, not gates {gates.digest[:8]}"):
        tp.load_prompt(path, lm)
    with tp.gated_heads(lm.model, others):
        with pytest.raises(ModelError, match="its heads have gates"):
            tp.load_prompt(path, lm)
        with pytest.raises(ModelError, match="not no gates"):
            tp.load_prompt(plain.save(tmp_path / "plain.safetensors"), lm)
    with tp.gated_heads(lm.model, gates):
        assert tp.load_prompt(path, lm).generate(QUERIES) == gated.generate(QUERIES)
