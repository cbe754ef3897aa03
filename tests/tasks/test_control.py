"""The wrong answers of the control."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.errors import PromptError
from taskpoint.tasks.control import wrong_answers
from taskpoint.tasks.drawing import generator

LETTERS = st.sampled_from("abcd")


@given(st.lists(LETTERS, min_size=1, max_size=5), st.lists(LETTERS, max_size=2), st.integers(0, 3))
def test_wrong_answers_are_found_exactly_when_trying_every_order_finds_some(
    own: list[str], spare: list[str], seed: int
) -> None:
    offered = own + spare
    possible = any(
        all(answer != kept for answer, kept in zip(order, own, strict=True))
        for order in permutations(offered, len(own))
    )
    accepted = [[answer] for answer in own]
    if not possible:
        with pytest.raises(PromptError):
            wrong_answers(accepted, iter(offered), len(own), generator(seed))
        return
    given_answers = wrong_answers(accepted, iter(offered), len(own), generator(seed))
    assert all(answer != kept for answer, kept in zip(given_answers, own, strict=True))
    assert not Counter(given_answers) - Counter(offered)


def test_no_accepted_answer_is_given_in_any_casing() -> None:
    assert wrong_answers([["small", "little"]], iter(["Little", "SMALL", "big"]), 3, generator(0)) == ("big",)


def test_more_answers_are_taken_only_when_they_are_needed() -> None:
    offered = iter(["a", "b", "c", "d"])
    wrong_answers([["a"], ["b"]], offered, 2, generator(0))
    assert list(offered) == ["c", "d"]


def test_thousands_of_examples_with_two_answers_are_no_problem() -> None:
    own = ["yes", "no"] * 600
    given_answers = wrong_answers([[answer] for answer in own], iter(own), len(own), generator(0))
    assert given_answers == ("no", "yes") * 600


def test_answers_that_are_all_the_same_are_refused_in_one_line() -> None:
    with pytest.raises(PromptError, match="cannot be shuffled") as caught:
        wrong_answers([["yes"]], iter(["yes"] * 5_000), 1, generator(0))
    assert "\n" not in str(caught.value)
