"""How far down a cut may go before it costs more of the score than it may.

Legend: C evaluated cuts, S seeds, I items, R resamples, N layers, r cut (number of layers that see the hidden tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Real

from taskpoint.analysis.intervals import Interval, Mean, Statistic, interval_ends
from taskpoint.analysis.recognition import first_lasting, in_order
from taskpoint.errors import SettingError

# A mean that equals the threshold on paper must reach it in floating point too.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class LowestCut:
    """The lowest cut that keeps a share of the ceiling, with the bootstrap interval of confidence `level`.

    Attributes:
        cut: the smallest evaluated cut from which on every score is at least `share` x ceiling.
        low: lower end of its interval, itself an evaluated cut.
        ceiling: score at the largest cut, N.
        replicates: the cut in every bootstrap replicate. [R]
    """

    cut: int
    low: int
    high: int
    ceiling: float
    share: float
    level: float
    replicates: Int[np.ndarray, " R"]

    def above(self, other: LowestCut) -> Interval:
        """By how many layers it lies above another one, which the same items and seeds gave: paired replicates."""
        low, high = np.quantile(self.replicates - other.replicates, interval_ends(self.level))
        return Interval(float(self.cut - other.cut), float(low), float(high))


def lowest_cut(
    cuts: Sequence[int] | Int[np.ndarray, " C"],
    scores: Real[np.ndarray, "C S I *n"],
    *,
    statistic: Statistic | None = None,
    share: float = 0.98,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> LowestCut:
    """The smallest evaluated cut from which on every score is at least share x the score at the largest cut.

    Other than the recognition point it asks nothing of the floor: what counts is what a user of the cut would lose.
    Scores, their order, draws and the ends of the interval are those of `recognition_point`.

    Raises:
        SettingError: as `recognition_point`; but any cuts will do.
    """
    if not 0.0 < share <= 1.0:
        raise SettingError(f"share must be above 0 and at most 1, such as 0.98, found {share}")
    tail, head = interval_ends(level)
    statistic = statistic or Mean()
    order, values = in_order(cuts, scores, statistic)
    means = statistic.observed(values)
    every = np.concatenate([means[None], statistic.resampled(values, resamples=resamples, seed=seed)])  # [1 + R, C]
    threshold = share * every[:, -1:]
    found = order[first_lasting(every >= threshold - _ROUNDING * np.abs(threshold))]
    cut, replicates = int(found[0]), found[1:]
    return LowestCut(
        cut=cut,
        low=min(cut, int(np.quantile(replicates, tail, method="lower"))),
        high=max(cut, int(np.quantile(replicates, head, method="higher"))),
        ceiling=float(means[-1]),
        share=share,
        level=level,
        replicates=replicates,
    )
