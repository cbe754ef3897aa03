from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from taskpoint.cli import main

SMALL = ["--shape", "llama:4x64,vocab=50", "--context", "8", "--batch", "2", "--rounds", "1", "--new", "2"]


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["taskpoint", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_bench_ends_with_a_sentence_and_says_where_its_files_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = ["bench", *SMALL, "--cuts", "1,N/2,2N/4,N", "--out", str(folder)]
    code, out, _ = run(capsys, monkeypatch, *words)
    assert code == 0
    assert "2 prompts of 8 + 32 tokens, cut after 2 of 4 layers" in out
    assert out.isascii()
    for name in ("figure.pdf", "bench.json"):
        assert (folder / name).stat().st_size > 0
        assert str(folder / name) in out
    numbers = json.loads((folder / "bench.json").read_text())
    assert [row["cut"] for row in numbers["rows"] if row["measure"] == "prefill"] == [1, 2, 4]
    # Nothing is measured again: the same numbers.
    assert run(capsys, monkeypatch, *words)[1] == out
    (folder / "bench.json").unlink()
    code, again, _ = run(capsys, monkeypatch, "report", str(folder), "--figure", str(tmp_path / "f.svg"))
    assert (code, again) == (0, out)
    assert (tmp_path / "f.svg").exists()
    assert json.loads((folder / "bench.json").read_text()) == numbers
    assert run(capsys, monkeypatch, *words, "--query", "4")[0] == 2
    assert json.loads((folder / "bench.json").read_text()) == numbers


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--context", "5000"], "positions for 1024; give a shorter --context"),
        (["--context", "a"], "--context is 'a'"),
        (["--cuts", "13"], "cuts names layer 13"),
        (["--cuts", "N/0"], "--cuts is 'N/0'"),
        (["--cuts", "half"], "--cuts is 'half'"),
        (["--batch", "0"], "batch is 0"),
        (["--rounds", "0"], "rounds is 0"),
        (["--shape", "llama"], "expected llama:LAYERSxWIDTH"),
        (["lexicon", "--shape", "llama:2x64"], "give one of the two"),
        (["--shape", "llama:2x64", "--dtype", "float5"], "float5"),
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
    code, out, err = run(capsys, monkeypatch, "bench", *words)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert expected in err
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"
