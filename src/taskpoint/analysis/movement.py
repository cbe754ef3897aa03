"""Does the recognition point move with the number of examples?

Legend: K numbers of examples, C evaluated cuts, S seeds, I items, R resamples, n counts of an answer where it has some.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real
from numpy.typing import NDArray

from taskpoint.analysis.intervals import Interval, Mean, Statistic, percentile_interval
from taskpoint.analysis.recognition import first_holding, in_order
from taskpoint.errors import SettingError

MOST_UNDEFINED = 0.05
"""Share of replicates that may have no point before nothing is said of a movement."""


@dataclass(frozen=True)
class Pair:
    """Two numbers of examples compared.

    Attributes:
        difference: point with `more` examples minus point with `fewer`, in layers.
        later: share of the replicates in which the point with `more` examples lies later.
        earlier: share of the replicates in which it lies earlier.
        p: two-sided p-value, corrected by Holm for all pairs.
    """

    fewer: int
    more: int
    difference: Interval
    later: float
    earlier: float
    p: float


@dataclass(frozen=True)
class Movement:
    """How the recognition point goes with the number of examples.

    Attributes:
        shots: the numbers of examples, ascending.
        slope: least-squares slope of the point over the numbers, layers per example; None where nothing can be said.
        p: two-sided p-value of slope 0; None as `slope`.
        undefined: share of the replicates in which some number of examples had no point; they are left out.
        reason: why there is no slope, in words and numbers.
    """

    shots: tuple[int, ...]
    slope: Interval | None
    p: float | None
    pairs: tuple[Pair, ...]
    undefined: float
    reason: str | None = None
    level: float = 0.95

    @property
    def moves(self) -> bool | None:
        """Whether slope 0 is rejected at this level; None where nothing can be said."""
        return None if self.p is None else self.p < 1 - self.level


def movement(
    cuts: Sequence[int],
    scores: Mapping[int, Real[np.ndarray, "C S I *n"]],
    zero_shot: Real[np.ndarray, "S I *n"] | None = None,
    *,
    statistic: Statistic | None = None,
    share: float = 0.95,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Movement:
    """A paired bootstrap of the points of several numbers of examples, and of their slope over these numbers.

    Every replicate draws seeds and items once for all numbers of examples (`resampled_means`), so that what an item or
    a draw of examples does to all of them is no difference between them. A replicate has no point where its ceiling is
    not above its floor, or above `zero_shot`. The p-value inverts the percentile interval: twice the smaller share of
    replicates on either side of 0, half of those at 0 on each, one added (Davison and Hinkley, *Bootstrap Methods and
    their Application*, 1997, section 4.4). Pairs are corrected by Holm (1979).

    The test is cautious: points are whole layers, resampling adds its own dips to a curve, and draws of seeds count the
    noise of single answers again. In simulations at a level of 5 % it rejected no movement in 0 to 1 of 100 cases; a
    movement of a quarter of a layer an example, from 1 to 9 examples, it found in 93 of 100 (3 seeds, 60 items).

    The `cuts`, 0 and N among them, are the same for every number of examples; so are seeds and items of `scores` and
    `zero_shot`. Other arguments as for `recognition_point`.

    Raises:
        SettingError: fewer than two numbers of examples, scores of different shapes, or as `recognition_point`.
    """
    if len(scores) < 2:
        raise SettingError(f"a movement needs at least two numbers of examples, found {len(scores)}")
    statistic = statistic or Mean()
    shots = tuple(sorted(scores))
    shapes = {np.shape(scores[each]) for each in shots}
    if len(shapes) > 1:
        raise SettingError(f"scores must have one shape for all numbers of examples, found {sorted(shapes)}")
    ordered = [in_order(cuts, scores[each], statistic) for each in shots]
    order, count = ordered[0][0], len(cuts)
    variants = [values for _, values in ordered]
    if zero_shot is not None:
        variants.append(statistic.checked(np.asarray(zero_shot)[None], "zero_shot"))
    stacked = np.concatenate(variants)
    observed = statistic.observed(stacked)[None]
    points, defined = _points(order, observed, len(shots), count, share)
    drawn = statistic.resampled(stacked, resamples=resamples, seed=seed)
    replicates, kept = _points(order, drawn, len(shots), count, share)
    undefined = float(1 - kept.mean())
    if not defined[0] or undefined > MOST_UNDEFINED:
        reason = (
            f"with {_listed(shots)} examples the point is undefined in {undefined:.0%} of the bootstrap replicates "
            "(the ceiling is not above the floor or zero-shot there): use more items or seeds"
        )
        return Movement(shots, None, None, (), undefined, reason, level)
    replicates = replicates[kept]
    slopes = _slopes(shots, replicates)
    pairs = []
    for one, other in itertools.combinations(range(len(shots)), 2):
        differences = replicates[:, other] - replicates[:, one]
        told = percentile_interval(float(points[0, other] - points[0, one]), differences, level=level)
        later, earlier = float((differences > 0).mean()), float((differences < 0).mean())
        pairs.append(Pair(shots[one], shots[other], told, later, earlier, two_sided(differences)))
    corrected = holm([pair.p for pair in pairs])
    return Movement(
        shots=shots,
        slope=percentile_interval(float(_slopes(shots, points)[0]), slopes, level=level),
        p=two_sided(slopes),
        pairs=tuple(
            Pair(it.fewer, it.more, it.difference, it.later, it.earlier, p)
            for it, p in zip(pairs, corrected, strict=True)
        ),
        undefined=undefined,
        level=level,
    )


def two_sided(replicates: Float[np.ndarray, " R"] | NDArray[np.float64]) -> float:
    """The p-value of 0 under bootstrap replicates: twice the smaller tail, half of the ties in each, one added."""
    ties = float((replicates == 0).sum()) / 2
    smaller = min(float((replicates < 0).sum()), float((replicates > 0).sum()))
    return min(1.0, 2 * (0.5 + smaller + ties) / (1 + len(replicates)))


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected for their number; Holm, "A simple sequentially rejective multiple test procedure" (1979)."""
    corrected, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda each: p[each])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = largest
    return tuple(corrected)


def _slopes(shots: Sequence[int], points: Float[np.ndarray, "R K"]) -> Float[np.ndarray, " R"]:
    """Least-squares slopes, in whole numbers up to the last division: a slope of 0 is exactly 0."""
    numbers = np.array(shots, dtype=np.float64)
    rise: Float[np.ndarray, " R"] = points @ (len(shots) * numbers - numbers.sum())
    rise /= len(shots) * (numbers**2).sum() - numbers.sum() ** 2
    return rise


def _points(
    cuts: NDArray[np.int64], means: Float[np.ndarray, "R V"], numbers: int, count: int, share: float
) -> tuple[Float[np.ndarray, "R K"], Bool[np.ndarray, " R"]]:
    """The point of every number of examples in each row, and the rows in which all of them are defined."""
    points, defined = [], np.ones(len(means), dtype=bool)
    rounding = 1e-12 * float(np.abs(means).max())
    for number in range(numbers):
        curves = means[:, number * count : (number + 1) * count]
        points.append(cuts[first_holding(curves, share, rounding)])
        defined &= curves[:, -1] > curves[:, 0] + rounding
        if means.shape[1] > numbers * count:
            defined &= curves[:, -1] > means[:, -1] + rounding
    return np.stack(points, axis=1).astype(np.float64), defined


def _listed(shots: Sequence[int]) -> str:
    return f"{', '.join(map(str, shots[:-1]))} and {shots[-1]}"
