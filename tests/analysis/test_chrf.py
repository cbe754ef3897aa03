from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from taskpoint.analysis.corpus.chrf import CorpusChrf, chrf
from taskpoint.analysis.intervals import interval
from taskpoint.errors import SettingError

_TEXT = st.text("abc d.", max_size=12)
_SAID = st.lists(st.tuples(_TEXT, st.lists(_TEXT, min_size=2, max_size=2)), min_size=1, max_size=6)


@pytest.mark.parametrize("words", [0, 2])
@given(said=_SAID)
def test_counts_of_single_answers_make_the_chrf_that_sacrebleu_gives_all_of_them(
    words: int, said: list[tuple[str, list[str]]]
) -> None:
    oracle = CHRF(word_order=words)
    texts, answers = [text for text, _ in said], [answers for _, answers in said]
    counts = np.array(oracle._extract_corpus_statistics(texts, list(zip(*answers, strict=True))), dtype=np.float64)
    expected = oracle.corpus_score(texts, [list(rank) for rank in zip(*answers, strict=True)]).score
    assert counts.shape[1] == CorpusChrf(words=words > 0).counts
    assert chrf(counts.sum(0)) == pytest.approx(expected, abs=1e-9)
    assert CorpusChrf(words=words > 0).observed(counts[None, None]) == pytest.approx([expected], abs=1e-9)


def test_a_hand_worked_example() -> None:
    # "abc" said for "abd": 2 of 3 characters, 1 of 2 pairs, 0 of 1 triple; longer orders are not there.
    counts = np.array([3, 3, 2, 2, 2, 1, 1, 1, 0, *[0] * 9])
    assert chrf(counts) == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    # "ab" said for "abcd": precision 1 and 1, recall 2/4 and 1/3 of the two orders that both have.
    counts = np.array([2, 4, 2, 1, 3, 1, 0, 2, 0, 0, 1, 0, *[0] * 6])
    recall = (1 / 2 + 1 / 3) / 2
    assert chrf(counts) == pytest.approx(100 * 5 * recall / (4 + recall))


def test_nothing_said_is_zero_and_draws_of_like_answers_have_no_width() -> None:
    assert chrf(np.zeros(18)) == 0
    right = np.array([3, 3, 3, 2, 2, 2, 1, 1, 1, *[0] * 9])
    found = interval(np.tile(right, (2, 5, 1)), statistic=CorpusChrf())
    assert (found.mean, found.low, found.high) == pytest.approx((100, 100, 100))


def test_an_interval_covers_the_scores_of_its_halves() -> None:
    right, wrong = [3, 3, 3, 2, 2, 2, 1, 1, 1, *[0] * 9], [3, 3, 0, 2, 2, 0, 1, 1, 0, *[0] * 9]
    found = interval(np.array([[right] * 10 + [wrong] * 10] * 2), statistic=CorpusChrf())
    assert found.mean == pytest.approx(50)
    assert found.low < 45 < 55 < found.high


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (False, np.zeros((1, 1, 1, 10))),
        (False, np.zeros((1, 1, 1, 24))),
        (True, np.zeros((1, 1, 1, 18))),
        (False, np.full((1, 1, 1, 18), -1)),
    ],
)
def test_what_are_no_counts_is_refused(words: bool, values: np.ndarray) -> None:
    with pytest.raises(SettingError, match="counts"):
        CorpusChrf(words=words).checked(values)
