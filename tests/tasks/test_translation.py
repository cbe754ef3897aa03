"""What a translation task scores, counts and keeps secret."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskpoint.errors import DataError, PromptError
from taskpoint.tasks.base import Item
from taskpoint.tasks.everyday import everyday
from taskpoint.tasks.lexicon import lexicon
from taskpoint.tasks.mapping import MappingTask, Pair
from taskpoint.tasks.scores.bleu import bleu_counts, sentence_bleu
from taskpoint.tasks.translation import TranslationTask, direction_name, instruction, sentence_key, translating

ILL: tuple[Pair, ...] = (
    ("Je suis malade.", ("I'm ill.", "I'm sick.")),
    ("Je suis souffrant.", ("I am sick.", "I'm ill!")),
    ("Je suis las.", ("I'm tired.",)),
    ("Im ill", ("Copied.",)),
    ("Il pleut.", ("It is raining.",)),
    ("Il neige.", ("It is snowing.",)),
)
TASK = TranslationTask("ill", [translating("fra", "eng", ILL)])


def test_a_direction_is_a_sub_task_with_its_name_and_the_line_of_the_paper() -> None:
    assert TASK.subtasks[0].name == direction_name("fra", "eng") == "fra-eng"
    assert TASK.subtasks[0].instruction == instruction("fra", "eng") == "Translate French to English:"


def test_score_and_counts_are_bleu_against_all_accepted_translations() -> None:
    item = Item("x", "fra-eng", "Je suis malade.", ("I'm ill.", "I'm sick now."))
    for text in ("I'm sick now.", "I'm very ill.", "", "Bonjour."):
        assert TASK.score(item, text) == sentence_bleu(text, item.answers)
        assert TASK.counts(item, text) == bleu_counts(text, item.answers)
    assert TASK.metric == "BLEU"


def test_an_item_without_translations_is_not_scored() -> None:
    item = Item("x", "fra-eng", "Oui.", ())
    for measure in (TASK.score, TASK.counts):
        with pytest.raises(DataError, match="no accepted translation"):
            measure(item, "Yes.")


@pytest.mark.parametrize(
    ("direction", "language"),
    [
        ("eng-fra", "French"),
        ("fra-eng", "English"),
        ("eng-deu", "German"),
        ("eng-spa", "Spanish"),
        ("eng-nld", "Dutch"),
    ],
)
def test_the_language_that_is_asked_for_is_that_of_the_reference(direction: str, language: str) -> None:
    task = everyday(direction)
    for item in task.items(20):
        assert task.asked_language(item) == task.spoken_language(item.answers[0]) == language
        assert task.spoken_language(item.input) != language


def test_a_direction_into_a_language_of_which_nothing_is_known_asks_for_none() -> None:
    assert TASK.asked_language(Item("x", "eng-xxx", "Yes.", ("?",))) is None


def test_other_tasks_are_not_about_languages() -> None:
    task = lexicon("english-french")
    item = task.items()[0]
    assert task.counts(item, item.answers[0]) == ()
    assert task.asked_language(item) is None
    assert task.spoken_language("Je suis malade.") is None


@pytest.mark.parametrize("fresh", [False, True])
def test_no_example_shares_a_sentence_with_the_query_or_its_translations(fresh: bool) -> None:
    [first] = [item for item in TASK.items() if item.input == "Je suis malade."]
    for seed in range(20):
        found = TASK.content(first, 3, seed, fresh=fresh).examples
        assert {example.input for example in found} == {"Je suis las.", "Il pleut.", "Il neige."}
    with pytest.raises(PromptError, match="set shots to at most 3"):
        TASK.content(first, 4, 0)


def test_a_query_from_elsewhere_is_kept_secret_too() -> None:
    query = Item("x", "fra-eng", "La pluie tombe.", ("It is raining.",))
    for seed in range(20):
        assert "Il pleut." not in {example.input for example in TASK.content(query, 5, seed).examples}


def test_as_many_examples_are_promised_as_every_item_can_have() -> None:
    assert TASK.max_shots == 3
    assert all(len(TASK.content(item, 3, 0).examples) == 3 for item in TASK.items())
    assert MappingTask("plain", TASK.subtasks).max_shots == 5


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(0, 40), st.integers(0, 2**40), st.booleans())
def test_an_item_keeps_the_order_of_the_seed_but_for_what_gives_it_away(
    data: st.DataObject, shots: int, seed: int, fresh: bool
) -> None:
    task = everyday()
    item = data.draw(st.sampled_from(task.items()))
    examples = task.content(item, shots, seed, fresh=fresh).examples
    assert examples == task.content(item, 60, seed, fresh=fresh).examples[:shots]
    secret = {sentence_key(text) for text in (item.input, *item.answers)}
    assert secret.isdisjoint(sentence_key(text) for example in examples for text in (example.input, example.output))


def test_near_duplicates_share_a_key_and_other_sentences_do_not() -> None:
    assert sentence_key("Où vas-tu ?") == sentence_key("« OÙ, vas tu! »")
    assert sentence_key("Où vas-tu ?") != sentence_key("Ou vas-tu ?")
