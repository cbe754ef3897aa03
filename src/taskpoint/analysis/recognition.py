"""The task recognition point: from which cut on does hiding the context cost nothing any more?

Legend: C evaluated cuts, S seeds, I items, R resamples, N layers, r cut (number of layers that see the hidden tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from taskpoint.analysis.intervals import (
    Interval,
    Mean,
    Statistic,
    interval_ends,
    percentile_interval,
)
from taskpoint.errors import SettingError

# A mean that equals the threshold on paper must reach it in floating point too.
_ROUNDING_OF_GAIN = 1e-9
_ROUNDING_OF_SCORES = 1e-12


@dataclass(frozen=True)
class RecognitionPoint:
    """Where a task is recognised, or why that cannot be said.

    All intervals have the confidence level `level`; None stands for what was not measured.

    Attributes:
        layer: The smallest evaluated cut from which on every score holds the threshold; None when undefined.
        low: Lower end of the bootstrap interval of `layer`, itself an evaluated cut; None when undefined.
        ceiling: Mean score at cut N (the ordinary model), unit of the scores.
        floor: Mean score at cut 0 (the hidden tokens are never seen), unit of the scores.
        zero_shot: Mean score of the prompt without any example; None when it was not measured.
        reason: Why `layer` is None, in words and numbers; None when the point is defined.
        gain_over_floor: Ceiling minus floor, paired by item and seed, with its interval.

    Raises:
        SettingError: `layer`, `low`, `high` and `reason` do not fit together.
    """

    layer: int | None
    low: int | None
    high: int | None
    ceiling: float
    floor: float
    zero_shot: float | None = None
    reason: str | None = None
    ceiling_interval: Interval | None = None
    floor_interval: Interval | None = None
    zero_shot_interval: Interval | None = None
    gain_over_floor: Interval | None = None
    gain_over_zero_shot: Interval | None = None
    share: float = 0.95
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.layer is None:
            if self.reason is None or self.low is not None or self.high is not None:
                raise SettingError("a recognition point without layer needs a reason, and has neither low nor high")
        elif self.reason is not None or self.low is None or self.high is None:
            raise SettingError(f"a recognition point at layer {self.layer} needs low and high, and has no reason")
        elif not self.low <= self.layer <= self.high:
            raise SettingError(f"recognition point {self.layer} lies outside its interval {self.low} to {self.high}")

    @property
    def threshold(self) -> float:
        """The score that every cut from the point on reaches: floor + share x (ceiling - floor)."""
        return self.floor + self.share * (self.ceiling - self.floor)


@dataclass(frozen=True)
class CurvePoint:
    """One point of the curve over cuts: a cut, its mean score and the interval of that mean, unit of the scores."""

    cut: int
    mean: float
    low: float
    high: float


def recognition_point(
    cuts: Sequence[int] | Int[np.ndarray, " C"],
    scores: Real[np.ndarray, "C S I *n"],
    zero_shot: Real[np.ndarray, "S I *n"] | None = None,
    *,
    statistic: Statistic | None = None,
    share: float = 0.95,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    num_layers: int | None = None,
) -> RecognitionPoint:
    """The smallest evaluated cut from which on every mean score is at least floor + share x (ceiling - floor).

    The definition is the project's own: ceiling and floor are the means at the largest cut and at cut 0;
    dips before the point are tolerated, dips after it are not. Its interval is the percentile interval of the points of
    bootstrap replicates, which draw seeds and items, the same for all cuts. The ends are evaluated cuts,
    and the interval is widened to hold the point itself where the replicates alone would not.

    The largest cut counts as reaching the threshold in every replicate, so no replicate is without a point. Where the
    ceiling is at least the floor that is arithmetic; in the few replicates where it is not, the point is that cut.

    The point is undefined, with the reason, when the ceiling is not significantly above the floor, or above zero-shot
    where given: the lower end of the paired bootstrap interval of the difference must be above 0. One item under one
    seed has no spread to judge that by, and is undefined too.

    The scores are of any unit, higher is better, or what `statistic` makes scores from (None takes the mean);
    `zero_shot` are those of the same items and seeds without examples. The cuts come in any order, 0 and N among them;
    where `num_layers` is given, the largest must be N.

    Raises:
        SettingError: Cuts without 0 or N, or twice the same; shapes that do not fit; NaN or infinite scores; `share`,
            `resamples` or `level` out of range.
    """
    if not 0.0 < share <= 1.0:
        raise SettingError(f"share must be above 0 and at most 1, such as 0.95, found {share}")
    tail, head = interval_ends(level)
    statistic = statistic or Mean()
    order, values = in_order(cuts, scores, statistic)
    if order[0] != 0 or len(order) < 2:
        raise SettingError(
            f"cuts must include 0 (the floor) and the number of layers (the ceiling), found {_few(order)}"
        )
    if num_layers is not None and order[-1] != num_layers:
        raise SettingError(f"cuts must end with {num_layers}, the number of layers (the ceiling), found {_few(order)}")
    count = len(order)
    variants = [values]
    if zero_shot is not None:
        if np.shape(zero_shot) != values.shape[1:]:
            raise SettingError(
                f"zero_shot must have shape {values.shape[1:]} as scores have, found {np.shape(zero_shot)}"
            )
        variants.append(statistic.checked(np.asarray(zero_shot)[None], "zero_shot"))
    stacked = np.concatenate(variants)
    means = statistic.observed(stacked)
    replicates = statistic.resampled(stacked, resamples=resamples, seed=seed)
    rounding = _ROUNDING_OF_SCORES * float(np.abs(stacked).max())

    def single(variant: int) -> Interval:
        return percentile_interval(float(means[variant]), replicates[:, variant], level=level)

    def gain(control: int) -> Interval:
        # In each replicate ceiling and control are scored on the same answers: paired by item and seed.
        paired = replicates[:, count - 1] - replicates[:, control]
        return percentile_interval(float(means[count - 1] - means[control]), paired, level=level)

    floor, ceiling, gain_over_floor = single(0), single(count - 1), gain(0)
    zero, gain_over_zero = (single(count), gain(count)) if zero_shot is not None else (None, None)
    answers = values.shape[1] * values.shape[2]
    reason = _reason(ceiling, floor, gain_over_floor, zero, gain_over_zero, answers, level, rounding)
    layer = low = high = None
    if reason is None:
        layer = int(order[first_holding(means[None, :count], share, rounding)[0]])
        points = order[first_holding(replicates[:, :count], share, rounding)]
        low = min(layer, int(np.quantile(points, tail, method="lower")))
        high = max(layer, int(np.quantile(points, head, method="higher")))
    return RecognitionPoint(
        layer=layer,
        low=low,
        high=high,
        ceiling=ceiling.mean,
        floor=floor.mean,
        zero_shot=None if zero is None else zero.mean,
        reason=reason,
        ceiling_interval=ceiling,
        floor_interval=floor,
        zero_shot_interval=zero,
        gain_over_floor=gain_over_floor,
        gain_over_zero_shot=gain_over_zero,
        share=share,
        level=level,
    )


def curve(
    cuts: Sequence[int] | Int[np.ndarray, " C"],
    scores: Real[np.ndarray, "C S I *n"],
    *,
    statistic: Statistic | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[CurvePoint, ...]:
    """Mean score at each cut with its bootstrap interval, by increasing cut.

    Arguments and draws are those of `recognition_point`, with the same `seed`.

    Raises:
        SettingError: As `recognition_point`, but any cuts will do.
    """
    statistic = statistic or Mean()
    order, values = in_order(cuts, scores, statistic)
    means = statistic.observed(values)
    replicates = statistic.resampled(values, resamples=resamples, seed=seed)
    points = []
    for index, cut in enumerate(order):
        at = percentile_interval(float(means[index]), replicates[:, index], level=level)
        points.append(CurvePoint(int(cut), at.mean, at.low, at.high))
    return tuple(points)


def in_order(
    cuts: Sequence[int] | Int[np.ndarray, " C"], scores: Real[np.ndarray, "C S I *n"], statistic: Statistic
) -> tuple[Int[np.ndarray, " C"], Float[np.ndarray, "C S I *n"]]:
    """Cuts and their scores by increasing cut, checked as for `curve`."""
    given = np.asarray(cuts, dtype=np.int64)
    values = statistic.checked(scores)
    if given.shape != (len(values),):
        raise SettingError(f"scores must have one row per cut, found {len(values)} rows for {given.size} cuts")
    order = np.argsort(given, kind="stable")
    ordered = given[order]
    if (np.diff(ordered) == 0).any() or ordered[0] < 0:
        raise SettingError(f"cuts must be different numbers of layers from 0 on, found {_few(ordered)}")
    return ordered, values[order]


def first_holding(means: Float[np.ndarray, "R C"], share: float, rounding: float) -> Int[np.ndarray, " R"]:
    """Per row, the index of the first cut from which on all means reach the threshold, but for `rounding`."""
    floor, ceiling = means[:, :1], means[:, -1:]
    gain = ceiling - floor
    return first_lasting(means >= floor + share * gain - (_ROUNDING_OF_GAIN * np.abs(gain) + rounding))


def first_lasting(reached: Bool[np.ndarray, "R C"]) -> Int[np.ndarray, " R"]:
    """Per row, the index of the first cut from which on all reach what they should; the last one always does."""
    reached = np.concatenate([reached[:, :-1], np.ones_like(reached[:, -1:])], axis=1)
    lasting = np.logical_and.accumulate(reached[:, ::-1], axis=1)[:, ::-1]
    first: Int[np.ndarray, " R"] = np.argmax(lasting, axis=1)
    return first


def _reason(
    ceiling: Interval,
    floor: Interval,
    gain_over_floor: Interval,
    zero: Interval | None,
    gain_over_zero: Interval | None,
    scores: int,
    level: float,
    rounding: float,
) -> str | None:
    """Why nothing was recognised in context; None when the ceiling is above both controls."""
    if scores == 1:
        return "one item under one seed has no spread to judge the ceiling by: use more items or seeds"
    failed = []
    for name, control, gain in (("floor", floor, gain_over_floor), ("zero-shot", zero, gain_over_zero)):
        if control is not None and gain is not None and gain.low <= rounding:
            failed.append(
                f"{name} {control.mean:.3g} (difference {gain.mean:.3g}, {level * 100:g} % interval "
                f"{gain.low:.3g} to {gain.high:.3g})"
            )
    if not failed:
        return None
    return (
        f"the ceiling {ceiling.mean:.3g} is not significantly above {' or '.join(failed)}, "
        "so nothing was recognised in context"
    )


def _few(cuts: Int[np.ndarray, " C"]) -> str:
    """The cuts as text, the middle left out when there are many."""
    names = [str(cut) for cut in cuts]
    return ", ".join(names) if len(names) <= 8 else ", ".join([*names[:4], "...", *names[-3:]])
