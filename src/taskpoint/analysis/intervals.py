"""Percentile bootstrap intervals of mean scores: over items and over seeds.

Legend: V variants measured on the same items (cuts, for example), S seeds, I items, R resamples. What is known of one
answer is its score, or several counts, from which a statistic makes the score of many (`analysis.corpus.bleu`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Real
from numpy.typing import NDArray

from taskpoint.errors import SettingError

# Weights held at once: 4 million doubles are 32 MB, whatever the number of items and seeds.
_WEIGHTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean with the two ends of its interval, in the unit of the scores.

    The ends are percentiles of resampled means; nothing forces `mean` to lie between them when a distribution is very
    skewed or the level very low, so draw the band from `low` to `high` and not as `mean` plus or minus something.

    Raises:
        SettingError: An end or the mean is not finite, or `low` is above `high`.
    """

    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.mean, self.low, self.high)):
            raise SettingError(f"an interval needs finite numbers, found mean {self.mean}, {self.low} to {self.high}")
        if self.low > self.high:
            raise SettingError(f"the low end {self.low} of an interval is above its high end {self.high}: swap them")


def finite_scores(scores: Real[np.ndarray, "V S I"], name: str = "scores") -> Float[np.ndarray, "V S I"]:
    """The scores in double precision, once they are known to be usable; `name` is what messages call them.

    Raises:
        SettingError: Not three axes, no score at all, or a score that is NaN or infinite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 3 or values.size == 0:
        raise SettingError(f"{name} need at least one seed and one item, found an array of shape {values.shape}")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        variant, seed, item = (int(index) for index in bad[0])
        raise SettingError(
            f"{name} hold {len(bad)} NaN or infinite of {values.size} numbers, the first in row {variant}, "
            f"seed {seed}, item {item}: score those items again or leave them out"
        )
    return values


def resampled_means(
    scores: Real[np.ndarray, "V S I"], *, resamples: int = 2000, seed: int = 0
) -> Float[np.ndarray, "R V"]:
    """Means of R bootstrap replicates; the same items are drawn for every variant, so variants can be compared.

    A replicate draws as many seeds and as many items as there are, both with replacement; a drawn item counts under
    every drawn seed, because all seeds ask the same items (the pigeonhole bootstrap; Owen, "The pigeonhole bootstrap",
    2007, section 3). Items drawn anew in each seed would let the luck in the choice of items average out over the
    seeds: with 3 seeds such intervals of nominally 95 % hold the truth in about 82 of 100 cases. The same seed and
    shape give the same draws on every machine.

    Raises:
        SettingError: `resamples` below 1, or scores that are empty, NaN or infinite.
    """
    values = finite_scores(scores)
    variants, seeds, items = values.shape
    # Around its first score a constant variant is exactly zero, so its interval has no width from rounding.
    origin = values.reshape(variants, -1)[:, :1, None]
    sums = resampled_sums((values - origin)[..., None], resamples=resamples, seed=seed)[..., 0]
    means: Float[np.ndarray, "R V"] = sums / (seeds * items) + origin[:, 0, 0]
    return means


def resampled_sums(values: Float[np.ndarray, "V S I n"], *, resamples: int, seed: int) -> Float[np.ndarray, "R V n"]:
    """Sums over seeds and items in R bootstrap replicates; draws and errors are those of `resampled_means`."""
    if resamples < 1:
        raise SettingError(f"resamples must be at least 1, found {resamples}")
    variants, seeds, items, known = values.shape
    flat = np.ascontiguousarray(values.reshape(variants, seeds * items, known).transpose(1, 0, 2))
    flat = flat.reshape(seeds * items, variants * known)
    generator = np.random.Generator(np.random.PCG64(seed))
    sums = [weights @ flat for weights in _weights(generator, resamples, seeds, items)]
    return np.concatenate(sums).reshape(resamples, variants, known)


def _weights(
    generator: np.random.Generator, resamples: int, seeds: int, items: int
) -> Iterator[Float[np.ndarray, "part S*I"]]:
    """How often each score is drawn, a few replicates at a time."""
    scores = seeds * items
    part = max(1, min(resamples, _WEIGHTS_AT_ONCE // scores))
    for start in range(0, resamples, part):
        size = min(part, resamples - start)
        drawn_seeds = _counts(generator.integers(0, seeds, size=(size, seeds)), seeds)
        drawn_items = _counts(generator.integers(0, items, size=(size, items)), items)
        yield (drawn_seeds[:, :, None] * drawn_items[:, None, :]).reshape(size, scores)


def _counts(drawn: Int[np.ndarray, "part n"], kinds: int) -> Float[np.ndarray, "part kinds"]:
    """How often each kind was drawn, row by row."""
    rows = len(drawn)
    places = drawn + np.arange(rows)[:, None] * kinds
    return np.bincount(places.ravel(), minlength=rows * kinds).reshape(rows, kinds).astype(np.float64)


def percentile_interval(
    mean: float, means: Float[np.ndarray, " R"] | NDArray[np.float64], *, level: float = 0.95
) -> Interval:
    """The middle share `level` of resampled `means`; a SettingError where the level is not between 0 and 1."""
    low, high = np.quantile(means, interval_ends(level))
    return Interval(float(mean), float(low), float(high))


def interval_ends(level: float) -> tuple[float, float]:
    """The ends of an interval among sorted replicates, (1 - level) / 2 and (1 + level) / 2, as shares."""
    if not 0.0 < level < 1.0:
        raise SettingError(f"level must be between 0 and 1, such as 0.95, found {level}")
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0


@runtime_checkable
class Statistic(Protocol):
    """How scores of single answers become one score."""

    def checked(self, scores: Any, name: str = "scores") -> Any:
        """The scores in double precision; a SettingError where they are not usable."""

    def observed(self, scores: Any) -> Float[np.ndarray, " V"]:
        """The score of each variant, of checked scores."""

    def resampled(self, scores: Any, *, resamples: int, seed: int) -> Float[np.ndarray, "R V"]:
        """The score of each variant in each bootstrap replicate."""


class Mean:
    """The statistic of answers that are scored one by one."""

    def checked(self, scores: Real[np.ndarray, "V S I"], name: str = "scores") -> Float[np.ndarray, "V S I"]:
        """As `finite_scores`."""
        return finite_scores(scores, name)

    def observed(self, scores: Float[np.ndarray, "V S I"]) -> Float[np.ndarray, " V"]:
        """As `stable_mean`."""
        return stable_mean(scores)

    def resampled(self, scores: Float[np.ndarray, "V S I"], *, resamples: int, seed: int) -> Float[np.ndarray, "R V"]:
        """As `resampled_means`."""
        return resampled_means(scores, resamples=resamples, seed=seed)


def interval(
    scores: Real[np.ndarray, "S I *n"],
    *,
    statistic: Statistic | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Score with its percentile bootstrap interval, over items and over seeds; by default the mean of the scores.

    With one seed the interval speaks of other items only, with one item of other seeds only; with one score it is that
    score alone.

    Raises:
        SettingError: Scores that are empty, NaN or infinite; `resamples` or `level` out of range.
    """
    statistic = statistic or Mean()
    values = statistic.checked(np.asarray(scores)[None])
    replicates = statistic.resampled(values, resamples=resamples, seed=seed)[:, 0]
    return percentile_interval(float(statistic.observed(values)[0]), replicates, level=level)


def stable_mean(scores: Float[np.ndarray, "V S I"]) -> Float[np.ndarray, " V"]:
    """Mean of each variant, exact for a constant one; the scores are finite."""
    flat = scores.reshape(len(scores), -1)
    origin = flat[:, 0]
    means: Float[np.ndarray, " V"] = origin + (flat - origin[:, None]).mean(axis=1)
    return means
