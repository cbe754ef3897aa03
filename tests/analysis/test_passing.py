"""pass@k: the chance that one of k programs passes."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.analysis.passing import pass_at_k
from taskpoint.errors import SettingError


@pytest.mark.parametrize("samples", range(1, 8))
def test_it_is_the_share_of_all_choices_of_k_that_hold_a_passing_program(samples: int) -> None:
    for passed in range(samples + 1):
        for k in range(1, samples + 1):
            chosen = [any(each < passed for each in some) for some in combinations(range(samples), k)]
            assert pass_at_k(samples, passed, k) == pytest.approx(sum(chosen) / len(chosen), abs=1e-12)


@given(st.integers(1, 2000), st.data())
def test_it_equals_the_formula_in_exact_numbers_where_floats_would_overflow(samples: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    exact = 1 - Fraction(comb(samples - passed, k), comb(samples, k))
    assert pass_at_k(samples, passed, k) == pytest.approx(float(exact), abs=1e-9)


def test_one_answer_passes_or_does_not() -> None:
    assert (pass_at_k(1, 0, 1), pass_at_k(1, 1, 1)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("samples", "passed", "k"), [(0, 0, 1), (3, 4, 1), (3, 1, 4), (3, 1, 0), (3, -1, 1), (3, True, 1)]
)
def test_numbers_that_cannot_be_are_refused(samples: int, passed: int, k: int) -> None:
    with pytest.raises(SettingError):
        pass_at_k(samples, passed, k)
