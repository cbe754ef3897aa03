"""Do two experiments say the same of a model's layers?

Shapes: N layers, R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from taskpoint.analysis.intervals import Interval, percentile_interval
from taskpoint.analysis.layers import LayerValues
from taskpoint.errors import SettingError

# Replicates at least in which an experiment has to point at a layer, as a share of all of them.
_POINTED = 0.5


@dataclass(frozen=True)
class Agreement:
    """How far two experiments agree.

    The experiments are drawn anew independently of each other, so an interval is that of other items and seeds in both.
    Noise in either makes a correlation smaller, not greater.

    Attributes:
        correlation: Spearman's rank correlation over layers; None where one of the two says the same of all layers.
        apart: the layer that the first points at minus that of the second; None where one of them points at none.
    """

    correlation: Interval | None
    apart: Interval | None

    @property
    def same_layer(self) -> bool | None:
        """Whether the two may point at the same layer: the interval of the difference holds 0."""
        return None if self.apart is None else self.apart.low <= 0 <= self.apart.high


def agreement(one: LayerValues, other: LayerValues, *, level: float = 0.95) -> Agreement:
    """How far two experiments on one model agree.

    Raises:
        SettingError: they are of another number of layers.
    """
    if one.values.shape != other.values.shape:
        raise SettingError(
            f"{one.what!r} is of {len(one.values)} layers and {other.what!r} of {len(other.values)}; expected two "
            "experiments on one model"
        )
    return Agreement(_correlation(one, other, level), _apart(one, other, level))


def rank_correlation(one: Float[np.ndarray, "R N"], other: Float[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
    """Spearman's rank correlation of each row with the same row of the other; NaN where a row is constant.

    Equal values share the mean of their ranks (Spearman 1904; scipy.stats.spearmanr computes the same).
    """
    ranks = [_ranks(values) for values in (one, other)]
    a, b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, " R"] = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return found


def _ranks(values: Float[np.ndarray, "R N"]) -> Float[np.ndarray, "R N"]:
    """Ranks within each row, those of equal values their mean."""
    below = (values[:, :, None] > values[:, None, :]).sum(axis=2)
    equal = (values[:, :, None] == values[:, None, :]).sum(axis=2)
    ranks: Float[np.ndarray, "R N"] = below + (equal - 1) / 2
    return ranks


def _correlation(one: LayerValues, other: LayerValues, level: float) -> Interval | None:
    [observed] = rank_correlation(one.values[None], other.values[None])
    if np.isnan(observed):
        return None
    draws = min(len(one.replicates), len(other.replicates))
    # The draws of the two are independent; turned by half, equal seeds of their generators pair none with its like.
    turned = np.roll(other.replicates[:draws], draws // 2, axis=0)
    found = rank_correlation(one.replicates[:draws], turned)
    return percentile_interval(float(observed), found[~np.isnan(found)], level=level)


def _apart(one: LayerValues, other: LayerValues, level: float) -> Interval | None:
    observed = one.pointed - other.pointed
    draws = min(len(one.pointed_replicates), len(other.pointed_replicates))
    found = one.pointed_replicates[:draws] - np.roll(other.pointed_replicates[:draws], draws // 2)
    known = found[~np.isnan(found)]
    if np.isnan(observed) or len(known) < _POINTED * draws:
        return None
    return percentile_interval(float(observed), known, level=level)
