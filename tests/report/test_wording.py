from __future__ import annotations

import dataclasses

import pytest

from taskpoint.analysis.costs.savings import Saving
from taskpoint.analysis.recognition import RecognitionPoint
from taskpoint.experiments.locate.findings import ConditionView, LocateView
from taskpoint.experiments.locate.wording import conclusion, hidden_words, part_word
from taskpoint.report.numbers import percent, score, span


def _headline(view: LocateView, **changes: object) -> LocateView:
    return dataclasses.replace(view, conditions=(dataclasses.replace(view.conditions[0], **changes),), answers=())


def test_the_conclusion_names_layer_interval_savings_and_quality(sample: LocateView) -> None:
    condition = sample.conditions[0]
    view = _headline(
        sample,
        mean=(*condition.mean[:4], 0.9114, *condition.mean[5:]),
        point=RecognitionPoint(4, 3, 5, ceiling=0.93, floor=0.03),
        saving=Saving(work=0.41, kv=0.52, paper=0.55),
    )
    assert conclusion(view) == (
        "lexicon recognises the task at layer 4 of 12 (95 % interval 3-5): from there on the 5 examples can be cut "
        "away, which saves 41 % of the prompt's work and 52 % of its KV memory at 98 % of the full score."
    )


def test_an_undefined_point_is_said_with_its_reason(sample: LocateView) -> None:
    view = _headline(
        sample, point=RecognitionPoint(None, None, None, 0.1, 0.1, reason="the ceiling is the floor."), saving=None
    )
    assert conclusion(view) == (
        "No layer can be named at which lexicon recognises the task from the 5 examples: the ceiling is the floor."
    )


def test_a_point_at_the_last_layer_saves_nothing_and_says_so(sample: LocateView) -> None:
    view = _headline(sample, point=RecognitionPoint(12, 11, 12, 0.93, 0.03), saving=Saving(0.0, 0.0, 0.0))
    assert "needs the 5 examples in every one of its 12 layers (95 % interval 11-12)" in conclusion(view)
    assert "nothing is saved" in conclusion(view)


def test_the_level_of_the_interval_is_the_one_that_was_computed(sample: LocateView) -> None:
    view = _headline(sample, point=RecognitionPoint(5, 5, 6, 0.93, 0.03, level=0.9))
    assert "(90 % interval 5-6)" in conclusion(view)


def test_a_ceiling_that_is_not_positive_has_no_share_kept(sample: LocateView) -> None:
    text = conclusion(_headline(sample, point=RecognitionPoint(5, 4, 6, ceiling=-1.5, floor=-9.0)))
    assert "full score" not in text
    assert text.endswith("KV memory.")


@pytest.mark.parametrize(
    ("hide", "shots", "words"),
    [
        ("examples", 5, "the 5 examples"),
        ("examples", 1, "the example"),
        ("instruction,examples", 5, "the instruction and the 5 examples"),
        ("instruction, examples, query", 2, "the instruction, the 2 examples and the query"),
        ("examples[1:]", 5, "the hidden tokens (examples[1:])"),
    ],
)
def test_hidden_tokens_in_words(sample: LocateView, hide: str, shots: int, words: str) -> None:
    condition: ConditionView = dataclasses.replace(sample.conditions[0], hide=hide, shots=shots)
    assert hidden_words(condition) == words


def test_numbers_are_as_long_as_they_need_to_be() -> None:
    assert [score(value) for value in (0.944, 40.948, -0.001, -1.5)] == ["0.94", "40.9", "0.00", "-1.50"]
    assert percent(0.415) == "42 %"
    assert span(0.9, 0.96) == "0.90-0.96"
    assert span(-0.5, 0.2) == "-0.50..0.20"


def test_bleu_has_one_decimal_whatever_its_size() -> None:
    assert [score(value, "BLEU") for value in (0.0, 3.27, 37.41234, 100.0, -0.01)] == [
        "0.0",
        "3.3",
        "37.4",
        "100.0",
        "0.0",
    ]
    assert span(3.27, 37.41, "BLEU") == "3.3-37.4"
    assert score(0.374, "exact match") == "0.37"


def test_the_conclusion_about_a_translator_reads_as_a_sentence(translations: LocateView) -> None:
    view = _headline(
        translations,
        point=RecognitionPoint(3, 2, 4, ceiling=40.68, floor=3.27),
        saving=Saving(work=0.41, kv=0.52, paper=0.55),
        mean=(3.27, 6.0, 20.0, 39.05, *[40.68] * 7),
    )
    assert conclusion(view) == (
        "translator recognises the task at layer 3 of 10 (95 % interval 2-4): from there on the 5 examples can be cut "
        "away, which saves 41 % of the prompt's work and 52 % of its KV memory at 96 % of the full score."
    )


def test_a_part_is_a_direction_where_a_language_is_asked_for(sample: LocateView, translations: LocateView) -> None:
    assert part_word(translations.conditions[0]) == "direction"
    assert part_word(sample.conditions[0]) == "sub-task"
