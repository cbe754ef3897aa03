"""Tasks that are scored together and are about languages: corpus BLEU, the language of answers, directions."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.experiments.locate.run import LocateResult
from taskpoint.models.loading import LanguageModel

CUTS = [0, 2, 10]


@pytest.fixture(scope="module")
def translator() -> LanguageModel:
    return tp.load("translator")


@pytest.fixture(scope="module")
def one_direction(translator: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> LocateResult:
    folder = tmp_path_factory.mktemp("runs") / "run"
    task = tp.task("everyday:eng-fra")
    return tp.locate(translator, task, shots=3, seeds=2, instruction=False, items=10, cuts=CUTS, out=folder)


@pytest.fixture(scope="module")
def suite(translator: LanguageModel) -> LocateResult:
    return tp.locate(translator, tp.task("everyday"), shots=3, seeds=1, instruction=False, items=32, cuts=CUTS)


def test_the_curve_is_the_corpus_bleu_of_all_answers_at_a_cut(one_direction: LocateResult) -> None:
    answers = {item.id: item.answers for item in tp.task("everyday:eng-fra").items()}
    rows = one_direction.rows
    for cut, mean in zip(one_direction.curve["cut"], one_direction.curve["mean"], strict=True):
        found = rows[(rows["condition"] == "examples") & (rows["cut"] == cut)]
        accepted = [answers[item] for item in found["item"]]
        references = [[each[min(rank, len(each) - 1)] for each in accepted] for rank in range(2)]
        assert mean == pytest.approx(BLEU(lowercase=True).corpus_score(list(found["text"]), references).score)


def test_the_language_curve_is_the_share_of_answers_in_the_language_that_was_asked_for(
    one_direction: LocateResult,
) -> None:
    rows = one_direction.rows[one_direction.rows["condition"] == "examples"]
    np.testing.assert_array_equal(rows["in_language"] == 1, rows["language"] == "French")
    [condition] = one_direction.view.conditions
    expected = rows.groupby("cut")["in_language"].mean()
    np.testing.assert_allclose(condition.language or (), expected)
    assert condition.language is not None
    assert condition.language[-1] == 1
    answer = one_direction.view.answers[0]
    assert answer.languages is not None
    assert len(answer.languages) == len(CUTS)


def test_a_report_from_the_folder_alone_shows_the_same(one_direction: LocateResult) -> None:
    assert one_direction.folder is not None
    again = view_of_folder(one_direction.folder)
    assert again.conditions == one_direction.view.conditions


def test_a_suite_has_a_curve_and_a_point_for_each_direction(suite: LocateResult) -> None:
    [condition] = suite.view.conditions
    rows = suite.rows
    assert [part.name for part in condition.parts] == sorted(rows["subtask"].unique())
    assert len(condition.parts) == 8
    for part in condition.parts:
        found = rows[(rows["condition"] == "examples") & (rows["subtask"] == part.name)]
        expected = found.groupby("cut")["in_language"].mean()
        np.testing.assert_allclose(part.language or (), expected)
    points = suite.points
    assert list(points["subtask"]) == ["", *(part.name for part in condition.parts)]
    assert points["ceiling"].iloc[0] == pytest.approx(suite.point.ceiling)


def test_tasks_without_languages_have_no_language_curve(small_run: LocateResult) -> None:
    assert all(condition.language is None for condition in small_run.view.conditions)
    assert all(answer.languages is None for answer in small_run.view.answers)
    assert (small_run.rows["counts"] == "").all()


def test_a_bisection_goes_by_corpus_bleu_too(translator: LanguageModel) -> None:
    named = {"shots": 3, "seeds": 1, "instruction": False, "items": 12, "controls": False}
    found = tp.locate(translator, tp.task("everyday:eng-fra"), cuts="bisect", **named)
    assert found.curve["mean"].max() > 1
    assert {0, 10} <= set(found.curve["cut"])
