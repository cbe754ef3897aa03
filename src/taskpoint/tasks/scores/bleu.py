"""BLEU and chrF as sacrebleu computes them; if not told otherwise in lower case, tokenised by "13a" (paper A's scorer).

The counts of one answer add up over answers to what a corpus score is computed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import zip_longest
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF


def sentence_bleu(text: str, answers: Sequence[str], bleu: BLEU | None = None) -> float:
    """BLEU of one answer against the accepted ones, 0 to 100; orders longer than the answer do not count.

    Papineni et al. 2002, smoothed as sacrebleu does (Post 2018; Chen & Cherry 2014, method 3).
    """
    said, wanted, *ngrams = bleu_counts(text, answers, bleu)
    score = BLEU.compute_bleu(ngrams[:4], ngrams[4:], said, wanted, smooth_method="exp", effective_order=True)
    return float(score.score)


def bleu_counts(text: str, answers: Sequence[str], bleu: BLEU | None = None) -> tuple[int, ...]:
    """What corpus BLEU adds up: tokens of the answer, of its reference, then matches and n-grams of orders 1 to 4."""
    return _bleu_counted(text, tuple(answers), bleu or bleu_of())


def sentence_chrf(text: str, answers: Sequence[str], chrf: CHRF) -> float:
    """ChrF of one answer against the accepted one that it is most like, 0 to 100."""
    return _chrf_scored(text, tuple(answers), chrf)


def chrf_counts(text: str, answers: Sequence[str], chrf: CHRF) -> tuple[int, ...]:
    """What corpus chrF adds up, by order: n-grams of the answer, of the reference it is most like, and of both."""
    return _chrf_counted(text, tuple(answers), chrf)


def corpus_bleu(texts: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """BLEU of many answers at once, 0 to 100."""
    return float(bleu_of().corpus_score(list(texts), _aligned(answers)).score)


def corpus_chrf(texts: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Corpus chrF of many answers at once (Popović 2015: characters up to order 6, beta 2), 0 to 100."""
    return float(chrf_of().corpus_score(list(texts), _aligned(answers)).score)


@cache
def bleu_of(tokenizer: str = "13a", *, lowercase: bool = True) -> BLEU:
    """The scorer with one of sacrebleu's tokenizers; errors as there."""
    return BLEU(lowercase=lowercase, tokenize=tokenizer)


@cache
def chrf_of(words: int = 0, *, lowercase: bool = True) -> CHRF:
    """The scorer that counts characters up to order 6, and words up to order `words` (2: chrF++)."""
    return CHRF(lowercase=lowercase, word_order=words)


# Both scores of BLEU ask for the counts of an answer, and most answers of a sweep are the same at several cuts.
@lru_cache(maxsize=4096)
def _bleu_counted(text: str, answers: tuple[str, ...], bleu: BLEU) -> tuple[int, ...]:
    found = bleu.corpus_score([text], [[answer] for answer in answers])
    return (found.sys_len, found.ref_len, *map(int, found.counts), *map(int, found.totals))


@lru_cache(maxsize=4096)
def _chrf_scored(text: str, answers: tuple[str, ...], chrf: CHRF) -> float:
    return float(chrf.sentence_score(text, answers).score)


@lru_cache(maxsize=4096)
def _chrf_counted(text: str, answers: tuple[str, ...], chrf: CHRF) -> tuple[int, ...]:
    # What its own significance tests resample; unlike the parts of BLEU, a chrF score does not carry it.
    [found] = chrf._extract_corpus_statistics([text], [[answer] for answer in answers])
    return tuple(map(int, found))


def _aligned(answers: Sequence[Sequence[str]]) -> list[list[Any]]:
    """The first accepted answers of all, then the second ones, ...; None where there are fewer."""
    # sacrebleu leaves None out, whatever its annotations say; an empty text it would count as a reference of length 0.
    return [list(rank) for rank in zip_longest(*answers)]
