"""Corpus chrF and chrF++ from the counts of single answers.

Three counts for each order: n-grams of the answer, n-grams of its reference, and those that both have.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from taskpoint.analysis.corpus.counts import CorpusScore

_BETA = 2
CHARACTER_ORDERS = 6
WORD_ORDERS = 2
"""Those that chrF++ has beside the characters."""


def chrf(counts: Real[np.ndarray, "*shape n"]) -> Float[np.ndarray, "*shape"]:
    """Corpus chrF, 0 to 100, of counts that were added up over answers.

    Popović 2015: F score of the means of precision and recall, recall weighing twice. Orders that answers or references
    are too short for do not count, as in sacrebleu, whose numbers these are.
    """
    sums = np.asarray(counts, dtype=np.float64)
    said, wanted, both = (sums[..., which::3] for which in range(3))
    known = (said > 0) & (wanted > 0)
    orders = np.maximum(known.sum(axis=-1), 1)
    precision = np.divide(both, said, out=np.zeros_like(both), where=known).sum(axis=-1) / orders
    recall = np.divide(both, wanted, out=np.zeros_like(both), where=known).sum(axis=-1) / orders
    weighed = _BETA**2 * precision + recall
    score = (1 + _BETA**2) * precision * recall
    shares = np.divide(score, weighed, out=np.zeros_like(score), where=weighed > 0)
    found: Float[np.ndarray, "*shape"] = np.asarray(100 * shares)
    return found


class CorpusChrf(CorpusScore):
    """The statistic of answers that are scored together: chrF of all of them, or chrF++."""

    def __init__(self, *, words: bool = False) -> None:
        """With `words` it is chrF++ (Popović 2017), which counts single words and pairs of them too."""
        self.counts = 3 * (CHARACTER_ORDERS + (WORD_ORDERS if words else 0))

    def score(self, sums: Float[np.ndarray, "*shape n"]) -> Float[np.ndarray, "*shape"]:
        """As `chrf`."""
        return chrf(sums)
