from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from taskpoint.analysis.corpus.bleu import COUNTS, CorpusBleu, bleu
from taskpoint.analysis.intervals import interval
from taskpoint.analysis.recognition import curve, recognition_point
from taskpoint.errors import SettingError

_WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=9).map(" ".join)
_SAID = st.lists(st.tuples(_WORDS, _WORDS), min_size=1, max_size=6)


def counted(text: str, answer: str) -> tuple[int, ...]:
    found = BLEU(effective_order=True).corpus_score([text], [[answer]])
    return (found.sys_len, found.ref_len, *found.counts, *found.totals)


@given(_SAID)
def test_counts_of_single_answers_make_the_bleu_that_sacrebleu_gives_all_of_them(said: list[tuple[str, str]]) -> None:
    expected = BLEU().corpus_score([text for text, _ in said], [[answer for _, answer in said]]).score
    assert bleu(np.array([counted(*pair) for pair in said]).sum(0)) == pytest.approx(expected, abs=1e-9)


def test_a_hand_worked_example() -> None:
    # 8 of 10 words, 6 of 9 pairs, 4 of 8 triples, 2 of 7 quadruples; one word too short for the reference.
    expected = 100 * np.exp(1 - 11 / 10) * (8 / 10 * 6 / 9 * 4 / 8 * 2 / 7) ** 0.25
    assert bleu(np.array([10, 11, 8, 6, 4, 2, 10, 9, 8, 7])) == pytest.approx(expected)


def test_nothing_said_and_nothing_right_are_zero() -> None:
    assert bleu(np.zeros(COUNTS)) == 0
    assert bleu(np.array([4, 4, 0, 0, 0, 0, 4, 3, 2, 1])) == 0


def answers(rights: list[float]) -> np.ndarray:
    """Counts of 3 seeds x 20 items by variant; a share of the items is right word for word, the others not at all."""
    right, wrong = [5, 5, 5, 4, 3, 2, 5, 4, 3, 2], [5, 5, 0, 0, 0, 0, 5, 4, 3, 2]
    return np.array([[[right if item < 20 * share else wrong for item in range(20)]] * 3 for share in rights])


def test_the_point_of_a_curve_of_counts_is_where_corpus_bleu_holds() -> None:
    values = answers([0.1, 0.1, 0.9, 1.0, 1.0])
    found = recognition_point(range(5), values, values[0], statistic=CorpusBleu())
    assert (found.floor, found.ceiling) == (pytest.approx(bleu(values[0].sum((0, 1)))), pytest.approx(100))
    # Cut 2 scores 90 of 100: below 10 + 0.95 x 90.
    assert found.layer == 3
    assert found.zero_shot == found.floor
    drawn = curve(range(5), values, statistic=CorpusBleu())
    assert [point.mean for point in drawn] == pytest.approx(list(bleu(values.sum((1, 2)))))
    assert all(point.low <= point.mean <= point.high for point in drawn)


def test_answers_that_are_all_alike_have_an_interval_without_width() -> None:
    found = interval(answers([1.0])[0], statistic=CorpusBleu())
    assert (found.low, found.high) == (pytest.approx(found.mean), pytest.approx(found.mean))


@pytest.mark.parametrize(
    "values", [np.zeros((1, 1, 1, 9)), np.zeros((1, 1, 10)), np.zeros((1, 0, 1, 10)), np.full((1, 1, 1, 10), np.nan)]
)
def test_what_are_no_counts_is_refused(values: np.ndarray) -> None:
    with pytest.raises(SettingError, match="counts"):
        CorpusBleu().checked(values)
