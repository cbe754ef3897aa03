"""How the change of an answer's language is told, and by which item."""

from __future__ import annotations

import dataclasses

import pytest

from taskpoint.experiments.locate.findings import AnswerView, LocateView
from taskpoint.experiments.locate.page.languages import changes, stories


@pytest.mark.parametrize(
    ("cuts", "languages", "told"),
    [
        ((0, 1, 2, 3, 4), "G G G F F", "r = 0 to 2: German; from r = 3: French"),
        ((0, 3, 10), "G F F", "r = 0: German; from r = 3: French"),
        ((0, 1, 2, 3), "G - F G", "r = 0: German; r = 1: unclear; r = 2: French; r = 3: German"),
        ((0, 1), "F F", "French at every cut"),
        ((5,), "-", "unclear at every cut"),
    ],
)
def test_the_languages_of_an_answer_are_told_in_one_line(cuts: tuple[int, ...], languages: str, told: str) -> None:
    names = {"G": "German", "F": "French", "-": ""}
    assert changes(cuts, [names[letter] for letter in languages.split()]) == told


def _answer(languages: str, scores: tuple[float, ...], reference: str = "Il fait beau.") -> AnswerView:
    names = tuple({"G": "German", "F": "French", "-": ""}[letter] for letter in languages)
    return AnswerView(0, "item", "eng-fra", "It is fine.", reference, ("text",) * len(names), scores, names)


def test_a_story_changes_its_language_for_a_better_score() -> None:
    same = _answer("FFF", (0.0, 50.0, 100.0))
    unknown = _answer("-FF", (0.0, 50.0, 100.0))
    worse = _answer("GFF", (50.0, 20.0, 10.0))
    silent = dataclasses.replace(same, languages=None)
    assert stories([same, unknown, worse, silent]) == []
    assert stories([same, _answer("GFF", (3.0, 50.0, 80.0))]) == [1]


def test_the_best_story_is_clear_then_right_then_long() -> None:
    flicker = _answer("GFGF", (0.0, 100.0, 0.0, 100.0))
    partly = _answer("GFFF", (0.0, 40.0, 60.0, 60.0))
    right = _answer("GGFF", (0.0, 40.0, 100.0, 100.0), "Oui.")
    long = _answer("GGFF", (0.0, 40.0, 100.0, 100.0), "Le temps est beau aujourd'hui.")
    assert stories([flicker, partly, right, long]) == [3, 2, 1, 0]


def test_a_dozen_stories_are_enough() -> None:
    assert len(stories([_answer("GF", (0.0, 100.0))] * 500)) == 12


def test_without_languages_there_is_no_story(sample: LocateView) -> None:
    assert stories(sample.answers) == []
