from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from taskpoint.analysis.intervals import Interval, interval, percentile_interval, resampled_means
from taskpoint.errors import SettingError

scores = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 12)),
    elements=st.integers(-20, 20).map(lambda value: value / 4),
)


def test_one_seed_agrees_with_the_bootstrap_of_scipy():
    rng = np.random.default_rng(3)
    sample = rng.gamma(2.0, 1.5, size=60)
    ours = interval(sample[None], resamples=20_000, seed=1)
    theirs = scipy.stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    )
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.mean == pytest.approx(sample.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_one_item_is_a_bootstrap_over_seeds_alone():
    sample = np.random.default_rng(4).normal(size=40)
    ours = interval(sample[:, None], resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    )
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_the_variance_of_the_replicates_has_a_part_from_seeds_and_a_part_from_items():
    # Scores that are a seed's part plus an item's part: Var = Var(seeds) / S + Var(items) / I, drawn independently.
    rng = np.random.default_rng(5)
    of_seed, of_item = rng.normal(size=6), rng.normal(size=30)
    means = resampled_means((of_seed[:, None] + of_item)[None], resamples=20_000)[:, 0]
    assert means.var() == pytest.approx(of_seed.var() / 6 + of_item.var() / 30, rel=0.05)


def test_asking_the_same_items_under_more_seeds_does_not_pretend_to_have_more_items():
    of_item = np.random.default_rng(6).normal(size=(1, 50))
    one, many = (interval(np.repeat(of_item, seeds, axis=0), resamples=10_000) for seeds in (1, 8))
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.05)


def test_an_interval_of_three_seeds_on_the_same_items_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        values = rng.normal(size=(1, 80)) + 0.5 * rng.normal(size=(3, 80))
        found = interval(values, resamples=400)
        held += found.low <= 0 <= found.high
    assert 0.90 <= held / 200 <= 0.99


@given(scores, st.sampled_from([0.25, 1.0, 8.0]), st.sampled_from([-32.0, 0.0, 5.5]))
@settings(max_examples=40, deadline=None)
def test_an_interval_moves_and_stretches_with_its_scores(values, scale, shift):
    plain = interval(values, resamples=100)
    moved = interval(values * scale + shift, resamples=100)
    for name in ("mean", "low", "high"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name) * scale + shift, abs=1e-9)


@given(st.floats(-1e6, 1e6), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_constant_scores_have_an_interval_without_width(value, seeds, items):
    assert interval(np.full((seeds, items), value), resamples=50) == Interval(value, value, value)


def test_a_replicate_never_leaves_the_range_of_the_scores_and_reaches_past_one_mean():
    values = np.random.default_rng(6).random((3, 50))
    at = interval(values, resamples=500)
    assert values.min() < at.low < at.mean < at.high < values.max()


def test_a_higher_level_gives_a_wider_interval():
    values = np.random.default_rng(6).random((3, 50))
    narrow, wide = interval(values, level=0.5), interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_same_seed_gives_the_same_replicates_and_another_seed_others():
    values = np.random.default_rng(7).random((1, 3, 20))
    assert (resampled_means(values, seed=1) == resampled_means(values, seed=1)).all()
    assert (resampled_means(values, seed=1) != resampled_means(values, seed=2)).any()


def test_variants_share_their_draws():
    values = np.random.default_rng(8).random((1, 3, 20))
    means = resampled_means(np.concatenate([values, 2 * values + 1]), resamples=50)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0] + 1)


def test_many_items_are_drawn_in_parts_that_fill_every_replicate():
    values = np.random.default_rng(9).random((1, 2, 30_000))
    means = resampled_means(values, resamples=150)
    assert means.shape == (150, 1)
    np.testing.assert_allclose(means, values.mean(), atol=0.02)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_refused_with_its_place(bad):
    values = np.zeros((2, 3))
    values[1, 2] = bad
    with pytest.raises(SettingError, match=r"1 NaN or infinite of 6 numbers, the first in row 0, seed 1, item 2"):
        interval(values)


def test_no_score_at_all_is_refused():
    with pytest.raises(SettingError, match="at least one seed and one item"):
        interval(np.zeros((0, 3)))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_share_is_refused(level):
    with pytest.raises(SettingError, match="level must be between 0 and 1"):
        percentile_interval(0.0, np.zeros(3), level=level)


def test_no_resample_is_refused():
    with pytest.raises(SettingError, match="resamples must be at least 1"):
        resampled_means(np.zeros((1, 1, 1)), resamples=0)


def test_an_interval_upside_down_or_without_number_is_refused():
    with pytest.raises(SettingError, match="above its high end"):
        Interval(0.0, 1.0, -1.0)
    with pytest.raises(SettingError, match="finite"):
        Interval(float("nan"), 0.0, 1.0)
