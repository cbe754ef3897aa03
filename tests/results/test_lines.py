"""A file of lines that is killed at any byte goes on behind its last whole line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from taskpoint.errors import RunFolderError
from taskpoint.results import lines as module
from taskpoint.results.lines import LineFile

CONFIG = {"prompt": "a", "new": 5}
RECORDS = [{"id": n, "query": f"mot {n} é\u2028", "answer": "x\n" * n} for n in range(4)]


def run(path: Path, config: dict[str, object] = CONFIG) -> int:
    """Writes what is missing, two records at once; tells how many there were."""
    with LineFile.open(path, config, "generate") as file:
        done = len(list(file.records()))
        for start in range(done, len(RECORDS), 2):
            file.append(RECORDS[start : start + 2])
    return done


def test_a_file_cut_off_at_any_byte_ends_with_the_same_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 7)  # lines longer than what is read at once
    path = tmp_path / "out.jsonl"
    assert run(path) == 0
    whole = path.read_bytes()
    assert [json.loads(line) for line in whole.split(b"\n")[:-1]] == RECORDS
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert run(path) == whole[:length].count(b"\n")
        assert path.read_bytes() == whole


def test_a_run_with_other_settings_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    run(path)
    with open(path, "ab") as file:
        file.write(b'{"torn')
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.startswith(".")}
    with pytest.raises(RunFolderError, match=r"new: 5 -> 6") as refused:
        run(path, CONFIG | {"new": 6})
    assert "\n" not in str(refused.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.startswith(".")} == before


def test_a_file_of_somebody_else_is_refused_and_an_empty_one_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("mine\n")
    with pytest.raises(RunFolderError, match="was not written by this command"):
        run(path)
    assert path.read_text() == "mine\n"
    path.write_text("")
    assert run(path) == 0
    path.unlink()
    assert run(path, CONFIG | {"new": 7}) == 0  # nothing is there that could be lost


def test_one_process_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "out.jsonl"
    with LineFile.open(path, CONFIG, "generate") as file:
        with pytest.raises(RunFolderError, match=rf"out.jsonl is in use by another process \(id {os.getpid()}\).*file"):
            run(path)
        file.append(RECORDS[:1])
    assert run(path) == 1
    with pytest.raises(RunFolderError, match="was closed"):
        file.append(RECORDS[:1])


def test_damage_before_the_last_line_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    run(path)
    for damage in (b"{", b"[1]", b""):
        whole = path.read_bytes().split(b"\n")
        path.write_bytes(b"\n".join([whole[0], damage, *whole[2:]]))
        with pytest.raises(RunFolderError, match="line 2 is damaged"):
            run(path)


def test_a_place_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "out.jsonl"):
        with pytest.raises(RunFolderError, match="--out"):
            run(path)


def test_what_an_interrupted_start_left_behind_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    leftover = tmp_path / ".out.jsonl.run.json.4711.tmp"
    leftover.write_text("{")
    run(path)
    assert not leftover.exists()
