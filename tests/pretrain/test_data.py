from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from taskpoint.errors import SettingError
from taskpoint.pretrain.data import Mixture
from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.encode import encode
from taskpoint.prompts.template import template
from taskpoint.tasks.lexicon import subtasks
from taskpoint.tasks.mapping import Subtask
from taskpoint.training.sequences import collate, taught
from taskpoint.training.tokenizer import suite_texts, train_tokenizer

WORDS = subtasks()
TEMPLATES = ("qa", "arrow", "colon")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(suite_texts(WORDS, TEMPLATES), vocab=1000, positions=256)


def mixture(shots: int = 3, instruction_share: float = 0.5, other_share: float = 0.3) -> Mixture:
    chosen = (WORDS["capital"], WORDS["past"], WORDS["digits"])
    return Mixture(chosen, tuple(template(name) for name in TEMPLATES), shots, instruction_share, other_share)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_taught_is_every_answer_with_its_line_end_and_nothing_else(
    tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    content = Content("Name the capital:", (Example("France", "Paris"), Example("Chad", "N'Djamena")), "Peru")
    prompt = encode(tokenizer, template(name), content, "Lima\n")
    pieces = [tokenizer.decode([i]) if keep else "|" for i, keep in zip(prompt.ids, taught(prompt), strict=True)]
    said = [part.strip(" ") for part in "".join(pieces).split("|") if part]
    assert said == ["Paris\n", "N'Djamena\n", "Lima\n"]


def test_each_sequence_holds_pairs_of_one_task_and_no_pair_twice(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = mixture(instruction_share=0.0, other_share=0.0).draw(tokenizer, 32, seed=1, step=5)
    names = set()
    for ids in batch.input_ids:
        lines = tokenizer.decode(ids, skip_special_tokens=True).splitlines()
        asked = [line.removeprefix("Q: ") for line in lines[::2]]
        answered = [line.removeprefix("A: ") for line in lines[1::2]]
        assert len(asked) == len(answered) == len(set(asked)) == 4
        [name] = [
            name
            for name in ("capital", "past", "digits")
            if set(zip(asked, answered, strict=True)) <= {(text, said[0]) for text, said in WORDS[name].pairs}
        ]
        names.add(name)
    assert len(names) == 3


def test_a_step_draws_the_same_batch_whenever_it_is_asked_and_another_than_other_steps_and_seeds(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    def ids(seed: int, step: int) -> list[list[int]]:
        return mixture().draw(tokenizer, 8, seed, step).input_ids.tolist()

    assert ids(0, 3) == ids(0, 3)
    assert ids(0, 3) != ids(0, 4)
    assert ids(0, 3) != ids(1, 3)


def test_shares_are_kept(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = mixture(instruction_share=0.5, other_share=0.3).draw(tokenizer, 400, seed=0, step=0)
    texts = tokenizer.batch_decode(batch.input_ids, skip_special_tokens=True)
    instructed = np.mean([text.startswith(("Name the capital:", "Give the past", "Write in digits")) for text in texts])
    main = np.mean(["Q: " in text for text in texts])
    assert 0.4 < instructed < 0.6
    assert 0.6 < main < 0.8
    assert any(" -> " in text for text in texts)


def test_padding_stands_on_the_right_and_is_never_taught(tokenizer: PreTrainedTokenizerFast) -> None:
    prompts = [encode(tokenizer, template("qa"), Content(None, (), word), "x\n") for word in ("a", "a b c d e")]
    batch = collate(prompts, pad_id=2)
    assert batch.input_ids[0, len(prompts[0]) :].eq(2).all()
    assert batch.input_ids.shape == batch.targets.shape == (2, len(prompts[1]))
    assert not batch.targets[0, len(prompts[0]) :].any()
    assert torch.equal(batch.targets, batch.last)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shots": 140}, "shots"),
        ({"shots": -1}, "shots"),
        ({"instruction_share": 1.5}, "instruction_share"),
        ({"other_share": float("nan")}, "other_share"),
    ],
)
def test_a_mixture_that_cannot_be_drawn_is_refused(change: dict[str, float], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        mixture(**change)  # type: ignore[arg-type]


def test_templates_and_tasks_that_do_not_fit_are_refused() -> None:
    bare = Subtask("bare", None, (("a", ("b",)), ("c", ("d",))))
    qa = (template("qa"),)
    with pytest.raises(SettingError, match="stop text"):
        Mixture((bare,), (template("chat"),), 1, 0.0, 0.0)
    with pytest.raises(SettingError, match="other_share"):
        Mixture((bare,), qa, 1, 0.0, 0.5)
    with pytest.raises(SettingError, match="instruction"):
        Mixture((bare,), qa, 1, 0.5, 0.0)
    with pytest.raises(SettingError, match="sub-task"):
        Mixture((), qa, 1, 0.0, 0.0)
