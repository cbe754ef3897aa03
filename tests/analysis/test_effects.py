"""Which layers are critical, which redundant: the paired difference to the full score decides."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from taskpoint.analysis.corpus.bleu import CorpusBleu
from taskpoint.analysis.effects import LayerEffects, layer_effects
from taskpoint.errors import SettingError

SEEDS, ITEMS = 2, 60


def effects(*without: np.ndarray, full: np.ndarray | None = None, share: float = 0.05) -> LayerEffects:
    full = np.ones((SEEDS, ITEMS)) if full is None else full
    return layer_effects(np.stack([*without, full]), share=share)


def losing(items: int) -> np.ndarray:
    """Right answers, but for some items."""
    scores = np.ones((SEEDS, ITEMS))
    scores[:, :items] = 0
    return scores


def test_what_is_lost_for_sure_is_critical_and_what_is_kept_for_sure_redundant() -> None:
    found = effects(losing(ITEMS), losing(0), losing(3), losing(20))
    assert found.verdicts == ("critical", "redundant", "undecided", "critical")
    assert [change.mean for change in found.changes] == pytest.approx([-1, 0, -3 / ITEMS, -20 / ITEMS])
    assert found.layers("critical") == (0, 3)
    assert found.last_critical == 4


def test_a_better_score_without_a_layer_is_neither_critical_nor_redundant() -> None:
    assert effects(losing(0), full=losing(20)).verdicts == ("undecided",)


def test_differences_are_paired_so_that_hard_items_do_not_widen_them() -> None:
    hard = np.random.default_rng(0).random((SEEDS, ITEMS))
    found = effects(hard - 0.001, hard / 2, full=hard)
    assert found.full.high - found.full.low > 0.1
    assert found.changes[0].high - found.changes[0].low < 1e-9
    assert found.verdicts == ("redundant", "critical")


def test_a_larger_share_makes_no_further_layer_critical() -> None:
    without = [losing(items) for items in range(0, ITEMS, 4)]
    sets = [set(effects(*without, share=share).layers("critical")) for share in (0.01, 0.05, 0.2, 0.5, 0.9)]
    assert all(later < earlier for earlier, later in itertools.pairwise(sets))


@pytest.mark.parametrize("full", [np.zeros((SEEDS, ITEMS)), np.eye(1, SEEDS * ITEMS).reshape(SEEDS, ITEMS)])
def test_where_the_full_score_is_not_above_zero_nothing_is_said(full: np.ndarray) -> None:
    found = effects(np.zeros((SEEDS, ITEMS)), full=full)
    assert found.reason is not None
    assert "not above 0" in found.reason
    assert found.verdicts == ("undecided",)
    assert math.isnan(found.last_critical)
    assert np.isnan(found.last_critical_replicates).all()


def test_one_answer_has_no_spread_to_judge_by() -> None:
    found = layer_effects(np.array([[[0.0]], [[1.0]]]), share=0.05)
    assert found.reason == "one answer has no spread to judge by"
    assert found.verdicts == ("undecided",)


def test_replicates_judge_other_draws_and_lie_around_the_last_critical_layer() -> None:
    found = effects(losing(0), losing(ITEMS), losing(10), losing(0))
    assert found.last_critical == 3
    points = found.last_critical_replicates
    assert set(points) <= {2.0, 3.0}  # layer 1 is critical in every draw, layer 3 in none
    assert np.mean(points == 3) > 0.4
    assert np.isnan(effects(losing(0)).last_critical_replicates).all()


def test_corpus_scores_are_held_against_each_other_too() -> None:
    counts = np.zeros((2, 1, 30, CorpusBleu().counts))
    counts[1] = 10
    found = layer_effects(counts, share=0.05, statistic=CorpusBleu())
    assert found.full.mean == pytest.approx(100)
    assert found.changes[0].mean == pytest.approx(-100)
    assert found.verdicts == ("critical",)


@pytest.mark.parametrize(
    ("scores", "share", "says"),
    [
        (np.ones((2, 1, 4)), 0.0, "share must be between 0 and 1"),
        (np.ones((2, 1, 4)), 1.0, "share must be between 0 and 1"),
        (np.ones((1, 1, 4)), 0.05, "of 1 variants"),
        (np.full((2, 1, 4), np.nan), 0.05, "NaN or infinite"),
        (np.ones((2, 0, 4)), 0.05, "at least one seed"),
    ],
)
def test_what_cannot_be_judged_is_refused(scores: np.ndarray, share: float, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        layer_effects(scores, share=share)
