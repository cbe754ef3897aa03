"""BLEU and chrF, with sacrebleu called directly as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from taskpoint.tasks.scores.bleu import bleu_counts, corpus_bleu, corpus_chrf, sentence_bleu

SENTENCE = st.lists(st.sampled_from(["the", "The", "cat", "sat", "on", "mat", ".", "été"]), max_size=9).map(" ".join)
SAID = SENTENCE.filter(bool)
ANSWERED = st.lists(st.tuples(SENTENCE, st.lists(SAID, min_size=1, max_size=3)), min_size=1, max_size=6)


def test_corpus_scores_of_several_references_are_those_of_sacrebleu() -> None:
    texts = ["The cat sat on the mat.", "A dog barks at the postman."]
    answers = [("The cat sat on a mat.", "On the mat sat the cat."), ("The dog barks at the postman.", "A dog barks.")]
    streams = [[first for first, _ in answers], [second for _, second in answers]]
    assert corpus_bleu(texts, answers) == BLEU(lowercase=True).corpus_score(texts, streams).score > 10
    assert corpus_chrf(texts, answers) == CHRF(lowercase=True).corpus_score(texts, streams).score > 10


def test_a_reference_more_for_one_answer_changes_nothing_for_the_others() -> None:
    texts = ["The cat sat on the mat.", "A dog barks at it."]
    one, two = ["A cat sat on the mat."], ["A dog barks at the man.", "A dog is barking at it."]
    padded = [[one[0], two[0]], [one[0], two[1]]]
    assert corpus_bleu(texts, [one, two]) == BLEU(lowercase=True).corpus_score(texts, padded).score
    assert corpus_chrf(texts, [one, two]) == CHRF(lowercase=True).corpus_score(texts, padded).score


@settings(max_examples=100, deadline=None)
@given(ANSWERED)
def test_counts_of_single_answers_add_up_to_corpus_bleu(pairs: list[tuple[str, list[str]]]) -> None:
    said, wanted, *ngrams = map(sum, zip(*(bleu_counts(text, answers) for text, answers in pairs), strict=True))
    summed = BLEU.compute_bleu(ngrams[:4], ngrams[4:], said, wanted, smooth_method="exp").score
    assert summed == pytest.approx(corpus_bleu([text for text, _ in pairs], [answers for _, answers in pairs]))


@settings(max_examples=50, deadline=None)
@given(SENTENCE, st.lists(SAID, min_size=1, max_size=3))
def test_sentence_scores_are_those_of_sacrebleu(text: str, answers: list[str]) -> None:
    oracle = BLEU(lowercase=True, effective_order=True).sentence_score(text, answers).score
    assert sentence_bleu(text, answers) == oracle
    assert corpus_chrf([text], [answers]) == CHRF(lowercase=True).sentence_score(text, answers).score
    assert -1e-9 <= oracle <= 100 + 1e-9


def test_counts_are_lengths_matches_and_ngrams() -> None:
    assert bleu_counts("A cat sat", ["The cat sat down."]) == (3, 5, 2, 1, 0, 0, 3, 2, 1, 0)
    assert bleu_counts("", ["The cat"]) == (0, 2, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("text", ["Oui.", "Il pleut.", "IL EST LÀ, JE CROIS."])
def test_an_accepted_answer_scores_100_however_short_and_in_any_case(text: str) -> None:
    answers = ["Non, pas du tout.", text.capitalize()]
    assert sentence_bleu(text, answers) == pytest.approx(100)
    assert corpus_chrf([text], [answers]) == pytest.approx(100)


def test_no_answer_scores_nothing() -> None:
    assert sentence_bleu("", ["Oui."]) == corpus_bleu([""], [["Oui."]]) == corpus_chrf([""], [["Oui."]]) == 0
