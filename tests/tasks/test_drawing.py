"""Seeded draws."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from taskpoint.tasks.drawing import generator, permutation


@given(st.integers(0, 300), st.integers(0, 5))
def test_a_permutation_has_every_number_once(count: int, seed: int) -> None:
    assert sorted(permutation(generator(seed), count)) == list(range(count))


def test_all_orders_are_equally_likely() -> None:
    draws = generator("orders")
    seen = Counter(tuple(permutation(draws, 3)) for _ in range(6000))
    assert len(seen) == 6
    # 1000 expected each; the standard deviation is below 30.
    assert all(850 < times < 1150 for times in seen.values())


def test_the_first_numbers_do_not_depend_on_how_many_are_taken() -> None:
    assert list(islice(permutation(generator(3), 10**9), 4)) == list(islice(permutation(generator(3), 10**9), 9))[:4]


def test_every_name_changes_the_draw() -> None:
    names = [("a", 1), ("a", 2), ("b", 1), ("a1",), ("a", "1"), ("a", 1, "x")]
    assert len({generator(*name).random() for name in names}) == len(names)


def test_the_draws_of_a_name_never_change() -> None:
    # Written down once: another version of Python or NumPy that differs would change the prompts of every old run.
    assert list(permutation(generator("examples", 0, "plural"), 10)) == [8, 6, 4, 5, 2, 9, 3, 0, 7, 1]
