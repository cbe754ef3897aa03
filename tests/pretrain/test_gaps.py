"""Training with gaps in the positions, such as a cut leaves where hidden examples stood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from taskpoint.pretrain.sentences import SentenceMixture
from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.segments import Segment
from taskpoint.prompts.template import template
from taskpoint.tasks.tatoeba import corpora
from taskpoint.training.sequences import collate, with_gaps
from taskpoint.training.tokenizer import train_tokenizer
from taskpoint.training.trainer import TrainingSettings, train


@pytest.fixture(scope="module")
def mixture(sentences: Path) -> SentenceMixture:
    return SentenceMixture(
        corpora(sentences), template("qa"), pairs=40, lengths=(1, 2, 4, 9), tokens=600,
        instruction_share=0.5, repeat_share=0.3, longest_repeat=2, gap_share=0.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(mixture: SentenceMixture) -> PreTrainedTokenizerFast:
    return train_tokenizer(mixture.texts(), vocab=500, positions=512)


@settings(max_examples=50, deadline=None)
@given(shots=st.integers(0, 6), told=st.booleans(), longest=st.integers(7, 300), seed=st.integers(0, 2**32))
def test_gaps_stand_at_borders_alone_and_are_no_longer_than_they_may_be(
    tokenizer: PreTrainedTokenizerFast, shots: int, told: bool, longest: int, seed: int
) -> None:
    content = Content("Do it:" if told else None, tuple(Example(f"in {n}", f"out {n}") for n in range(shots)), "asked")
    [prompt] = encode_many(tokenizer, template("qa"), [content], ["answer\n"])
    positions = with_gaps(prompt, longest, np.random.default_rng(seed))
    steps = np.diff(positions)
    assert positions[0] == 0
    assert (steps >= 1).all()
    assert (steps - 1).sum() <= longest
    said = [(prompt.examples[at], min(prompt.segments[at], Segment.QUERY)) for at in range(len(prompt))]
    assert all(said[at] != said[at + 1] for at in np.flatnonzero(steps > 1))


def test_every_border_gets_a_gap_about_half_the_time(tokenizer: PreTrainedTokenizerFast) -> None:
    [prompt] = encode_many(tokenizer, template("qa"), [Content("Do:", (Example("a", "b"),), "c")], ["d\n"])
    chance = np.random.default_rng(0)
    jumps = np.array([np.diff(with_gaps(prompt, 50, chance)) > 1 for _ in range(2000)])
    often = jumps.mean(0)
    borders = np.flatnonzero(often)
    assert len(borders) == 3  # before the instruction, the example, the query
    assert often[borders] == pytest.approx(0.5, abs=0.05)


def test_gaps_change_no_draw_and_stand_in_the_asked_share_of_the_sequences(
    mixture: SentenceMixture, tokenizer: PreTrainedTokenizerFast
) -> None:
    plain = replace(mixture, gap_share=0.0)
    gapped = several = 0
    for step in range(40):
        for one, other in zip(plain.draw(tokenizer, 3, step), mixture.draw(tokenizer, 3, step), strict=True):
            assert torch.equal(one.input_ids, other.input_ids)
            assert one.positions is None
            assert other.positions is not None
            for ids, places in zip(other.input_ids, other.positions, strict=True):
                length = int((ids != tokenizer.pad_token_id).sum())
                several += 1
                gapped += not torch.equal(places[:length], torch.arange(length))
    # One border is missed half of the time, nine hardly ever.
    assert 0.25 < gapped / several < 0.5


def test_training_tells_the_model_where_tokens_stand(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=500, num_key_value_heads=2, initializer_range=0.5, **shape))
    [prompt] = encode_many(tokenizer, template("qa"), [Content("Do:", (Example("a", "b"),), "c")], ["d\n"])
    positions = np.arange(len(prompt)) * 3
    batch = collate([prompt], 0, [positions])
    with torch.no_grad():
        labels = batch.input_ids.masked_fill(~batch.targets, -100)
        expected = model(input_ids=batch.input_ids, position_ids=torch.from_numpy(positions)[None], labels=labels).loss
        elsewhere = model(input_ids=batch.input_ids, labels=labels).loss
    once = TrainingSettings(steps=1, lr=1e-9, warmup=0, weight_decay=0.0, beta2=0.99, clip=1.0, bfloat16=False,
                            checkpoint_every=1)  # fmt: skip
    done = train(model, lambda step: [batch], once, tmp_path / "c.pt")
    assert done.loss == pytest.approx(expected.item(), rel=1e-5)
    assert done.loss != pytest.approx(elsewhere.item(), rel=1e-3)
