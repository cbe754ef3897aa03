"""Scores of many answers at once from the counts of single answers, so that they can be resampled like a mean.

V variants measured on the same items, S seeds, I items, R resamples; n counts of an answer, whole numbers that add up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float, Real

from taskpoint.analysis.intervals import resampled_sums
from taskpoint.errors import SettingError


class CorpusScore(ABC):
    """The statistic of answers that are scored together, under all seeds; `counts` are those of one answer, n."""

    counts: int

    @abstractmethod
    def score(self, sums: Any) -> Any:
        """The score, 0 to 100, of counts that were added up over answers; they stand on the last axis."""

    def checked(self, scores: Real[np.ndarray, "..."], name: str = "scores") -> Float[np.ndarray, "V S I n"]:
        """The counts in double precision, once they are known to be usable.

        Raises:
            SettingError: Other axes, no answer at all, or a count that is NaN, infinite or negative.
        """
        values = np.asarray(scores, dtype=np.float64)
        if values.ndim != 4 or values.shape[-1] != self.counts or values.size == 0:
            raise SettingError(
                f"{name} need {self.counts} counts for at least one seed and one item, found shape {values.shape}"
            )
        if not (np.isfinite(values) & (values >= 0)).all():
            raise SettingError(f"{name} hold counts that are NaN, infinite or negative: count those answers again")
        return values

    def observed(self, scores: Float[np.ndarray, "V S I n"]) -> Float[np.ndarray, " V"]:
        """The score of each variant."""
        found: Float[np.ndarray, " V"] = self.score(scores.sum(axis=(1, 2)))
        return found

    def resampled(self, scores: Float[np.ndarray, "V S I n"], *, resamples: int, seed: int) -> Float[np.ndarray, "R V"]:
        """The score of each variant in each replicate; the draws are those of means (`resampled_means`)."""
        found: Float[np.ndarray, "R V"] = self.score(resampled_sums(scores, resamples=resamples, seed=seed))
        return found
