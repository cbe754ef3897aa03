"""What layers share is made once, and never mistaken for the answer to another question."""

from __future__ import annotations

from typing import Any

from taskpoint.engine.calls.memo import _MOST, Memo


def test_the_same_objects_get_the_same_answer_and_equal_ones_their_own() -> None:
    memo: Memo[list[int]] = Memo()
    one, equal = [1], [1]
    answer = memo.get([one], lambda: [0])
    assert memo.get([one], lambda: [1]) is answer
    assert memo.get([equal], lambda: [2]) == [2]
    assert memo.get([one], lambda: [3], "another fact") == [3]
    assert memo.get([one, equal], lambda: [4]) == [4]


def test_an_answer_that_is_false_is_remembered_too() -> None:
    memo: Memo[Any] = Memo()
    mask = object()
    for answer in (False, None):
        assert memo.get([mask], lambda answer=answer: answer, answer) is answer
        assert memo.get([mask], lambda: True, answer) is answer


def test_objects_that_are_gone_answer_for_no_others() -> None:
    """Python gives the id of an object that is gone to the next one."""
    memo: Memo[int] = Memo()
    for number in range(100):
        assert memo.get([[number]], lambda number=number: number) == number


def test_few_objects_are_held() -> None:
    memo: Memo[int] = Memo()
    for number in range(10 * _MOST):
        memo.get([object()], lambda number=number: number)
        assert len(memo._known) <= _MOST
