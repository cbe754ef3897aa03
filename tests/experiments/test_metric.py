"""Tables of the user's scored by another metric than exact match, from the file to the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.asking.scores import curve_scores
from taskpoint.errors import RunFolderError
from taskpoint.models.loading import LanguageModel
from taskpoint.tasks.lexicon import lexicon

CUTS = [0, 6, 12]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of the bundled suite as a spreadsheet writes them."""
    path = tmp_path_factory.mktemp("tables") / "plurals.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["number", "Answer", "Question"])
        for number, item in enumerate(lexicon("plural").items(40)):
            writer.writerows([number, answer, item.input] for answer in (*item.answers, "the " + item.answers[0]))
    return path


@pytest.mark.parametrize("name", ["chrf", "chrf++:lc", "bleu:char", "bleu"])
def test_the_curve_is_the_corpus_score_of_all_answers_at_a_cut(
    lm: LanguageModel, table: Path, tmp_path: Path, name: str
) -> None:
    oracle = {
        "chrf": CHRF(),
        "chrf++:lc": CHRF(word_order=2, lowercase=True),
        "bleu:char": BLEU(tokenize="char"),
        "bleu": BLEU(),
    }[name]
    task = tp.task(f"pairs:{table}", metric=name)
    found = tp.locate(lm, task, shots=3, seeds=2, instruction=False, items=12, cuts=CUTS, out=tmp_path)
    answers = {item.id: item.answers for item in task.items()}
    for cut, mean in zip(found.curve["cut"], found.curve["mean"], strict=True):
        rows = found.rows[(found.rows["condition"] == "examples") & (found.rows["cut"] == cut)]
        references = list(zip(*(answers[item] for item in rows["item"]), strict=True))
        assert mean == pytest.approx(oracle.corpus_score(list(rows["text"]), references).score, abs=1e-9)
        if isinstance(oracle, CHRF):
            asked = zip(rows["text"], rows["item"], strict=True)
            each = [oracle.sentence_score(text, answers[item]).score for text, item in asked]
            np.testing.assert_allclose(rows["score"], each)
    # No answer has the four words that BLEU asks for.
    assert (found.curve["mean"].iloc[-1] > found.curve["mean"].iloc[0]) == (name != "bleu")
    config = json.loads((tmp_path / "config.json").read_text())["config"]
    assert config["metric_name"] == name
    oracle.num_refs = 2
    assert config["metric_signature"].endswith(f"|{oracle.get_signature()}")
    view = view_of_folder(tmp_path)
    assert view.settings["metric"] == config["metric_signature"]
    assert view.conditions == found.view.conditions
    assert f"--metric {name}" in view.command


def test_a_run_with_another_metric_is_not_continued(lm: LanguageModel, table: Path, tmp_path: Path) -> None:
    settings = {"shots": 2, "seeds": 1, "instruction": False, "items": 4, "cuts": [0, 12], "controls": False}
    tp.locate(lm, tp.task(f"pairs:{table}"), out=tmp_path, **settings)
    config = json.loads((tmp_path / "config.json").read_text())["config"]
    assert config["metric"] == "exact match"
    assert "metric_name" not in config
    assert "--metric" not in view_of_folder(tmp_path).command
    tp.locate(lm, tp.task(f"pairs:{table}", metric="exact"), out=tmp_path, **settings)
    for name in ("chrf", "exact:lc", "prefix"):
        with pytest.raises(RunFolderError, match="metric"):
            tp.locate(lm, tp.task(f"pairs:{table}", metric=name), out=tmp_path, **settings)


def test_a_bisection_goes_by_corpus_chrf_too(lm: LanguageModel, table: Path) -> None:
    named = {"shots": 3, "seeds": 1, "instruction": False, "items": 12, "controls": False, "cuts": "bisect"}
    found = tp.locate(lm, tp.task(f"pairs:{table}", metric="chrf"), **named)
    assert {0, 12} <= set(found.curve["cut"])
    assert found.curve["mean"].max() > 1


def test_counts_of_no_known_score_are_refused(lm: LanguageModel, table: Path) -> None:
    named = {"shots": 2, "seeds": 1, "instruction": False, "items": 4, "controls": False, "cuts": [0, 12]}
    rows = tp.locate(lm, tp.task(f"pairs:{table}", metric="chrf"), **named).rows
    rows["counts"] = "1 2 3"
    with pytest.raises(RunFolderError, match="have 3 counts; expected those of one score, 10, 18, 24"):
        curve_scores(rows, "examples", 2, [0, 12])
