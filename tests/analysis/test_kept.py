"""The lowest cut that keeps a share of the ceiling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from taskpoint.analysis.corpus.bleu import CorpusBleu
from taskpoint.analysis.intervals import resampled_means
from taskpoint.analysis.kept import lowest_cut
from taskpoint.errors import SettingError

scores = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 5)),
    elements=st.integers(0, 8).map(float),
)


def by_hand(cuts: list[int], means: list[float], share: float) -> int:
    """From the top down, as long as the score is high enough."""
    lowest = cuts[-1]
    for cut, mean in reversed(list(zip(cuts, means, strict=True))[:-1]):
        if mean < share * means[-1] - 1e-9:
            break
        lowest = cut
    return lowest


@settings(max_examples=60, deadline=None)
@given(values=scores, share=st.sampled_from([0.5, 0.9, 0.98, 1.0]), data=st.data())
def test_it_is_the_end_of_the_way_down_from_the_top_in_the_data_and_in_every_replicate(values, share, data) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, 40), min_size=len(values), max_size=len(values))))
    order = data.draw(st.permutations(range(len(cuts))))
    found = lowest_cut([cuts[place] for place in order], values[list(order)], share=share, resamples=40)
    assert found.cut == by_hand(cuts, list(values.mean(axis=(1, 2))), share)
    assert found.ceiling == pytest.approx(values[-1].mean())
    replicates = [by_hand(cuts, list(means), share) for means in resampled_means(values, resamples=40)]
    assert list(found.replicates) == replicates
    assert found.low <= found.cut <= found.high
    assert {found.low, found.high} <= set(cuts)


def test_a_dip_above_counts_and_one_below_does_not() -> None:
    def cut_of(*means: float) -> int:
        return lowest_cut(range(len(means)), np.array(means)[:, None, None], share=0.98, resamples=1).cut

    assert cut_of(0.99, 0.5, 0.98, 0.99, 1.0) == 2
    assert cut_of(0.99, 0.99, 0.98, 0.9799, 1.0) == 4
    assert cut_of(2.0, 2.0) == cut_of(0.0, 0.0) == 0


def test_a_share_of_a_corpus_score_is_taken_of_the_score_and_not_of_its_counts() -> None:
    counts = np.tile(np.array([9, 9, 8, 7, 6, 5, 9, 8, 7, 6]), (1, 2, 4, 1))  # tokens; matches; n-grams
    worse = counts.copy()
    worse[..., 2:6] //= 2
    values = np.concatenate([worse, counts]).astype(float)
    by_cut = CorpusBleu().observed(values)
    share = float(by_cut[0] / by_cut[1])
    for shift, cut in ((-1e-3, 0), (1e-3, 2)):
        assert lowest_cut([0, 2], values, statistic=CorpusBleu(), share=share + shift, resamples=9).cut == cut


def test_the_distance_of_two_is_paired() -> None:
    """Both fall and rise with the same items, so that their distance is known better than either."""
    generator = np.random.default_rng(1)
    luck = generator.random((1, 1, 60))
    levels = np.linspace(0.4, 1.0, 7)[:, None, None]
    low = np.concatenate([(luck < levels).astype(float), np.ones((1, 1, 60))])
    high = np.concatenate([low[:1], low[:-2], low[-1:]])  # the same, one layer later
    before, after = lowest_cut(range(8), high, share=0.8), lowest_cut(range(8), low, share=0.8)
    assert before.above(after).mean == 1
    assert (before.above(after).low, before.above(after).high) == (1, 1)
    assert before.low < before.high


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(SettingError, match="share"):
        lowest_cut([0, 1], np.ones((2, 1, 1)), share=share)
