"""The locate experiment on the bundled model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.analysis.recognition import recognition_point
from taskpoint.asking import encoding
from taskpoint.asking.condition import PAPER_CONDITIONS, Condition, conditions
from taskpoint.asking.scores import curve_scores
from taskpoint.errors import ModelError, PromptError, RunFolderError, SettingError, TaskpointError
from taskpoint.experiments.locate.cells import Cell
from taskpoint.experiments.locate.config import LocateConfig
from taskpoint.experiments.locate.run import LocateResult, start
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.encode import encode, encode_many
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.template import template

N = 12


def test_the_bundled_model_recognises_its_task_below_its_last_layer(small_run: LocateResult) -> None:
    point = small_run.point
    assert point.layer is not None, point.reason
    assert 1 <= point.layer < N
    assert point.low is not None
    assert point.high is not None
    assert point.low <= point.layer <= point.high
    assert point.ceiling > 0.9
    assert point.floor < 0.4
    assert point.zero_shot is not None
    assert point.zero_shot < 0.4


def test_a_visible_instruction_leaves_nothing_to_recognise_in_the_examples(small_run: LocateResult) -> None:
    with_instruction = small_run.view.conditions[1].point
    assert with_instruction.layer is None
    assert with_instruction.reason is not None
    assert "zero-shot" in with_instruction.reason or "floor" in with_instruction.reason


def test_rows_have_the_columns_of_the_contract_and_one_row_per_item_and_setting(small_run: LocateResult) -> None:
    rows = small_run.rows
    names = ["model", "task", "condition", "shots", "seed", "cut", "item", "text", "score"]
    assert list(rows.columns[: len(names)]) == names
    assert not rows.duplicated(["condition", "shots", "seed", "cut", "item"]).any()
    curve_rows = rows[rows["condition"] == "examples"]
    assert len(curve_rows) == 2 * (N + 1) * 24
    assert set(rows["condition"]) == {
        f"{name}{suffix}"
        for name in ("examples", "zero-shot", "shuffled answers", "early exit")
        for suffix in ("", " (with instruction)")
    }


def test_the_curve_is_the_mean_of_the_rows(small_run: LocateResult) -> None:
    rows = small_run.rows
    expected = rows[rows["condition"] == "examples"].groupby("cut")["score"].mean()
    np.testing.assert_allclose(small_run.curve["mean"], expected, atol=1e-12)
    assert list(small_run.curve["cut"]) == list(range(N + 1))
    assert (small_run.curve["low"] <= small_run.curve["mean"]).all()
    assert (small_run.curve["mean"] <= small_run.curve["high"]).all()


def test_the_last_cut_is_the_ordinary_model_and_equals_full_depth_exit(small_run: LocateResult) -> None:
    def texts(condition: str) -> pd.Series:
        rows = small_run.rows
        found = rows[(rows["condition"] == condition) & (rows["cut"] == N)]
        return found.set_index(["seed", "item"])["text"].sort_index()

    pd.testing.assert_series_equal(texts("examples"), texts("early exit"))


def test_a_row_is_what_a_user_gets_under_that_cut(lm: LanguageModel, small_run: LocateResult) -> None:
    task, form = tp.task("lexicon"), template("qa")
    rows = small_run.rows[small_run.rows["condition"] == "examples"].set_index(["seed", "cut", "item"])
    for item in task.items(24)[::7]:
        content = task.content(item, 3, 1, instruction=False)
        prompt = encode(lm.tokenizer, form, content)
        drop = torch.from_numpy(parse_selector("examples").mask(prompt))[None]
        ids = torch.from_numpy(prompt.ids)[None]
        for cut in (0, 2, 5, N):
            with tp.cut_context(lm.model, after=cut, drop=drop):
                out = lm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=9, do_sample=False)
            text = lm.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
            assert form.answer(text) == rows.loc[(1, cut, item.id), "text"]


def test_rank_zero_means_that_greedy_decoding_writes_the_reference(small_run: LocateResult) -> None:
    rows = small_run.rows[small_run.rows["condition"] == "examples"]
    # One direction only: another tokenisation of the same text may be written, too.
    assert (rows.loc[rows["text"] == rows["reference"], "rank"] == 0).mean() > 0.99
    assert (rows.loc[rows["rank"] > 0, "text"] != rows.loc[rows["rank"] > 0, "reference"]).mean() > 0.99
    assert (rows["logprob"] <= 0).all()


def test_early_exit_encodes_no_reference_that_it_does_not_score(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def counting(tokenizer, form, contents, answers=None):
        asked.append(answers is not None)
        return encode_many(tokenizer, form, contents, answers)

    monkeypatch.setattr(encoding, "encode_many", counting)
    task = tp.task("lexicon:plural")
    work = start(Asked(lm, task), LocateConfig.of(items=4, max_new_tokens=3))
    for kind, references in (("early exit", [False]), ("cut", [False, True]), ("zero-shot", [False, True])):
        asked.clear()
        work.rows(Cell(kind, Condition("examples", False), 2, 0, 0, task.items(4), (0, N)), lambda note: None)
        assert asked == references, kind


def test_hidden_counts_the_tokens_of_the_examples(small_run: LocateResult) -> None:
    rows = small_run.rows
    assert (rows.loc[rows["condition"] == "examples", "hidden"] > 3 * 4).all()
    assert (rows.loc[rows["condition"] == "shuffled answers", "hidden"] == 0).all()


def test_a_bisection_finds_the_point_of_the_whole_curve(lm: LanguageModel) -> None:
    task = tp.task("lexicon")
    named = {"shots": 3, "seeds": 1, "instruction": False, "items": 24, "controls": False}
    whole = tp.locate(lm, task, **named)
    part = tp.locate(lm, task, cuts="bisect", **named)
    assert len(part.curve) < len(whole.curve)
    merged = part.curve.merge(whole.curve, on="cut")
    np.testing.assert_allclose(merged["mean_x"], merged["mean_y"])
    scores = curve_scores(whole.rows, "examples", 3, list(range(N + 1))).values
    assert part.point.layer == recognition_point(list(range(N + 1)), scores).layer


def test_a_list_of_cuts_is_measured_with_floor_and_ceiling(lm: LanguageModel) -> None:
    found = tp.locate(lm, tp.task("lexicon:plural"), shots=1, seeds=1, cuts=[6], items=4, controls=False)
    assert list(found.curve["cut"]) == [0, 6, N]


def test_an_interrupted_run_ends_with_the_same_rows(lm: LanguageModel, tmp_path: Path) -> None:
    named = {"shots": 2, "seeds": 2, "instruction": False, "items": 12, "batch_size": 4}
    whole = tp.locate(lm, tp.task("lexicon"), out=tmp_path / "whole", **named)

    def stop_after(count: int):
        def tell(done: int, total: int) -> None:
            if done >= count:
                raise KeyboardInterrupt

        return tell

    for count in (1, 5, 9):
        with pytest.raises(KeyboardInterrupt):
            tp.locate(lm, tp.task("lexicon"), out=tmp_path / "parts", progress=stop_after(count), **named)
    parts = tp.locate(lm, tp.task("lexicon"), out=tmp_path / "parts", **named)
    pd.testing.assert_frame_equal(whole.rows, parts.rows)


def test_a_killed_process_loses_no_row_and_writes_none_twice(tmp_path: Path) -> None:
    code = (
        "import sys, torch, taskpoint as tp; torch.set_num_threads(1); "
        "tp.locate(tp.load(), tp.task('lexicon'), shots=2, seeds=2, instruction=False, items=16, batch_size=2, "
        "out=sys.argv[1])"
    )

    def start(folder: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path / folder)], stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    for wanted in (2, 9):
        process = start("killed")
        while len(list((tmp_path / "killed").rglob("*.parquet"))) < wanted and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start("killed").wait() == 0
    frames = [view_rows(tmp_path / name) for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*frames)


def view_rows(folder: Path) -> pd.DataFrame:
    from taskpoint.results.folder import RunFolder

    return RunFolder.read(folder).frame()


def test_a_folder_of_another_configuration_is_refused(lm: LanguageModel, tmp_path: Path) -> None:
    task = tp.task("lexicon:plural")
    named = {"seeds": 1, "items": 2, "cuts": [3], "controls": False, "out": tmp_path}
    tp.locate(lm, task, shots=1, **named)
    with pytest.raises(RunFolderError, match="shots"):
        tp.locate(lm, task, shots=2, **named)


def test_a_report_can_be_made_from_the_folder_alone(lm: LanguageModel, tmp_path: Path) -> None:
    found = tp.locate(
        lm,
        tp.task("lexicon"),
        shots=[1, 2],
        seeds=2,
        hide=["examples", "query"],
        instruction=False,
        items=6,
        out=tmp_path,
    )
    assert view_of_folder(tmp_path) == found.view
    assert [condition.shots for condition in found.view.conditions] == [1, 2, 1, 2]
    page = found.report(tmp_path / "report.html").read_text()
    assert "</html>" in page
    for suffix in ("pdf", "svg", "png"):
        assert found.plot(tmp_path / f"figure.{suffix}").stat().st_size > 1000
    config = json.loads((tmp_path / "config.json").read_text())["config"]
    assert config["model"] == "lexicon"
    assert config["task_sha256"] == tp.task("lexicon").fingerprint()


def test_the_saving_at_the_point_is_between_nothing_and_everything(small_run: LocateResult) -> None:
    saving = small_run.view.conditions[0].saving
    assert saving is not None
    assert 0 < saving.work < 1
    assert 0 < saving.kv < 1
    layer = small_run.point.layer
    assert layer is not None
    assert saving.paper == pytest.approx((N - layer) / N * 3 / 4)


def test_a_task_of_ones_own_works_with_chat_messages(lm: LanguageModel, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    line = {
        "messages": [
            {"role": "user", "content": "cat"},
            {"role": "assistant", "content": "cats"},
            {"role": "user", "content": "dog"},
        ],
        "answers": ["dogs"],
    }
    file.write_text(json.dumps(line) + "\n")
    found = tp.locate(lm, tp.task(f"prompts:{file}"), shots=1, seeds=1, instruction=False)
    assert len(found.curve) == N + 1


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        ({"shots": 10_000}, PromptError, "shots"),
        ({"shots": []}, SettingError, "shots"),
        ({"seeds": 0}, SettingError, "seeds"),
        ({"items": 0}, SettingError, "items"),
        ({"hide": "exmples"}, SettingError, "examples"),
        ({"hide": "none"}, SettingError, "hides nothing"),
        ({"hide": "instruction", "instruction": False}, SettingError, "instruction=True"),
        ({"hide": "examples[7:]"}, PromptError, "examples"),
        ({"cuts": [13]}, SettingError, "from 0 to 12"),
        ({"cuts": "some"}, SettingError, "bisect"),
        ({"template": "chat"}, TaskpointError, "chat"),
        ({"template": "qq"}, TaskpointError, "qa"),
        ({"max_new_tokens": 5000}, PromptError, "positions"),
    ],
)
def test_bad_settings_are_refused_in_one_line(
    lm: LanguageModel, named: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        tp.locate(lm, tp.task("lexicon:plural"), **{"shots": 2, "seeds": 1, "items": 2, **named})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_task_without_instruction_says_how_to_ask_it(lm: LanguageModel, tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"cat": "cats", "dog": "dogs", "hat": "hats"}))
    with pytest.raises(PromptError, match="instruction"):
        tp.locate(lm, tp.task(f"words:{file}"), shots=1, seeds=1, instruction=True)


def test_conditions_are_read_and_the_paper_has_five() -> None:
    assert len(PAPER_CONDITIONS) == 5
    assert conditions("FTF", False) == (Condition("examples", False),)
    assert conditions(["examples", "TTF"], (False, True)) == (
        Condition("examples", False),
        Condition("examples", True),
        Condition("instruction,examples", True),
    )
    assert len({condition.label for condition in PAPER_CONDITIONS}) == 5


def test_the_zero_shot_control_lacks_what_is_hidden() -> None:
    bare, told = Condition("examples", False), Condition("examples", True)
    assert [condition.zero_shot for condition in PAPER_CONDITIONS] == [bare, told, bare, None, bare]
    assert Condition("all", True).zero_shot == bare


def test_a_hidden_instruction_is_held_against_prompts_without_it(lm: LanguageModel) -> None:
    named = {"hide": "instruction,examples", "instruction": True}
    found = tp.locate(lm, tp.task("lexicon"), shots=3, seeds=1, items=20, cuts=[1], **named)
    assert "zero-shot" in set(found.rows["condition"])
    assert found.point.layer is not None
    assert found.point.zero_shot is not None
    assert found.point.zero_shot < 0.5


def test_a_model_that_is_no_decoder_is_refused() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    model = T5ForConditionalGeneration(config)
    with pytest.raises(ModelError, match="decoder"), tp.cut_context(model, 0, torch.zeros(1, 4, dtype=torch.bool)):
        pass
