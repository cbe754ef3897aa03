"""Whether the point moves with the number of examples is said by a test, and the test keeps what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskpoint.analysis.loss import gap_share
from taskpoint.analysis.movement import holm, movement, two_sided
from taskpoint.errors import SettingError

CUTS = list(range(9))
SHOTS = (1, 3, 5, 9)


def answers(
    draw: np.random.Generator, middle: dict[int, float], seeds: int = 3, items: int = 60
) -> dict[int, np.ndarray]:
    """Right or wrong by number of examples: a rise over the cuts, items of several difficulties, luck of the seeds."""
    hard, luck = draw.normal(0, 1, items), draw.normal(0, 0.3, seeds)
    made = {}
    for shots, at in middle.items():
        height = 1.5 * (np.array(CUTS)[:, None, None] - at) + luck[:, None] + hard
        made[shots] = (draw.uniform(size=height.shape) < 1 / (1 + np.exp(-height))).astype(float)
    return made


def test_no_movement_is_not_rejected_more_often_than_the_level_says() -> None:
    draw, middle = np.random.default_rng(0), dict.fromkeys(SHOTS, 4.0)
    for seeds, items in ((1, 120), (3, 60)):
        found = [movement(CUTS, answers(draw, middle, seeds, items), resamples=200, seed=n) for n in range(200)]
        assert np.std([it.slope.mean for it in found if it.slope is not None]) > 0.01  # the points do vary
        assert sum(it.moves is True for it in found) <= 0.05 * len(found)
        assert sum(any(pair.p < 0.05 for pair in it.pairs) for it in found) <= 0.05 * len(found)


@pytest.mark.parametrize(("slope", "share"), [(0.35, 0.9), (-0.35, 0.9)])
def test_a_planted_shift_is_found(slope: float, share: float) -> None:
    draw = np.random.default_rng(1)
    middle = {shots: 4.0 + slope * (shots - 5) for shots in SHOTS}
    found = [movement(CUTS, answers(draw, middle, 1, 200), resamples=1000, seed=n) for n in range(25)]
    assert sum(it.moves is True for it in found) >= share * len(found)
    for it in found:
        assert it.slope is not None
        assert np.sign(it.slope.mean) == np.sign(slope)
        assert it.slope.low <= it.slope.mean <= it.slope.high
    ends = [pair for it in found for pair in it.pairs if (pair.fewer, pair.more) == (1, 9)]
    assert np.mean([pair.p < 0.05 for pair in ends]) >= share
    assert np.mean([pair.later - pair.earlier for pair in ends]) * np.sign(slope) > 0.9


def test_what_an_item_does_to_all_numbers_of_examples_is_no_movement() -> None:
    """The same answers under every number: paired replicates have a slope of exactly 0, whatever they draw."""
    one = answers(np.random.default_rng(2), {1: 4.0})[1]
    found = movement(CUTS, dict.fromkeys(SHOTS, one))
    assert found.slope is not None
    assert (found.slope.low, found.slope.mean, found.slope.high) == (0, 0, 0)
    assert found.p == 1
    assert {(pair.later, pair.earlier, pair.p) for pair in found.pairs} == {(0.0, 0.0, 1.0)}


def test_a_point_that_is_undefined_too_often_says_so() -> None:
    given = answers(np.random.default_rng(3), dict.fromkeys(SHOTS, 4.0), seeds=1, items=6)
    given[3] = np.broadcast_to(given[3][-1:], given[3].shape)  # the same at every cut
    found = movement(CUTS, given)
    assert found.slope is found.p is found.moves is None
    assert found.reason is not None
    assert "1, 3, 5 and 9 examples" in found.reason
    assert "100% of the bootstrap replicates" in found.reason


def test_a_zero_shot_as_good_as_the_ceiling_leaves_nothing_to_move() -> None:
    given = answers(np.random.default_rng(4), dict.fromkeys(SHOTS, 4.0))
    assert movement(CUTS, given, np.zeros((3, 60))).slope is not None
    assert movement(CUTS, given, np.ones((3, 60))).slope is None


def test_cuts_in_any_order_give_the_same() -> None:
    given = answers(np.random.default_rng(5), {1: 3.0, 5: 5.0})
    turned = {shots: scores[::-1] for shots, scores in given.items()}
    assert movement(CUTS, given) == movement(CUTS[::-1], turned)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_no_correction_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    corrected = holm(p)
    for before, after in zip(p, corrected, strict=True):
        assert before <= after <= min(1.0, len(p) * before) + 1e-12
    ranks = sorted(range(len(p)), key=lambda each: p[each])
    assert [corrected[each] for each in ranks] == sorted(corrected)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))


def test_replicates_at_zero_speak_for_both_sides() -> None:
    assert two_sided(np.zeros(99)) == 1
    assert two_sided(np.array([0.0] * 3 + [1.0] * 96)) == pytest.approx(2 * (0.5 + 1.5) / 100)
    assert two_sided(np.array([1.0] * 99)) == pytest.approx(0.01)
    assert two_sided(np.array([-1.0] * 49 + [1.0] * 50)) == pytest.approx(0.99)


@pytest.mark.parametrize("scores", [{}, {1: np.ones((9, 2, 3))}, {1: np.ones((9, 2, 3)), 2: np.ones((9, 2, 4))}])
def test_what_cannot_be_compared_is_refused(scores: dict[int, np.ndarray]) -> None:
    with pytest.raises(SettingError):
        movement(CUTS, scores)


@pytest.mark.parametrize(
    ("score", "share"),
    [
        (20.0, 0.8),  # the translator: 30 lost, of which a prompt without examples would lose 6
        (44.0, 0.0),  # as much as zero-shot
        (47.0, 0.0),  # less than zero-shot loses
        (50.0, None),  # nothing lost
        (51.0, None),
    ],
)
def test_the_price_of_the_gap_by_hand(score: float, share: float | None) -> None:
    assert gap_share(score, 50.0, 44.0) == pytest.approx(share)


@settings(max_examples=50)
@given(st.floats(-10, 100), st.floats(-10, 100), st.floats(-10, 100))
def test_the_price_of_the_gap_is_a_share(score: float, ceiling: float, zero_shot: float) -> None:
    share = gap_share(score, ceiling, zero_shot)
    assert share is None or 0 <= share <= 1
