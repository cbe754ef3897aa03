"""The command line as a user meets it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskpoint.cli import main

SMALL = ["--shots", "2", "--seeds", "1", "--items", "4"]


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["taskpoint", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_help_answers_at_once_and_names_the_verbs() -> None:
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-m", "taskpoint", "--help"], capture_output=True, text=True, check=True)
    # Generous: a loaded machine; the point is that torch, which takes seconds, is not imported.
    assert time.perf_counter() - start < 3
    for verb in ("locate", "pretrain", "tasks", "models", "report"):
        assert verb in out.stdout


def test_locate_ends_with_a_sentence_and_says_where_its_files_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["locate", "--task", "lexicon", *SMALL, "--out", str(tmp_path / "run")]
    code, out, _ = run(capsys, monkeypatch, *words)
    assert code == 0
    assert "lexicon" in out
    assert (tmp_path / "run" / "report.html").exists()
    assert str(tmp_path / "run") in out
    again, _, _ = run(capsys, monkeypatch, *words)
    assert again == 0
    code, out, _ = run(capsys, monkeypatch, "report", str(tmp_path / "run"), "--figure", str(tmp_path / "f.svg"))
    assert code == 0
    assert (tmp_path / "f.svg").exists()


def test_without_out_the_same_settings_find_the_same_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        code, _, _ = run(capsys, monkeypatch, "locate", "--task", "lexicon:plural", *SMALL, "--no-controls")
        assert code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_tasks_and_models_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lexicon:plural" in run(capsys, monkeypatch, "tasks")[1]
    assert "lexicon" in run(capsys, monkeypatch, "models")[1]
    code, out, _ = run(capsys, monkeypatch, "models", "--check", "lexicon")
    assert code == 0
    assert "exact" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["locate", "--task", "lexcon"], "Did you mean 'lexicon'"),
        (["locate", "--task", "words:missing.json"], "missing.json"),
        (["locate", "--task", "words:{bad}"], "line 2"),
        (["locate", "lexikon"], "Did you mean 'lexicon'"),
        (["locate", "nobody/no-such-model"], "nobody/no-such-model"),
        (["locate", "--shots", "100000"], "shots"),
        (["locate", "--shots", "many"], "--shots"),
        (["locate", "--hide", "instruction"], "instruction"),
        (["locate", "--hide", "context"], "hide"),
        (["locate", "--cuts", "1,x"], "--cuts"),
        (["locate", "--paper", "--hide", "query"], "--paper"),
        (["locate", "--template", "chat"], "chat"),
        (["locate", "--device", "toaster"], "toaster"),
        (["locate", "--dtype", "float5"], "float5"),
        (["locate", "--frobnicate"], "--frobnicate"),
        (["report", "{empty}"], "run"),
        (["nonsense"], "nonsense"),
        (["pretrain", "lexicon", "--steps", "0"], "steps"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.json"
    bad.write_text('[{"input": "a", "output": "b"},\n {"input": "c"}]')
    (tmp_path / "empty").mkdir()
    filled = [word.format(bad=bad, empty=tmp_path / "empty") for word in words]
    code, out, err = run(capsys, monkeypatch, *filled)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert expected in err
    assert not (tmp_path / "runs").exists(), "a refused command leaves nothing behind"


def test_out_of_another_configuration_is_refused_and_keeps_its_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["locate", "--task", "lexicon:plural", *SMALL, "--no-controls", "--out", str(tmp_path)]
    assert run(capsys, monkeypatch, *words)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, _, err = run(capsys, monkeypatch, *words, "--fresh")
    assert code == 2
    assert "fresh" in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
