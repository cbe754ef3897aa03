"""The cliff: the layer from which on what is measured layer by layer falls to another level, and stays there.

Legend: L measured layers, R replicates, k layers before the cliff.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from taskpoint.analysis.intervals import Interval, interval_ends, percentile_interval
from taskpoint.errors import SettingError

# Shares of the variance that are equal on paper must be so in floating point too.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Cliff:
    """Where the score falls, or why that cannot be said.

    Attributes:
        layer: the first layer behind the cliff, so that as many layers stand before it; None when undefined.
        low: lower end of its bootstrap interval.
        before: mean score of the layers before it.
        after: mean score of the others.
        drop: the difference of the two, with its interval.
        reason: why there is none, in words; None where there is one.

    Raises:
        SettingError: a layer outside its interval, or neither layer nor reason.
    """

    layer: int | None
    low: int | None = None
    high: int | None = None
    before: float | None = None
    after: float | None = None
    drop: Interval | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.layer is None) != (self.reason is not None):
            raise SettingError("a cliff needs either a layer or a reason why there is none")
        if self.layer is not None and not (
            self.low is not None and self.high is not None and self.low <= self.layer <= self.high
        ):
            raise SettingError(f"cliff {self.layer} lies outside its interval {self.low} to {self.high}")


def cliff(
    layers: Int[np.ndarray, " L"],
    values: Float[np.ndarray, " L"],
    replicates: Float[np.ndarray, "R L"],
    *,
    level: float = 0.95,
) -> Cliff:
    """The two levels that fit best in least squares, the first above the second, and the layer between them.

    The drop counts where it is larger than chance makes it: than the largest one of the layers' deviations from their
    scores in `level` of the replicates (the bootstrap under the hypothesis that all layers are alike; Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, section 4.4). Where two levels leave more than half of
    the variance among the layers, or more than a straight line leaves, there is no cliff.

    Args:
        layers: their numbers, ascending.
        values: the score of each.
        replicates: the same in other draws of items and seeds.
        level: of the intervals and of the test.
    """
    interval_ends(level)
    if len(layers) < 2:
        return Cliff(None, reason="fewer than 2 layers were measured")
    places, drops = _fall(values[None])
    place, drop = int(places[0]), float(drops[0])
    if drop <= 0 or not np.ptp(values):  # of equal values rounding makes a drop
        return Cliff(None, reason="no layer gives more than those above it")
    chance = float(np.quantile(_fall(replicates - values)[1], level))
    if drop <= chance:
        return Cliff(
            None, reason=f"the largest drop, {drop:.3g}, is no larger than chance makes it among layers that are alike"
        )
    left = _left(values, place)
    if left > 0.5:
        return Cliff(None, reason="the score goes up and down: two levels tell less than half of it")
    if left > _left_by_a_line(layers, values) + _ROUNDING:
        return Cliff(None, reason="the score falls little by little: a straight line tells more of it than two levels")
    drawn = layers[_fall(replicates)[0]]
    low, high = np.quantile(drawn, interval_ends(level), method="inverted_cdf")
    found = int(layers[place])
    resampled = replicates[:, :place].mean(1) - replicates[:, place:].mean(1)
    return Cliff(
        layer=found,
        low=min(int(low), found),
        high=max(int(high), found),
        before=float(values[:place].mean()),
        after=float(values[place:].mean()),
        drop=percentile_interval(drop, resampled, level=level),
    )


def cliffs(layers: Int[np.ndarray, " L"], replicates: Float[np.ndarray, "R L"]) -> Float[np.ndarray, " R"]:
    """The first layer behind the cliff in each replicate, whether or not chance could make it."""
    found: Float[np.ndarray, " R"] = layers[_fall(replicates)[0]].astype(np.float64)
    return found


def _fall(values: Float[np.ndarray, "R L"]) -> tuple[Int[np.ndarray, " R"], Float[np.ndarray, " R"]]:
    """Where two levels fit best among those that fall, counted in layers before it, and the drop between them.

    Least squares of two levels leave the less, the larger k (L - k) / L times the squared difference of their means is.
    """
    count = values.shape[1]
    k = np.arange(1, count)
    sums = np.cumsum(values, axis=1)
    before = sums[:, :-1] / k
    after = (sums[:, -1:] - sums[:, :-1]) / (count - k)
    drops = before - after  # [R, L - 1]
    gained = np.where(drops > 0, drops**2, -(drops**2)) * k * (count - k)
    best = gained.argmax(1)
    return best + 1, np.take_along_axis(drops, best[:, None], 1)[:, 0]


def _left(values: Float[np.ndarray, " L"], place: int) -> float:
    """Share of the variance among the layers that two levels leave."""
    before, after = values[:place], values[place:]
    left = float(((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum())
    return left / float(((values - values.mean()) ** 2).sum())


def _left_by_a_line(layers: Int[np.ndarray, " L"], values: Float[np.ndarray, " L"]) -> float:
    """Share of the variance among the layers that the straight line of least squares leaves."""
    return 1.0 - float(np.corrcoef(layers, values)[0, 1]) ** 2
