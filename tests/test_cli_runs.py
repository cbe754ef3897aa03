"""What verbs make of a run folder, and of folders and files that are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.asking.condition import Condition
from taskpoint.cli import main
from taskpoint.compiled.file import read_compiled
from taskpoint.experiments.locate.recognised import Recognised, recognised
from taskpoint.results import folder as folder_module
from taskpoint.results.folder import RunFolder


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["taskpoint", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """The one line of a refusal."""
    code, out, err = run(capsys, monkeypatch, *words)
    assert (code, out) == (2, "")
    (said,) = err.strip().splitlines()
    return said


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of `locate`: of one sub-task as asked without any option, and of many conditions."""
    folder = tmp_path_factory.mktemp("runs")
    lm, small = tp.load(), {"seeds": 1, "items": 24, "cuts": [9], "controls": False}
    tp.locate(lm, tp.task("lexicon:plural"), out=folder / "plain", **small)
    many: dict[str, Any] = {"shots": [2, 3], "hide": ["query", "examples"], "instruction": (False, True)}
    tp.locate(lm, tp.task("lexicon"), out=folder / "many", template="arrow", **small, **many)
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(("model", "task"), [("lexicon", "lexicon"), ("translator", "everyday:eng-fra")])
def test_a_default_compile_works_on_a_default_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, task: str
) -> None:
    folder, out = tmp_path / "run", tmp_path / "prompt.safetensors"
    fewer = ["--items", "40", "--seeds", "1", "--cuts", "8", "--no-controls"]  # only so that the test is quick
    assert run(capsys, monkeypatch, "locate", model, *fewer, "--out", str(folder))[0] == 0
    code, said, err = run(capsys, monkeypatch, "compile", "--from", str(folder), "--out", str(out))
    assert code == 0, err
    recipe, view = read_compiled(out).recipe, view_of_folder(folder)
    assert recipe.after == view.conditions[0].point.layer
    assert (recipe.task, recipe.template, recipe.shots, recipe.hide) == (task, view.template, 5, "examples")
    assert recipe.instruction is None
    assert f"{task}, 5 shots, examples hidden, no instruction" in said
    assert len(err.splitlines()) == (1 if model == "lexicon" else 0), "which of the sub-tasks, where there are several"
    code, said, _ = run(capsys, monkeypatch, "generate", "--prompt", str(out), "--query", "dog")
    assert code == 0
    assert said.strip()


def test_compile_takes_from_the_run_what_is_not_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs: dict[str, Path]
) -> None:
    out = tmp_path / "prompt.safetensors"
    words = ["compile", "--from", str(runs["many"]), "--task", "lexicon:plural", "--out", str(out), "--shots", "3"]
    code, _, err = run(capsys, monkeypatch, *words)
    assert (code, err) == (0, "")
    recipe = read_compiled(out).recipe
    assert (recipe.task, recipe.shots, recipe.template, recipe.instruction) == ("lexicon:plural", 3, "arrow", None)
    assert recipe.after == recognised(runs["many"], shots=3).after


@pytest.mark.parametrize(
    ("which", "more", "expected"),
    [
        ("many", [], "more than one recognition point (examples hidden, no instruction, 2 shots, layer"),
        ("many", ["--instruction", "--shots", "2"], "no recognition point for examples hidden, instruction visible, 2"),
        ("many", ["--shots", "5"], "has not measured --shots 5; it has: "),
        ("many", ["--hide", "query"], "has not measured --hide query"),
        ("plain", ["--no-instruction", "--shots", "3"], "has not measured --no-instruction --shots 3"),
        ("plain", ["--model", "translator"], "is about model 'lexicon', not 'translator'"),
        ("plain", ["--from", "{empty}"], "is an empty folder; give the folder of a `taskpoint locate` run"),
    ],
)
def test_a_run_that_does_not_say_which_layer_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    runs: dict[str, Path],
    which: str,
    more: list[str],
    expected: str,
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["compile", "--from", str(runs[which]), "--out", str(tmp_path / "new.safetensors")]
    assert expected in refused(capsys, monkeypatch, *words, *(word.format(empty=tmp_path / "empty") for word in more))
    assert not (tmp_path / "new.safetensors").exists()


def test_a_task_that_changed_since_the_run_has_to_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = Path("words.json")
    words.write_text('{"cat": "cats", "dog": "dogs"}')
    then = tp.task("words:words.json")
    run = Recognised(
        folder=Path("run"),
        after=9,
        condition=Condition("examples", False),
        shots=1,
        model="lexicon",
        revision=None,
        dtype="float32",
        task=then.name,
        task_sha256=then.fingerprint(),
        template="qa",
    )
    assert run.asked(None).fingerprint() == then.fingerprint()
    words.write_text('{"cat": "cats", "dog": "puppies"}')
    with pytest.raises(tp.SettingError, match="has changed; name the task with --task"):
        run.asked(None)
    words.unlink()
    with pytest.raises(tp.SettingError, match="not found from here"):
        run.asked(None)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("nothing", "does not exist"),
        ("empty", "is an empty folder"),
        ("other", "holds no run (no config.json)"),
        ("above", "folders of runs (bench, pretrain)"),
        ("above/pretrain", "holds a run of `taskpoint pretrain lexicon`"),
        ("model", "is the config of a model, not of a run"),
        ("answers.jsonl", "belongs to answers of `taskpoint generate`"),
        ("answers.jsonl.run.json", "belongs to answers of `taskpoint generate`"),
        ("prompt.safetensors", "is a compiled prompt"),
        ("note.txt", "is a file, no run"),
    ],
)
def test_report_says_what_it_was_given_instead_of_a_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str, expected: str
) -> None:
    for name in ("empty", "other", "model"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "note.txt").write_text("a note")
    (tmp_path / "note.txt").write_text("a note")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    RunFolder.open(tmp_path / "above" / "pretrain", {"steps": 1}, "pretrain lexicon").close()
    RunFolder.open(tmp_path / "above" / "bench", {}, "bench").close()
    if what.startswith(("answers", "prompt")):
        prompt = tp.compile_prompt(tp.load(), tp.task("lexicon:plural"), shots=1, after=9)
        prompt.save(tmp_path / "prompt.safetensors")
        (tmp_path / "queries.jsonl").write_text('"cat"\n')
        words = ["--queries", str(tmp_path / "queries.jsonl"), "--out", str(tmp_path / "answers.jsonl")]
        run(capsys, monkeypatch, "generate", "--prompt", str(tmp_path / "prompt.safetensors"), *words)
    before = sorted(tmp_path.rglob("*"))
    assert expected in refused(capsys, monkeypatch, "report", str(tmp_path / what))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_figure_is_drawn_whatever_the_environment_wishes_for(runs: dict[str, Path], tmp_path: Path) -> None:
    words = ["report", str(runs["plain"]), "--figure", str(tmp_path / "figure.svg")]
    environment = {**os.environ, "MPLBACKEND": "no such backend"}
    subprocess.run([sys.executable, "-m", "taskpoint", *words], env=environment, check=True, timeout=120)
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_a_report_made_again_shows_the_versions_of_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def here(torch: str) -> None:
        monkeypatch.setattr(folder_module, "library_versions", lambda: {"taskpoint": "0.1.0", "torch": torch})

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    lm, task = tp.load(), tp.task("lexicon:plural")
    named: dict[str, Any] = {"shots": 1, "seeds": 1, "items": 8, "batch_size": 4, "cuts": [9], "controls": False}
    here("1.9.1")
    with pytest.raises(KeyboardInterrupt):
        tp.locate(lm, task, out=tmp_path, progress=stop, **named)
    here("1.10.0")
    tp.locate(lm, task, out=tmp_path, **named)
    here("9.9.9")
    assert run(capsys, monkeypatch, "report", str(tmp_path))[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "1.9.1, 1.10.0" in page
    assert "9.9.9" not in page
