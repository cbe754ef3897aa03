"""Whether two experiments say the same of a model's layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from taskpoint.analysis.agreement import agreement, rank_correlation
from taskpoint.analysis.layers import LayerValues
from taskpoint.errors import SettingError

stats = pytest.importorskip("scipy.stats")


def said(mean: np.ndarray, pointed: int, spread: float = 0.05, draws: int = 400, seed: int = 0) -> LayerValues:
    """What an experiment says whose draws lie about a mean."""
    chance = np.random.default_rng(seed)
    replicates = mean + spread * chance.normal(size=(draws, len(mean)))
    return LayerValues("said", mean, replicates, float(pointed), np.round(pointed + 0.4 * chance.normal(size=draws)))


few = st.integers(-3, 3).map(float)


@given(values=hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(2, 12)), elements=few))
def test_rank_correlations_are_those_of_scipy_also_where_values_are_equal(values: np.ndarray) -> None:
    one, other = values
    [found] = rank_correlation(one[None], other[None])
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(one, other).statistic)


def test_experiments_that_order_layers_alike_agree_and_an_order_by_chance_holds_zero() -> None:
    rising = np.arange(12.0)
    alike = agreement(said(rising, 5), said(rising**3, 5, seed=1)).correlation
    assert alike is not None
    assert (alike.mean, alike.low > 0.9) == (1.0, True)
    opposite = agreement(said(rising, 5), said(-rising, 5)).correlation
    assert opposite is not None
    assert opposite.mean == -1.0
    noise = agreement(said(np.zeros(12) + 1e-9 * rising, 5, spread=1), said(rising, 5, spread=9, seed=2)).correlation
    assert noise is not None
    assert noise.low < 0 < noise.high


def test_an_experiment_is_not_paired_with_its_own_luck() -> None:
    """Equal draws on both sides would make noise look like agreement."""
    flat = said(np.zeros(8) + 1e-12 * np.arange(8), 3, spread=1.0)
    found = agreement(flat, flat).correlation
    assert found is not None
    assert found.low < 0.3


def test_two_points_are_the_same_where_their_difference_may_be_zero() -> None:
    layers = np.arange(10.0)
    near, far = said(layers, 5), said(layers, 8, seed=3)
    assert agreement(near, said(layers, 5, seed=4)).same_layer is True
    apart = agreement(near, far)
    assert apart.apart is not None
    assert apart.apart.mean == -3
    assert apart.same_layer is False


def test_nothing_is_said_of_a_layer_that_an_experiment_does_not_point_at() -> None:
    layers = np.arange(6.0)
    nowhere = LayerValues("nowhere", layers, np.tile(layers, (9, 1)), float("nan"), np.full(9, np.nan))
    found = agreement(nowhere, said(layers, 2))
    assert found.apart is None
    assert found.same_layer is None
    assert found.correlation is not None
    seldom = LayerValues("seldom", layers, np.tile(layers, (9, 1)), 3.0, np.array([3.0] * 4 + [np.nan] * 5))
    assert agreement(seldom, said(layers, 2)).apart is None


def test_an_experiment_that_says_the_same_of_all_layers_has_no_order() -> None:
    flat = LayerValues("flat", np.ones(5), np.ones((9, 5)), 1.0, np.ones(9))
    assert agreement(flat, said(np.arange(5.0), 2)).correlation is None


def test_experiments_on_models_of_different_depth_are_refused() -> None:
    with pytest.raises(SettingError, match="of 6 layers and 'said' of 7"):
        agreement(said(np.arange(6.0), 2), said(np.arange(7.0), 2))


@pytest.mark.parametrize("wrong", ["values", "replicates"])
def test_values_that_are_no_numbers_are_refused(wrong: str) -> None:
    given = {"values": np.zeros(3), "replicates": np.zeros((4, 3))}
    given[wrong] = np.full_like(given[wrong], np.nan)
    with pytest.raises(SettingError, match="said: some values"):
        LayerValues("said", given["values"], given["replicates"], 1.0, np.ones(4))
