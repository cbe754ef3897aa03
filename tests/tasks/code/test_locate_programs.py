"""`locate` with programs as answers, from the command line to the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import taskpoint as tp
from taskpoint.cli import main
from taskpoint.experiments.subjects import ModelAndTask

from .files import humaneval_file

FEW = ("--items", "3", "--seeds", "1", "--shots", "1", "--cuts", "0", "--max-new-tokens", "4", "--no-controls")


def test_without_leave_no_model_is_loaded(tmp_path: Path) -> None:
    asked = ModelAndTask(model="no/such/model", task=f"humaneval:{humaneval_file(tmp_path)}")
    with pytest.raises(
        tp.SettingError, match="running the programs that the model writes; allow it with --run-programs"
    ):
        asked.load()


def test_a_run_says_how_programs_were_contained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--task", f"humaneval:{humaneval_file(tmp_path)}", *FEW, "--run-programs", "--out", str(tmp_path / "run"))
    monkeypatch.setattr(sys, "argv", ["taskpoint", "locate", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "pass@1 by cut" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["metric"] == "pass@1"
    assert config["metric_signature"].startswith("pass@1 | contained by ")
    page = (tmp_path / "run" / "report.html").read_text()
    assert config["metric_signature"] in page
    assert "--task humaneval:small.jsonl --run-programs" in page


def test_a_task_without_leave_is_refused_in_python_before_the_model_is_asked(tmp_path: Path) -> None:
    lm = tp.load()
    asked = []
    lm.model.register_forward_pre_hook(lambda *_: asked.append(1))
    with pytest.raises(tp.SettingError, match="run_programs=True in Python"):
        tp.locate(lm, f"humaneval:{humaneval_file(tmp_path)}", shots=1, seeds=1, items=3)
    assert not asked
