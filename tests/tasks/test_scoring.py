"""When two texts are the same answer, or the same input."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.tasks.scores.same_text import exact_match, input_key, normalise


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize("said", ["été", " été\n", unicodedata.normalize("NFD", "été")])
def test_white_space_at_the_ends_and_the_way_accents_are_stored_do_not_matter(said: str) -> None:
    assert exact_match(said, ("été",)) == 1.0


def test_any_accepted_answer_counts() -> None:
    assert [exact_match(said, ("small", "little one")) for said in ("small", "little  one", "little")] == [
        1.0,
        1.0,
        0.0,
    ]


def test_case_matters_in_an_answer() -> None:
    assert exact_match("hund", ("Hund",)) == 0.0


def test_an_answer_that_only_begins_right_is_wrong() -> None:
    assert exact_match("chien\nQ: cat", ("chien",)) == 0.0


@pytest.mark.parametrize("other", ["hello", "HELLO!", " Hello. ", "hello ?!"])
def test_case_and_closing_punctuation_do_not_tell_inputs_apart(other: str) -> None:
    assert input_key(other) == input_key("Hello")


@pytest.mark.parametrize("other", ["¡Hello", "hell", "he llo"])
def test_other_differences_tell_inputs_apart(other: str) -> None:
    assert input_key(other) != input_key("Hello")


def test_an_input_of_punctuation_alone_keeps_it() -> None:
    assert input_key("...") != input_key("!")
