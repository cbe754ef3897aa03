"""What each layer is worth: the score without something of it, held against the full score.

Legend: N layers, S seeds, I items, R resamples; the last variant of N + 1 is the full model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Real

from taskpoint.analysis.intervals import Interval, Mean, Statistic, percentile_interval
from taskpoint.errors import SettingError

Verdict = Literal["critical", "redundant", "undecided"]


@dataclass(frozen=True, eq=False)
class LayerEffects:
    """How the score changes without something of one layer, such as its attention.

    A layer is *critical* where the interval of the change ends below minus `share` of the full score, and *redundant*
    where it lies within plus and minus that share. Intervals are of the paired difference: the same items and seeds.

    Attributes:
        full: the score of the full model.
        changes: by layer, score without it minus full score; negative where something is lost. [N]
        replicates: the same of bootstrap draws over items and seeds. [R, N]
        share: of the full score, what counts as lost.
        reason: why no layer can be judged; None where they can.
    """

    full: Interval
    changes: tuple[Interval, ...]
    replicates: Float[np.ndarray, "R N"]
    share: float
    reason: str | None

    @property
    def tolerance(self) -> float:
        """What counts as lost, in the unit of the scores."""
        return self.share * self.full.mean

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is known of each layer."""
        return tuple(map(self._verdict, self.changes))

    def _verdict(self, change: Interval) -> Verdict:
        if self.reason is None and change.high < -self.tolerance:
            return "critical"
        within = -self.tolerance <= change.low and change.high <= self.tolerance
        return "redundant" if self.reason is None and within else "undecided"

    def layers(self, verdict: Verdict) -> tuple[int, ...]:
        """The layers of a verdict, ascending."""
        return tuple(layer for layer, found in enumerate(self.verdicts) if found == verdict)

    @property
    def last_critical(self) -> float:
        """Layers up to and with the last critical one, 1 to N; NaN where none is critical."""
        critical = np.array([verdict == "critical" for verdict in self.verdicts])
        return float(_last(critical[None])[0])

    @cached_property
    def last_critical_replicates(self) -> Float[np.ndarray, " R"]:
        """The same of other draws, each judged as if its intervals were as wide as the observed ones."""
        if self.reason is not None:
            return np.full(len(self.replicates), np.nan)
        above = np.array([change.high - change.mean for change in self.changes])
        return _last(self.replicates + above < -self.tolerance)


def _last(critical: Bool[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
    layers = critical.shape[1]
    last = layers - np.argmax(critical[:, ::-1], axis=1)
    return np.where(critical.any(axis=1), last, np.nan)


def layer_effects(
    scores: Real[np.ndarray, "variants S I *n"],
    *,
    share: float,
    statistic: Statistic | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> LayerEffects:
    """What each layer is worth, from the scores without it; the last of them are those of the full model.

    Raises:
        SettingError: no layer, scores that are empty, NaN or infinite, or `share`, `resamples` or `level` out of range.
    """
    if not 0.0 < share < 1.0:
        raise SettingError(f"share must be between 0 and 1, such as 0.05, found {share}")
    statistic = statistic or Mean()
    values = statistic.checked(np.asarray(scores))
    if len(values) < 2:
        raise SettingError(
            f"scores are of {len(values)} variants, expected one for each layer and one of the full model"
        )
    observed = statistic.observed(values)
    drawn = statistic.resampled(values, resamples=resamples, seed=seed)
    replicates = drawn[:, :-1] - drawn[:, -1:]
    changes = tuple(
        percentile_interval(float(mean - observed[-1]), replicates[:, layer], level=level)
        for layer, mean in enumerate(observed[:-1])
    )
    full = percentile_interval(float(observed[-1]), drawn[:, -1], level=level)
    return LayerEffects(full, changes, replicates, share, _reason(full, values.shape[1] * values.shape[2]))


def _reason(full: Interval, answers: int) -> str | None:
    if answers < 2:
        return "one answer has no spread to judge by"
    if full.low <= 0:
        return f"the full score, {full.mean:.3g} ({full.low:.3g} to {full.high:.3g}), is not above 0"
    return None
