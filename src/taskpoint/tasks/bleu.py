"""BLEU and chrF as sacrebleu computes them: in lower case, tokenised by "13a" (paper A's scorer).

The counts of one answer add up over answers to what corpus BLEU is computed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import zip_longest
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF


def sentence_bleu(text: str, answers: Sequence[str]) -> float:
    """BLEU of one answer against the accepted ones, 0 to 100; orders longer than the answer do not count.

    Papineni et al. 2002, smoothed as sacrebleu does (Post 2018; Chen & Cherry 2014, method 3).
    """
    said, wanted, *ngrams = bleu_counts(text, answers)
    score = BLEU.compute_bleu(ngrams[:4], ngrams[4:], said, wanted, smooth_method="exp", effective_order=True)
    return float(score.score)


def bleu_counts(text: str, answers: Sequence[str]) -> tuple[int, ...]:
    """What corpus BLEU adds up: tokens of the answer, of its reference, then matches and n-grams of orders 1 to 4."""
    return _counted(text, tuple(answers))


def corpus_bleu(texts: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """BLEU of many answers at once, 0 to 100."""
    return float(_bleu().corpus_score(list(texts), _aligned(answers)).score)


def corpus_chrf(texts: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Corpus chrF of many answers at once (Popović 2015: characters up to order 6, beta 2), 0 to 100."""
    return float(_chrf().corpus_score(list(texts), _aligned(answers)).score)


# Both scores ask for the counts of an answer, and most answers of a sweep are the same at several cuts.
@lru_cache(maxsize=4096)
def _counted(text: str, answers: tuple[str, ...]) -> tuple[int, ...]:
    found = _bleu().corpus_score([text], [[answer] for answer in answers])
    return (found.sys_len, found.ref_len, *map(int, found.counts), *map(int, found.totals))


@cache
def _bleu() -> BLEU:
    return BLEU(lowercase=True)


@cache
def _chrf() -> CHRF:
    return CHRF(lowercase=True)


def _aligned(answers: Sequence[Sequence[str]]) -> list[list[Any]]:
    """The first accepted answers of all, then the second ones, ...; None where there are fewer."""
    # sacrebleu leaves None out, whatever its annotations say; an empty text it would count as a reference of length 0.
    return [list(rank) for rank in zip_longest(*answers)]
