"""The cliff among layers: found where it is, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from taskpoint.analysis.cliff import Cliff, cliff, cliffs
from taskpoint.errors import SettingError

# Paper A, LoRA on one layer of Llama-3.1-8B, 800 pairs: BLEU by layer, counted from 1 (read off the figure).
PAPER = {1: 39.5, 4: 39.4, 8: 40.4, 9: 41.2, 10: 41.2, 11: 41.2, 13: 41.1, 14: 40.7, 15: 37.7, 16: 16.4, 17: 20.3}
PAPER |= {18: 19.0, 19: 12.5, 20: 10.9, 24: 9.6, 28: 8.8, 32: 7.9}


def draws(values: np.ndarray, noise: float, count: int = 500) -> np.ndarray:
    return values + np.random.default_rng(0).normal(0, noise, (count, len(values)))


def test_the_cliff_of_the_paper_lies_between_its_layers_15_and_16() -> None:
    layers, values = np.array(list(PAPER)) - 1, np.array(list(PAPER.values()))
    found = cliff(layers, values, draws(values, 1.0))
    assert (found.layer, found.low, found.high) == (15, 15, 15)
    assert found.before is not None
    assert found.after is not None
    assert found.drop is not None
    assert found.before == pytest.approx(40.27, abs=0.05)
    assert found.after < 14
    assert found.drop.low < found.before - found.after < found.drop.high


def test_two_levels_are_told_apart_wherever_the_step_is_and_noise_widens_the_interval() -> None:
    layers = np.arange(10)
    for place in range(1, 10):
        values = np.where(layers < place, 0.9, 0.1)
        assert cliff(layers, values, draws(values, 0.01)).layer == place
    soft = np.array([0.9, 0.9, 0.9, 0.9, 0.8, 0.5, 0.1, 0.1, 0.1, 0.1])
    wide = cliff(layers, soft, draws(soft, 0.08))
    assert wide.low is not None
    assert wide.high is not None
    assert wide.low < wide.high
    assert (cliffs(layers, draws(soft, 0.0)) == wide.layer).all()


def test_layers_that_are_alike_have_a_cliff_no_more_often_than_chance_allows() -> None:
    random = np.random.default_rng(1)
    found = 0
    for _ in range(400):
        noise = random.normal(0, 0.02, 12)
        found += cliff(np.arange(12), 0.5 + noise, 0.5 + noise + random.normal(0, 0.02, (400, 12))).layer is not None
    assert found <= 400 * 0.08


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.5], "fewer than 2 layers"),
        ([0.1, 0.2, 0.3, 0.4], "no layer gives more"),
        ([0.5, 0.5, 0.5], "no layer gives more"),
        ([0.50, 0.51, 0.50, 0.49], "no larger than chance"),
        ([0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1], "two levels tell less than half"),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], "a straight line tells more"),
    ],
)
def test_where_there_is_no_cliff_the_reason_is_said(values: list[float], reason: str) -> None:
    scores = np.array(values)
    found = cliff(np.arange(len(values)), scores, draws(scores, 0.02))
    assert found.layer is None
    assert found.reason is not None
    assert reason in found.reason


def test_a_cliff_without_its_interval_cannot_be_made() -> None:
    for wrong in ({"layer": None}, {"layer": 3}, {"layer": 3, "low": 4, "high": 5}, {"layer": 3, "reason": "why"}):
        with pytest.raises(SettingError, match="cliff"):
            Cliff(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0.1, 1 / 3, 0.7])
def test_layers_that_are_all_alike_have_no_cliff(level: float) -> None:
    """The sums of equal numbers differ by rounding, and a share of no variance is none."""
    layers = np.arange(12)
    found = cliff(layers, np.full(12, level), np.full((50, 12), level))
    assert found.layer is None
    assert found.reason == "no layer gives more than those above it"
