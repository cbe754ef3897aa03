from __future__ import annotations

import time
from fractions import Fraction

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from taskpoint.analysis.intervals import interval
from taskpoint.analysis.recognition import RecognitionPoint, curve, first_holding, recognition_point
from taskpoint.errors import SettingError

whole = st.integers(-40, 40).map(float)
anything = arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(1, 3), st.integers(2, 6)), elements=whole)


@st.composite
def rising(draw):
    """Scores whose cuts are low or high in any order, the first low and the last high: the point is always defined."""
    scores = draw(anything)
    high = [False, *draw(st.lists(st.booleans(), min_size=len(scores) - 2, max_size=len(scores) - 2)), True]
    return scores + 100.0 * np.array(high)[:, None, None]


@st.composite
def curves_with_a_known_point(draw):
    """Means from 0 to 100 with the point in the middle somewhere; returns (point, means)."""
    low, high = st.integers(-50, 94).map(float), st.integers(95, 200).map(float)
    before = draw(st.lists(st.one_of(low, high), min_size=1, max_size=4))
    after = draw(st.lists(high, min_size=1, max_size=4))
    return len(before) + 2, [0.0, *before, draw(low), *after, 100.0]


def flat(means, seeds=2, items=4):
    """Scores without any spread, one mean per cut."""
    return np.broadcast_to(np.asarray(means, dtype=float)[:, None, None], (len(means), seeds, items)).copy()


def naive_point(cuts, scores):
    """The definition, word for word, in exact arithmetic."""
    means = {
        cut: Fraction(sum(int(score) for score in row.ravel()), row.size) for cut, row in zip(cuts, scores, strict=True)
    }
    floor, ceiling = means[min(cuts)], means[max(cuts)]
    threshold = floor + Fraction(95, 100) * (ceiling - floor)
    for r in sorted(cuts):
        lasting = True
        for later in cuts:
            if later >= r and means[later] < threshold:
                lasting = False
        if lasting:
            return r
    raise AssertionError("the largest cut is always at the threshold")


def test_a_curve_worked_by_hand():
    # floor 0.1, ceiling 0.9: threshold 0.1 + 0.95 * 0.8 = 0.86. Cut 4 reaches it but 6 falls below; from 8 on all hold.
    point = recognition_point([0, 2, 4, 6, 8, 10, 12], flat([0.1, 0.1, 0.88, 0.85, 0.86, 0.95, 0.9]), num_layers=12)
    assert (point.layer, point.low, point.high) == (8, 8, 8)
    assert (point.floor, point.ceiling, point.zero_shot, point.reason) == (0.1, 0.9, None, None)
    assert point.threshold == pytest.approx(0.86)


def test_the_curve_of_llama_8b_in_the_paper_is_recognised_at_its_published_layer():
    # Paper A, Llama-3.1-8B, Instr+Ex-mask in BLEU at x = r + 1; the ceiling is the entry at x = 32 (papers.md A2).
    x = [4, 6, 8, 10, 11, 12, 14, 15, 16, 17, 18, 20, 24, 28, 32]
    bleu = [1.1, 1.4, 1.6, 1.6, 5.8, 11.0, 7.8, 10.1, 40.0, 40.7, 41.0, 41.2, 41.3, 41.5, 41.7]
    cuts = [0, *(value - 1 for value in x), 32]
    assert recognition_point(cuts, flat([1.0, *bleu, 41.7])).layer == 15


@given(rising(), st.data())
@settings(max_examples=150, deadline=None)
def test_the_point_is_what_a_naive_reading_of_the_definition_gives(scores, data):
    count = len(scores)
    others = data.draw(st.lists(st.integers(1, 40), min_size=count - 1, max_size=count - 1, unique=True))
    cuts = [0, *sorted(others)]
    point = recognition_point(cuts, scores, resamples=60)
    assert point.layer == naive_point(cuts, scores)
    assert point.low <= point.layer <= point.high
    assert {point.low, point.high} <= set(cuts)


@given(st.one_of(rising(), anything), st.sampled_from([0.1, 3.0, 100.0]), st.sampled_from([-1000.0, 0.0, 0.7]))
@settings(max_examples=80, deadline=None)
def test_the_unit_and_origin_of_the_scores_do_not_matter(scores, scale, shift):
    cuts = list(range(len(scores)))
    plain = recognition_point(cuts, scores, resamples=60)
    moved = recognition_point(cuts, scores * scale + shift, resamples=60)
    assert (moved.layer, moved.low, moved.high) == (plain.layer, plain.low, plain.high)
    assert (moved.reason is None) == (plain.reason is None)


@given(curves_with_a_known_point())
@settings(max_examples=80, deadline=None)
def test_dips_before_the_point_are_tolerated(known):
    layer, means = known
    assert recognition_point(range(len(means)), flat(means), resamples=20).layer == layer


@given(curves_with_a_known_point(), st.data())
@settings(max_examples=80, deadline=None)
def test_a_dip_after_the_point_moves_it_past_the_dip(known, data):
    layer, means = known
    dip = data.draw(st.integers(layer, len(means) - 2))
    means[dip] = 94.0
    assert recognition_point(range(len(means)), flat(means), resamples=20).layer == dip + 1


def test_the_order_in_which_cuts_are_given_does_not_matter():
    scores = np.random.default_rng(0).random((6, 2, 30)) + np.arange(6)[:, None, None]
    cuts = np.array([0, 1, 2, 3, 4, 5])
    shuffled = np.array([3, 0, 5, 1, 4, 2])
    assert recognition_point(shuffled, scores[shuffled]) == recognition_point(cuts, scores)
    assert curve(shuffled, scores[shuffled]) == curve(cuts, scores)


def test_log_probabilities_are_scores_like_any_other():
    point = recognition_point([0, 1, 2, 3], flat([-9.0, -8.0, -0.52, -0.5]))
    assert (point.layer, point.ceiling, point.floor) == (2, -0.5, -9.0)


@pytest.mark.parametrize(
    ("floor", "mean", "ceiling"), [(0.0, 0.95, 1.0), (0.1, 0.5275, 0.55), (0.3, 0.5375, 0.55), (0.55, 0.7875, 0.8)]
)
def test_a_mean_that_is_the_threshold_on_paper_reaches_it(floor, mean, ceiling):
    # In floating point 0.1 + 0.95 * (0.55 - 0.1) is above 0.5275.
    assert recognition_point([0, 1, 2], flat([floor, mean, ceiling])).layer == 1
    assert recognition_point([0, 1, 2], flat([floor, mean - 1e-5, ceiling])).layer == 2


def test_another_share_moves_the_threshold():
    scores = flat([0.0, 0.5, 0.9, 1.0])
    assert [recognition_point([0, 1, 2, 3], scores, share=share).layer for share in (0.5, 0.9, 0.95, 1.0)] == [
        1,
        2,
        3,
        3,
    ]


def test_the_interval_holds_the_layer_where_noise_makes_the_neighbours_possible():
    rng = np.random.default_rng(1)
    means = np.array([0.0, 0.05, 0.4, 0.74, 0.77, 0.8, 0.8])
    scores = (rng.random((7, 4, 60)) < means[:, None, None]).astype(float)
    point = recognition_point(range(7), scores)
    assert point.reason is None
    assert point.low <= point.layer <= point.high
    assert point.low < point.high
    assert point.low >= 3


def test_the_interval_holds_the_point_where_hardly_a_replicate_has_it():
    # Every cut from 1 on is exactly at the threshold, by other items: resampled, one of the late ones always dips.
    rng = np.random.default_rng(11)
    plateau = np.stack([rng.permutation([0.0, 1.9] * 20).reshape(1, 40) for _ in range(38)])
    scores = np.concatenate([np.zeros((1, 1, 40)), plateau, np.ones((1, 1, 40))])
    point = recognition_point(range(40), scores)
    assert (point.layer, point.low) == (1, 1)
    assert point.high > 35


def test_a_replicate_whose_ceiling_is_below_its_floor_has_its_point_at_the_last_cut():
    assert first_holding(np.array([[0.5, 0.1, 0.4], [0.0, 0.1, 0.4]]), 0.95, 0.0).tolist() == [2, 2]


def test_the_interval_narrows_with_more_items():
    rng = np.random.default_rng(2)
    means = np.array([0.0, 0.2, 0.4, 0.6, 0.7, 0.79, 0.8, 0.8, 0.8])

    def width(items):
        point = recognition_point(range(9), (rng.random((9, 3, items)) < means[:, None, None]).astype(float))
        return point.high - point.low

    assert width(3000) < width(10)


def test_the_interval_is_that_of_points_of_replicates_drawn_by_a_plain_loop():
    rng = np.random.default_rng(3)
    means = np.array([0.0, 0.3, 0.72, 0.75, 0.78, 0.8])
    scores = (rng.random((6, 3, 25)) < means[:, None, None]).astype(float)
    point = recognition_point(range(6), scores, resamples=4000)
    points = []
    for _ in range(1500):
        items = rng.integers(0, 25, size=25)  # all seeds ask the same items
        replicate = np.stack([scores[:, seed, items] for seed in rng.integers(0, 3, size=3)], axis=1)
        points.append(naive_point(list(range(6)), replicate))
    assert point.low == min(point.layer, np.quantile(points, 0.025, method="lower"))
    assert point.high == max(point.layer, np.quantile(points, 0.975, method="higher"))


def test_a_ceiling_that_is_not_above_zero_shot_gives_no_point_and_says_why():
    scores = flat([0.1, 0.5, 0.5])
    point = recognition_point([0, 1, 2], scores, scores[-1])
    assert (point.layer, point.low, point.high, point.zero_shot) == (None, None, None, 0.5)
    assert point.reason == (
        "the ceiling 0.5 is not significantly above zero-shot 0.5 (difference 0, 95 % interval 0 to 0), "
        "so nothing was recognised in context"
    )
    assert "\n" not in point.reason


def test_a_ceiling_that_is_not_above_the_floor_gives_no_point_and_says_why():
    point = recognition_point([0, 1, 2], flat([0.4, 0.1, 0.4]), np.zeros((2, 4)))
    assert point.layer is None
    assert "not significantly above floor 0.4" in point.reason
    assert "zero-shot" not in point.reason


def test_a_ceiling_below_both_controls_names_both():
    point = recognition_point([0, 1], flat([0.4, 0.2]), np.full((2, 4), 0.3))
    assert "floor 0.4 (difference -0.2" in point.reason
    assert "zero-shot 0.3 (difference -0.1" in point.reason


def test_a_gain_within_the_noise_gives_no_point_although_the_mean_is_higher():
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(3, 20))
    scores = np.stack([noise * 0, noise - noise.mean() + 0.05])
    point = recognition_point([0, 1], scores)
    assert point.ceiling > point.floor
    assert point.layer is None


def test_the_gain_is_judged_in_pairs():
    # Items differ far more than the ceiling gains, but every single item gains.
    hard = np.random.default_rng(5).normal(scale=10, size=(2, 30))
    scores = np.stack([hard, hard + 0.5])
    assert interval(hard).high > interval(hard + 0.5).low
    assert recognition_point([0, 1], scores, hard).layer == 1


def test_rounding_noise_is_no_gain():
    scores = np.random.default_rng(6).normal(scale=100, size=(2, 30))
    assert recognition_point([0, 1], np.stack([scores, scores + 1e-13])).layer is None


@pytest.mark.parametrize(("seeds", "items"), [(1, 30), (30, 1)])
def test_one_seed_or_one_item_will_do(seeds, items):
    point = recognition_point([0, 1, 2], flat([0.0, 1.0, 1.0], seeds, items), np.zeros((seeds, items)))
    assert (point.layer, point.low, point.high) == (1, 1, 1)


def test_one_item_under_one_seed_is_too_little_to_judge_by():
    point = recognition_point([0, 1, 2], flat([0.0, 1.0, 1.0], 1, 1))
    assert point.layer is None
    assert "use more items or seeds" in point.reason


def test_constant_scores_recognise_nothing():
    point = recognition_point([0, 1, 2], flat([0.3, 0.3, 0.3]))
    assert point.layer is None
    assert "not significantly above floor" in point.reason


def test_the_controls_have_the_intervals_that_they_have_alone():
    rng = np.random.default_rng(7)
    scores, zero = rng.random((3, 2, 20)) + np.arange(3)[:, None, None], rng.random((2, 20))
    point = recognition_point([0, 1, 2], scores, zero, seed=5)
    for ours, alone in (
        (point.ceiling_interval, interval(scores[2], seed=5)),
        (point.floor_interval, interval(scores[0], seed=5)),
        (point.zero_shot_interval, interval(zero, seed=5)),
        (point.gain_over_floor, interval(scores[2] - scores[0], seed=5)),
        (point.gain_over_zero_shot, interval(scores[2] - zero, seed=5)),
    ):
        assert (ours.mean, ours.low, ours.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_a_curve_has_the_interval_of_each_cut():
    scores = np.random.default_rng(8).random((3, 2, 20))
    points = curve([0, 4, 9], scores, seed=3)
    assert [point.cut for point in points] == [0, 4, 9]
    for point, row in zip(points, scores, strict=True):
        alone = interval(row, seed=3)
        assert (point.mean, point.low, point.high) == pytest.approx((alone.mean, alone.low, alone.high))


@pytest.mark.parametrize("cuts", [[1, 2, 3], [0, 2, 2], [-1, 0, 3]])
def test_cuts_without_the_floor_or_twice_the_same_are_refused(cuts):
    with pytest.raises(SettingError, match="cuts must"):
        recognition_point(cuts, flat([0.0, 1.0, 1.0]))


def test_cuts_without_the_ceiling_are_refused():
    with pytest.raises(SettingError, match="cuts must end with 12, the number of layers"):
        recognition_point([0, 4, 8], flat([0.0, 1.0, 1.0]), num_layers=12)
    with pytest.raises(SettingError, match=r"found 0$"):
        recognition_point([0], flat([0.0]))


def test_scores_of_another_number_of_cuts_are_refused():
    with pytest.raises(SettingError, match="found 3 rows for 2 cuts"):
        recognition_point([0, 1], flat([0.0, 1.0, 1.0]))


def test_shapes_that_do_not_fit_are_refused_also_where_annotations_are_not_checked():
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(SettingError, match=r"zero_shot must have shape \(2, 4\) as scores have, found \(2, 3\)"):
            recognition_point([0, 1], flat([0.0, 1.0]), np.zeros((2, 3)))
        with pytest.raises(SettingError, match="found an array of shape"):
            recognition_point([0, 1], np.zeros((2, 4)))
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_a_missing_score_is_refused_and_never_averaged_over():
    scores = flat([0.0, 1.0, 1.0])
    scores[1, 0, 3] = np.nan
    with pytest.raises(SettingError, match="row 1, seed 0, item 3"):
        recognition_point([0, 1, 2], scores)
    with pytest.raises(SettingError, match="zero_shot hold"):
        recognition_point([0, 1, 2], flat([0.0, 1.0, 1.0]), scores[1])


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(SettingError, match="share must be"):
        recognition_point([0, 1], flat([0.0, 1.0]), share=share)


@pytest.mark.parametrize(
    "values",
    [
        {"layer": None, "low": None, "high": None},
        {"layer": None, "low": 1, "high": 2, "reason": "because"},
        {"layer": 3, "low": None, "high": 4},
        {"layer": 3, "low": 4, "high": 5},
        {"layer": 3, "low": 3, "high": 3, "reason": "because"},
    ],
)
def test_a_point_that_contradicts_itself_is_refused(values):
    with pytest.raises(SettingError):
        RecognitionPoint(ceiling=1.0, floor=0.0, **values)


def test_a_full_sized_sweep_takes_a_moment():
    scores = np.random.default_rng(9).random((13, 5, 500)) + np.arange(13)[:, None, None]
    started = time.process_time()
    recognition_point(range(13), scores, scores[0])
    assert time.process_time() - started < 2.0
