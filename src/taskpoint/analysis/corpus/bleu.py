"""Corpus BLEU from the counts of single answers.

10 counts of an answer: its tokens, those of its reference, then the matching n-grams and all its n-grams, of orders 1
to 4.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from taskpoint.analysis.corpus.counts import CorpusScore

_ORDERS = 4
COUNTS = 2 + 2 * _ORDERS
"""Counts of one answer."""


def bleu(counts: Real[np.ndarray, "*shape 10"]) -> Float[np.ndarray, "*shape"]:
    """Corpus BLEU, 0 to 100, of counts that were added up over answers.

    Papineni et al. 2002, section 2.3; orders without a match are smoothed as in sacrebleu (Chen & Cherry 2014, method
    3), whose numbers these are.
    """
    sums = np.asarray(counts, dtype=np.float64)
    said, wanted = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    # The first order without a match counts as a half, the next one as a quarter, ...
    unmatched = (matches == 0) & (totals > 0)
    halves = 0.5 ** np.cumsum(unmatched, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(unmatched, halves, matches) / totals
        level = np.exp(np.log(precisions).mean(axis=-1))
        brevity = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
        scores = 100 * brevity * level
    empty = (matches == 0).all(axis=-1) | (totals == 0).any(axis=-1)
    found: Float[np.ndarray, "*shape"] = np.where(empty, 0.0, scores)
    return found


class CorpusBleu(CorpusScore):
    """The statistic of answers that are scored together: BLEU of all of them."""

    counts = COUNTS

    def score(self, sums: Float[np.ndarray, "*shape 10"]) -> Float[np.ndarray, "*shape"]:
        """As `bleu`."""
        return bleu(sums)
