"""`locate` with programs as answers, from the command line to the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import taskpoint as tp

from .files import humaneval_file

FEW = ("--items", "3", "--seeds", "1", "--shots", "1", "--cuts", "0", "--max-new-tokens", "4", "--no-controls")


def command(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`taskpoint locate` on a small file of problems."""
    words = ("locate", "--task", f"humaneval:{humaneval_file(folder)}", *FEW, "--out", str(folder / "run"), *more)
    return subprocess.run([sys.executable, "-m", "taskpoint", *words], capture_output=True, text=True)


def test_without_leave_nothing_is_loaded_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = command(tmp_path, "--device", "no such device")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "scored by running the programs that the model writes; allow it with --run-programs" in line
    assert not (tmp_path / "run").exists()


def test_a_run_says_how_programs_were_contained(tmp_path: Path) -> None:
    done = command(tmp_path, "--run-programs")
    assert done.returncode == 0, done.stderr
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
