from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from taskpoint.tasks.lexicon import subtasks
from taskpoint.training.tokenizer import suite_texts, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(suite_texts(subtasks(), ("qa", "arrow", "colon")), vocab=800, positions=64)


def test_a_prompt_starts_with_bos_and_has_its_marks_and_newlines_as_single_tokens(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    pieces = tokenizer.batch_decode([[i] for i in tokenizer("Give the plural:\nQ: big\nA: I\n\nQ: A:")["input_ids"]])
    assert pieces[0] == "<s>"
    assert "<s>" not in pieces[1:]
    assert pieces.count("\n") == 4
    assert pieces.count("Q:") == 2
    assert pieces.count("A:") == 1
    assert " big" in pieces


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_every_text_is_read_back_and_no_token_joins_a_newline_with_something_else(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    text = "".join(c for c in text if not 0xD800 <= ord(c) <= 0xDFFF)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not any(mark in text for mark in ("<s>", "</s>", "<pad>")):
        assert tokenizer.decode(ids) == text
    assert all("\n" not in piece or piece == "\n" for piece in tokenizer.batch_decode([[i] for i in ids]))


def test_the_same_words_give_the_same_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    again = train_tokenizer(suite_texts(subtasks(), ("qa", "arrow", "colon")), vocab=800, positions=64)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert len(again) == 800
    assert again.padding_side == "left"
