"""The command line as a user meets it."""

from __future__ import annotations

import json
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
    for verb in ("locate", "compile", "generate", "pretrain", "tasks", "models", "report"):
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


def test_a_table_of_ones_own_is_scored_by_the_metric_that_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = tmp_path / "plurals.csv"
    table.write_text('Question;Answer\n"cat";cats\ndog;dogs\n"tree";"trees"\nhouse;houses\ncar;cars\n')
    run_folder = tmp_path / "run"
    words = ["locate", "--task", f"pairs:{table}", "--metric", "chrf", *SMALL, "--out", str(run_folder)]
    code, out, err = run(capsys, monkeypatch, *words)
    assert code == 0, err
    assert "chrF by cut" in out
    config = json.loads((run_folder / "config.json").read_text())["config"]
    assert config["metric_signature"].startswith("chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert config["metric_signature"] in (run_folder / "report.html").read_text()
    assert run(capsys, monkeypatch, *words)[0] == 0
    code, _, err = run(capsys, monkeypatch, *words[:3], *words[5:])
    assert code == 2
    assert "metric" in err


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
        (["locate", "--metric", "blue"], "unknown metric 'blue'. Did you mean 'bleu'"),
        (["locate", "--metric", "bleu:jp"], "unknown tokenizer of bleu 'jp'"),
        (["locate", "--metric", "chrf:zh"], "chrf has no tokenizer 'zh'"),
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


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled prompt with the answers of that prompt to two queries beside it."""
    import taskpoint as tp

    path = tmp_path_factory.mktemp("compiled") / "plural.safetensors"
    prompt = tp.compile_prompt(tp.load(), tp.task("lexicon:plural"), shots=2, seed=1, after=9, instruction=False)
    prompt.save(path).with_suffix(".txt").write_text("\n".join(prompt.generate(["cat", "tooth"])) + "\n")
    return path


COMPILE = ["compile", "--task", "lexicon:plural", "--shots", "2"]


def test_compile_writes_the_prompt_of_its_arguments_and_says_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiled: Path
) -> None:
    out = tmp_path / "folder" / "plural.safetensors"
    words = [*COMPILE, "--seed", "1", "--after", "9", "--no-instruction", "--out", str(out)]
    code, said, _ = run(capsys, monkeypatch, *words)
    assert code == 0
    assert str(out) in said
    assert "from layer 9 of 12 on" in said
    assert out.read_bytes() == compiled.read_bytes()


def test_generate_answers_one_query_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, compiled: Path
) -> None:
    code, said, err = run(
        capsys, monkeypatch, "generate", "--prompt", str(compiled), "--query", "cat", "--query", "tooth"
    )
    assert (code, err) == (0, "")
    assert said == compiled.with_suffix(".txt").read_text()


def test_generate_answers_a_file_shows_how_far_it_is_and_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiled: Path
) -> None:
    queries, out = tmp_path / "queries.jsonl", tmp_path / "answers.jsonl"
    queries.write_text('{"query": "cat", "id": 1}\n"tooth"\n')
    words = ["generate", "--prompt", str(compiled), "--queries", str(queries), "--out", str(out)]
    code, said, err = run(capsys, monkeypatch, *words)
    assert code == 0
    assert str(out) in said
    assert "generate: 2 of 2" in err
    first, second = compiled.with_suffix(".txt").read_text().splitlines()
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"query": "cat", "id": 1, "answer": first},
        {"query": "tooth", "answer": second},
    ]
    code, said, _ = run(capsys, monkeypatch, *words)
    assert code == 0
    assert "0 queries answered, 2 had been before" in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([*COMPILE, "--out", "{new}"], "taskpoint locate"),
        ([*COMPILE, "--after", "9", "--from", "runs/x", "--out", "{new}"], "one of --after"),
        ([*COMPILE, "--after", "13", "--out", "{new}"], "from 0 to 12"),
        ([*COMPILE, "--after", "9"], "--out"),
        (["compile", "--after", "9", "--out", "{new}"], "needs --task"),
        ([*COMPILE, "--after", "9", "--hide", "query", "--out", "{new}"], "hides the query"),
        ([*COMPILE, "--after", "9", "--out", "{text}"], "is no compiled prompt"),
        (["compile", "--task", "lexicon:plurals", "--after", "9", "--out", "{new}"], "Did you mean 'lexicon:plural'"),
        (["generate", "--prompt", "{prompt}"], "one of --queries"),
        (["generate", "--prompt", "{prompt}", "--query", "a", "--queries", "{text}"], "one of --queries"),
        (["generate", "--prompt", "{prompt}", "--query", "a", "--out", "{new}"], "--out belongs to"),
        (["generate", "--prompt", "{new}", "--query", "a"], "no file"),
        (["generate", "--prompt", "{text}", "--query", "a"], "no compiled prompt"),
        (["generate", "--prompt", "{prompt}", "--queries", "{text}", "--out", "{new}"], "line 1"),
        (["generate", "--prompt", "{prompt}", "--query", "a", "--max-new-tokens", "0"], "max_new_tokens"),
        (["generate", "--prompt", "{prompt}", "--query", "a", "--model", "lexikon"], "Did you mean 'lexicon'"),
    ],
)
def test_what_cannot_be_compiled_or_generated_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    compiled: Path,
    words: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("a note\n")
    filled = [word.format(new=tmp_path / "new", text=text, prompt=compiled) for word in words]
    code, out, err = run(capsys, monkeypatch, *filled)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert expected in err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert text.read_text() == "a note\n"
