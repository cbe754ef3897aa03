from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from taskpoint.analysis.recognition import RecognitionPoint
from taskpoint.errors import SettingError
from taskpoint.experiments.locate.findings import ControlScore, LocateView, PartView
from taskpoint.experiments.locate.wording import gap_sentence


def test_a_column_of_another_length_than_the_cuts_is_refused_and_named(sample: LocateView) -> None:
    condition = sample.conditions[0]
    with pytest.raises(SettingError, match=r"early_exit has 2 values, expected 13"):
        dataclasses.replace(condition, early_exit=(0.1, 0.2))


@pytest.mark.parametrize("cuts", [(), (3, 2), (1, 1), (-1, 0)])
def test_cuts_must_ascend_from_zero(sample: LocateView, cuts: tuple[int, ...]) -> None:
    values = tuple(0.5 for _ in cuts)
    with pytest.raises(SettingError, match="ascending"):
        dataclasses.replace(sample.conditions[0], cuts=cuts, mean=values, low=values, high=values)


def test_scores_that_are_no_numbers_are_refused(sample: LocateView) -> None:
    condition = sample.conditions[0]
    with pytest.raises(SettingError, match="mean holds nan"):
        dataclasses.replace(condition, mean=(float("nan"), *condition.mean[1:]))
    with pytest.raises(SettingError, match="'floor': low holds -inf"):
        ControlScore("floor", 0.1, float("-inf"), 0.2)


def test_half_an_early_exit_interval_is_refused(sample: LocateView) -> None:
    with pytest.raises(SettingError, match="early exit interval"):
        dataclasses.replace(sample.conditions[0], early_exit_low=None)


def test_a_view_without_conditions_is_refused(sample: LocateView) -> None:
    with pytest.raises(SettingError, match="0 conditions"):
        dataclasses.replace(sample, conditions=(), answers=())


def test_an_answer_to_an_unknown_condition_is_refused(sample: LocateView) -> None:
    stray = dataclasses.replace(sample.answers[0], condition=5)
    with pytest.raises(SettingError, match="condition 5, expected an index from 0 to 4"):
        dataclasses.replace(sample, answers=(stray,))


def test_an_answer_needs_one_text_for_each_cut(sample: LocateView) -> None:
    short = dataclasses.replace(sample.answers[0], texts=("chien",))
    with pytest.raises(SettingError, match="texts has 1 values, expected 13"):
        dataclasses.replace(sample, answers=(short,))


def test_a_cut_above_the_last_layer_is_refused(sample: LocateView) -> None:
    with pytest.raises(SettingError, match="cut 12 is above the model's 8 layers"):
        dataclasses.replace(sample, num_layers=8)


def test_the_share_kept_is_the_score_at_the_point_over_the_ceiling(sample: LocateView) -> None:
    condition = sample.conditions[0]
    layer = condition.point.layer
    assert layer is not None
    assert condition.kept == condition.mean[layer] / condition.point.ceiling
    assert sample.conditions[4].kept is None


def test_the_cuts_of_a_view_are_those_of_all_conditions(sample: LocateView) -> None:
    condition = sample.conditions[0]
    few = {name: getattr(condition, name)[::4] for name in ("cuts", "mean", "low", "high")}
    sparse = dataclasses.replace(condition, **few, early_exit=None, early_exit_low=None, early_exit_high=None)
    assert dataclasses.replace(sample, conditions=(sparse,), answers=()).cuts == (0, 4, 8, 12)


@pytest.mark.parametrize("share", [-0.1, 1.01])
@pytest.mark.parametrize("column", ["language", "language_low", "language_high"])
def test_a_share_of_the_asked_language_lies_within_0_and_1(translations: LocateView, column: str, share: float) -> None:
    condition = translations.conditions[0]
    values = (*(0.5 for _ in condition.cuts[:-1]), share)
    with pytest.raises(SettingError, match=rf"{column} holds {share}, expected shares from 0 to 1"):
        dataclasses.replace(condition, **{column: values})


def test_the_language_of_a_condition_is_finite_and_has_one_value_for_each_cut(translations: LocateView) -> None:
    condition = translations.conditions[0]
    assert condition.language is not None
    with pytest.raises(SettingError, match="language has 2 values, expected 11"):
        dataclasses.replace(condition, language=(0.5, 0.5))
    with pytest.raises(SettingError, match="language holds nan, expected finite"):
        dataclasses.replace(condition, language=(float("nan"), *condition.language[1:]))


def test_the_interval_of_the_language_has_two_ends_and_a_curve(translations: LocateView) -> None:
    condition = translations.conditions[0]
    with pytest.raises(SettingError, match="one end of the language interval is missing"):
        dataclasses.replace(condition, language_high=None)
    with pytest.raises(SettingError, match="an interval of the language, but no `language`"):
        dataclasses.replace(condition, language=None)
    bare = dataclasses.replace(condition, language_low=None, language_high=None)
    assert bare.language == condition.language


def test_a_part_has_the_cuts_of_its_condition(translations: LocateView) -> None:
    condition = translations.conditions[0]
    part = condition.parts[0]
    few = {name: getattr(part, name)[:3] for name in ("mean", "low", "high", "language")}
    with pytest.raises(SettingError, match="part 'eng-fra': mean has 3 values, expected 11"):
        dataclasses.replace(condition, parts=(dataclasses.replace(part, **few),))


def test_the_columns_of_a_part_are_checked_like_those_of_a_condition(translations: LocateView) -> None:
    part = translations.conditions[0].parts[0]
    with pytest.raises(SettingError, match="part 'eng-fra': low has 1 values, expected 11"):
        dataclasses.replace(part, low=(0.1,))
    with pytest.raises(SettingError, match="part 'x': high holds inf"):
        PartView("x", (1.0,), (0.5,), (float("inf"),), part.point)
    with pytest.raises(SettingError, match=r"part 'x': language holds 98.0, expected shares"):
        PartView("x", (1.0,), (0.5,), (1.5,), part.point, (98.0,))


def test_an_answer_needs_one_language_for_each_cut(translations: LocateView) -> None:
    short = dataclasses.replace(translations.answers[0], languages=("French",))
    with pytest.raises(SettingError, match="languages has 1 values, expected 11"):
        dataclasses.replace(translations, answers=(short,))


def test_the_price_of_the_gap_stands_below_the_point_alone(translations: LocateView) -> None:
    """By hand: ceiling 50, zero-shot 44. At r = 0 a cut loses 30 and zero-shot 6: 24 of 30 are the gap's."""
    one = translations.conditions[0]
    cuts, mean = (0, 1, 2, 3), (20.0, 47.0, 49.0, 50.0)
    point = RecognitionPoint(2, 2, 2, 50.0, 20.0, 44.0)
    small = {"language": None, "language_low": None, "language_high": None, "early_exit": None, "parts": ()}
    view = replace(one, cuts=cuts, mean=mean, low=mean, high=mean, point=point, controls=(), **small)
    assert view.gap == (pytest.approx(0.8), 0.0, None, None)
    assert replace(view, point=replace(point, zero_shot=None)).gap == (None,) * 4
    undefined = replace(point, layer=None, low=None, high=None, reason="none")
    assert replace(view, point=undefined).gap == (pytest.approx(0.8), 0.0, 0.0, None)
    for other in ("examples,query", "all", "examples[1:]", "query"):  # zero-shot lacks more or less than these
        assert replace(view, hide=other).gap == (None,) * 4
    told = gap_sentence(translations, view)
    assert told is not None
    assert told.startswith("At r = 0 BLEU is 20.0, 30.0 below the ceiling; a prompt without what is hidden has 44.0.")
    assert "So 80 % of the loss" in told
    assert "costs nothing" in str(gap_sentence(translations, replace(view, point=replace(point, zero_shot=11.0))))
    assert gap_sentence(translations, replace(view, hide="query")) is None
