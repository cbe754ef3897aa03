"""The ablate experiment on the bundled models."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.analysis.effects import LayerEffects
from taskpoint.analysis.intervals import Interval
from taskpoint.asking.measure import Measure
from taskpoint.asking.questions import Questions
from taskpoint.cli import main
from taskpoint.engine.calls.projections import output_projections, without_attention
from taskpoint.errors import ModelError, PromptError, RunFolderError, SettingError, TaskpointError
from taskpoint.experiments.ablate import blocks
from taskpoint.experiments.ablate.config import AblateConfig
from taskpoint.experiments.ablate.run import AblateResult, start
from taskpoint.experiments.ablate.view import layers_of
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.template import template

N, ITEMS = 12, 8
TASK = "lexicon:plural"
NAMED: dict[str, Any] = {"shots": (0, 2), "seeds": 2, "items": ITEMS, "batch_size": 5, "max_new_tokens": 4}


@pytest.fixture(scope="module")
def folder(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ablate") / "run"
    tp.ablate(lm, tp.task(TASK), out=path, **NAMED)
    return path


@pytest.fixture(scope="module")
def small_run(lm: LanguageModel, folder: Path) -> AblateResult:
    """What is there already is read, not asked again."""
    return tp.ablate(lm, tp.task(TASK), out=folder, **NAMED)


def test_rows_have_one_row_per_item_and_layer_and_setting(small_run: AblateResult) -> None:
    rows = small_run.rows
    assert not rows.duplicated(["condition", "shots", "seed", "layer", "item"]).any()
    assert sorted(rows["layer"].unique()) == list(range(-1, N))
    settings = rows.groupby(["shots", "condition"])["seed"].nunique()
    removed = "attention of one layer removed"
    told = f"{removed} (with instruction)"
    # Without examples nothing but an instruction names the task, and the prompt is the same under every seed.
    assert dict(settings) == {(0, told): 1, (2, removed): 2, (2, told): 2}
    assert len(rows) == 5 * (N + 1) * ITEMS


def test_rows_say_what_the_model_says_without_the_attention_of_that_layer(
    lm: LanguageModel, small_run: AblateResult
) -> None:
    task, form = tp.task(TASK), template("qa")
    items = task.items(ITEMS)
    questions = Questions(lm, task, form, items, False, NAMED["max_new_tokens"])
    contents = questions.contents(items, 2, 1, False)
    asked, answered = questions.asked(contents), questions.answered(contents, items)
    one = Measure(lm, form, questions.max_new_tokens)
    nothing = [[np.zeros(len(prompt), dtype=bool) for prompt in prompts] for prompts in (asked, answered)]
    rows = small_run.rows
    found = rows[(rows["shots"] == 2) & (rows["seed"] == 1) & ~rows["condition"].str.contains("with instruction")]
    projections = output_projections(lm.model)
    for layer in (-1, 0, 4, N - 1):
        with without_attention(projections[layer : layer + 1] if layer >= 0 else ()):
            texts = one.answers(asked, nothing[0], (N,))[0]
            scores = one.reference(answered, nothing[1], (N,))
        at = found[found["layer"] == layer].set_index("item").loc[[item.id for item in items]]
        assert list(at["text"]) == texts
        np.testing.assert_allclose(at["logprob"], scores.logprob[0], atol=1e-3)
        np.testing.assert_array_equal(at["rank"], scores.rank[0])
    assert found.groupby("layer")["logprob"].mean().nunique() == N + 1  # otherwise no layer would differ from another


def test_the_curve_is_the_mean_of_the_rows_and_its_change_that_to_nothing_removed(small_run: AblateResult) -> None:
    means = small_run.rows.groupby(["shots", "condition", "layer"])["score"].mean()
    for (shots, told), curve in small_run.curves.groupby(["shots", "instruction"]):
        name = f"attention of one layer removed{' (with instruction)' if told else ''}"
        expected = means.loc[shots, name]
        np.testing.assert_allclose(curve["score"], expected.loc[0:], atol=1e-12)
        np.testing.assert_allclose(curve["change"], expected.loc[0:] - expected.loc[-1], atol=1e-12)
        assert ((curve["low"] <= curve["change"] + 1e-12) & (curve["change"] <= curve["high"] + 1e-12)).all()


def test_the_first_layer_of_the_bundled_model_is_critical_and_its_last_redundant(small_run: AblateResult) -> None:
    for one in small_run.view.conditions:
        assert 0 in one.effects.layers("critical")
        assert N - 1 in one.effects.layers("redundant")
    assert blocks.conclusion(small_run.view).startswith("Layer 0 of 12 is critical at 0-shot with instruction")


def test_what_it_says_of_every_layer_can_be_held_against_other_experiments(small_run: AblateResult) -> None:
    found = layers_of(small_run.view)
    headline = small_run.view.headline
    assert (headline.shots, headline.instruction) == (2, False)
    full = headline.effects.full.mean
    np.testing.assert_allclose(found.values, full - np.array(headline.scores), atol=1e-12)
    assert found.replicates.shape == (len(found.pointed_replicates), N)
    np.testing.assert_allclose(found.replicates.mean(0), found.values, atol=0.05)
    assert found.pointed == max(headline.effects.layers("critical")) + 1


def test_a_run_that_was_cut_off_goes_on_with_the_missing_cells(
    lm: LanguageModel, folder: Path, small_run: AblateResult, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "run")
    parts = sorted((tmp_path / "run" / "rows").glob("*.parquet"))
    kept = {part: part.stat().st_mtime_ns for part in parts[1:]}
    parts[0].unlink()
    again = tp.ablate(lm, tp.task(TASK), out=tmp_path / "run", **NAMED)
    assert again.rows.equals(small_run.rows)
    assert {part: part.stat().st_mtime_ns for part in kept} == kept


def test_a_cell_can_be_computed_elsewhere_from_its_key(lm: LanguageModel, small_run: AblateResult) -> None:
    work = start(Asked(lm, tp.task(TASK)), AblateConfig.of(**NAMED))
    (cells,) = work.groups(lambda: small_run.rows)
    assert [work.cell(cell.key) for cell in cells] == list(cells)
    with pytest.raises(SettingError, match="no cell of this run"):
        work.cell("another")


def test_without_a_complete_curve_there_is_nothing_to_show(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "run")
    for part in (tmp_path / "run" / "rows").glob("*.parquet"):
        row = pq.ParquetFile(part).read().slice(0, 1).to_pylist()[0]
        if row["shots"] == 0 or row["seed"] == 1:
            part.unlink()
    with pytest.raises(RunFolderError, match="no complete curve"):
        view_of_folder(tmp_path / "run")


def test_answers_of_a_translator_have_a_corpus_score_failures_and_a_language(tmp_path: Path) -> None:
    found = tp.ablate("translator", "everyday:eng-fra", shots=0, items=3, max_new_tokens=6, out=tmp_path / "run")
    (one,) = found.view.conditions
    assert found.view.metric == "BLEU"
    assert one.failed is not None
    assert one.language is not None
    full = found.rows[found.rows["layer"] == -1]
    assert one.failed[-1].mean == pytest.approx((full["score"] < 5).mean())
    assert one.language[-1].mean == pytest.approx(full["in_language"].mean())
    assert one.language[-1].mean == 1.0
    assert one.language[0].mean < 1.0  # without its first layer it does not know what to write
    report = found.report(tmp_path / "report.html").read_text()
    assert "fail entirely (below 5)" in report
    assert found.view.command in report
    assert found.plot(tmp_path / "figure.svg").read_text().startswith("<?xml")


def test_the_command_line_writes_rows_page_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", TASK, "--shots", "0", "--items", "3", "--instruction", "no", "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["taskpoint", "ablate", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    printed = capsys.readouterr().out
    assert "0-shot without instruction" in printed
    assert all((tmp_path / "run" / name).exists() for name in ("report.html", "figure.pdf", "config.json"))


@pytest.mark.parametrize(
    ("shots", "instruction", "asked"),
    [
        ((0, 5), (False, True), ((0, True), (5, False), (5, True))),
        ((0, 5), (False,), ((0, False), (5, False))),
        ((5, 0), (True,), ((5, True), (0, True))),
    ],
)
def test_prompts_without_examples_have_an_instruction_unless_none_is_asked_for(
    shots: tuple[int, ...], instruction: tuple[bool, ...], asked: tuple[tuple[int, bool], ...]
) -> None:
    assert AblateConfig(shots=shots, instruction=instruction).conditions == asked


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shots": 500}, "set shots to at most"),
        ({"shots": -1}, "shots is -1"),
        ({"critical": 0.0}, "critical is 0.0; expected a share"),
        ({"critical": float("nan")}, "critical is nan"),
        ({"instruction": []}, r"instruction is \[\]"),
        ({"items": 0}, "items is 0"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(lm: LanguageModel, tmp_path: Path, wrong: Any, says: str) -> None:
    given = {"lm": lm, "task": TASK, "items": 4, "out": tmp_path / "run", **wrong}
    with pytest.raises((SettingError, PromptError), match=says) as caught:
        tp.ablate(**given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def nan_in_layer_three(model: Any) -> None:
    model.model.layers[3].mlp.up_proj.weight.data.fill_(float("nan"))


class _Nothing(torch.nn.Module):
    """Attention without a linear map."""

    def forward(self, hidden_states: torch.Tensor, **kwargs: Any) -> Any:
        return torch.zeros_like(hidden_states), None


def no_projection(model: Any) -> None:
    model.model.layers[2].self_attn = _Nothing()


@pytest.mark.parametrize(
    ("spoil", "says"), [(nan_in_layer_three, "first in layer 3"), (no_projection, "attention of layer 2")]
)
def test_a_model_that_cannot_be_ablated_is_refused_before_anything_is_asked(
    tmp_path: Path, spoil: Any, says: str
) -> None:
    own = tp.load()
    spoil(own.model)
    with pytest.raises(ModelError, match=says) as caught:
        tp.ablate(own, TASK, items=4, out=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("key", "value"), [("num_layers", 11), ("critical", 2), ("instruction", []), ("shots", [7])])
def test_a_configuration_that_was_edited_is_refused(folder: Path, tmp_path: Path, key: str, value: Any) -> None:
    shutil.copytree(folder, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    told = json.loads(file.read_text())
    told["config"][key] = value
    file.write_text(json.dumps(told))
    with pytest.raises(TaskpointError, match=r"config\.json"):
        view_of_folder(tmp_path / "run")


def judged(critical: set[int], redundant: set[int], reason: str | None = None) -> LayerEffects:
    """Effects with these verdicts."""
    change = {
        layer: Interval(-0.9, -1.0, -0.8) if layer in critical else Interval(0.0, -0.01, 0.01) for layer in range(10)
    }
    undecided = set(range(10)) - critical - redundant
    changes = tuple(Interval(0.0, -0.1, 0.1) if layer in undecided else change[layer] for layer in range(10))
    return LayerEffects(Interval(1.0, 0.9, 1.1), changes, np.zeros((3, 10)), 0.05, reason)


@pytest.mark.parametrize(
    ("effects", "says"),
    [
        (
            [judged({3, 5, 6}, {7, 8, 9}), judged({3, 5}, {2, 7, 8, 9})],
            "Layers 3, 5 and 6 of 10 are critical at {0}, layers 3 and 5 at {1}; layers 7-9 are redundant each time.",
        ),
        ([judged({3}, {4})], "Layer 3 of 10 is critical at {0}; layer 4 is redundant."),
        ([judged(set(), set())], "No layer of 10 is critical at {0}; no layer is redundant."),
        (
            [judged({1, 2}, set())] * 2,
            "Layers 1 and 2 of 10 are critical at {0} and {1}; no layer is redundant each time.",
        ),
        (
            [judged({1}, set(), "no score"), judged(set(), {0, 1})],
            "No layer of 10 is critical at {1}; layers 0 and 1 are redundant. Nothing can be said at {0}: no score.",
        ),
        ([judged(set(), set(), "no score")], "Nothing can be said at {0}: no score."),
    ],
)
def test_the_conclusion_names_layers_as_people_do(
    small_run: AblateResult, effects: list[LayerEffects], says: str
) -> None:
    conditions = tuple(
        replace(one, effects=each) for one, each in zip(small_run.view.conditions, effects, strict=False)
    )
    view = replace(small_run.view, num_layers=10, conditions=conditions)
    assert blocks.conclusion(view) == says.format(*(one.label for one in conditions))


@pytest.mark.parametrize(
    ("layers", "says"),
    [((), "none"), ((4,), "4"), ((1, 2), "1 and 2"), ((0, 1, 2), "0-2"), ((0, 2, 3, 4, 7), "0, 2-4 and 7")],
)
def test_layers_in_a_row_are_named_by_their_ends(layers: tuple[int, ...], says: str) -> None:
    assert blocks.named(layers) == says


def test_no_critical_layer_points_nowhere(small_run: AblateResult) -> None:
    one = small_run.view.conditions[0]
    nothing = replace(one, effects=judged(set(), set(range(10))))
    found = layers_of(replace(small_run.view, conditions=(nothing,)))
    assert math.isnan(found.pointed)
    assert np.isnan(found.pointed_replicates).all()
