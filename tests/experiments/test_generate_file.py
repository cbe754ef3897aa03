"""Answering a file of queries, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import taskpoint as tp
from taskpoint.compiled.answer_file import generate_file
from taskpoint.compiled.prompt import CompiledPrompt
from taskpoint.errors import DataError, PromptError, RunFolderError, SettingError, TaskpointError
from taskpoint.models.loading import LanguageModel

COUNT = 40


@pytest.fixture(scope="module")
def prompt(lm: LanguageModel) -> CompiledPrompt:
    return tp.compile_prompt(lm, tp.task("lexicon:plural"), shots=3, after=9)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [item.input for item in tp.task("lexicon:plural").items(COUNT)]


@pytest.fixture(scope="module")
def queries(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("queries") / "queries.jsonl"
    lines = [{"id": f"q{n}", "query": text, "é": n} if n % 3 else text for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def whole(prompt: CompiledPrompt, queries: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("whole") / "answers.jsonl"
    done = generate_file(prompt, queries, out, batch_size=32)
    assert (done.queries, done.fresh, done.whole) == (COUNT, COUNT, 0)
    return out.read_bytes()


def test_every_line_keeps_what_it_said_and_gets_its_answer(
    whole: bytes, prompt: CompiledPrompt, texts: list[str]
) -> None:
    rows = [json.loads(line) for line in whole.decode().split("\n")[:-1]]
    assert [row["query"] for row in rows] == texts
    assert [row["answer"] for row in rows] == prompt.generate(texts, batch_size=7)
    assert [row.get("id") for row in rows] == [f"q{n}" if n % 3 else None for n in range(COUNT)]
    assert [row.get("é") for row in rows] == [n if n % 3 else None for n in range(COUNT)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system knows no SIGKILL")
def test_a_killed_run_ends_with_the_lines_of_an_uninterrupted_one(
    whole: bytes, prompt: CompiledPrompt, queries: Path, tmp_path: Path
) -> None:
    compiled, out = prompt.save(tmp_path / "prompt.safetensors"), tmp_path / "answers.jsonl"
    words = ["generate", "--prompt", str(compiled), "--queries", str(queries), "--out", str(out), "--batch-size", "1"]
    with subprocess.Popen([sys.executable, "-m", "taskpoint", *words], stderr=subprocess.PIPE) as process:
        patience = time.monotonic() + 120
        while not out.exists() or out.read_bytes().count(b"\n") < 5:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < patience, "the run does not get on"
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    written = out.read_bytes().count(b"\n")
    assert 5 <= written < COUNT
    done = generate_file(prompt, queries, out, batch_size=7)
    assert done.fresh == COUNT - written
    assert out.read_bytes() == whole


def test_a_run_torn_within_a_line_or_a_batch_goes_on_behind_the_last_whole_line(
    whole: bytes, prompt: CompiledPrompt, queries: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    generate_file(prompt, queries, out)
    told: list[tuple[int, int]] = []
    for length in (len(whole) - 1, len(whole) // 2, len(whole)):
        out.write_bytes(whole[:length])
        told.clear()
        done = generate_file(prompt, queries, out, batch_size=16, progress=lambda *steps: told.append(steps))
        assert out.read_bytes() == whole
        before = whole[:length].count(b"\n")
        assert done.fresh == COUNT - before
        assert told[0] == (before, COUNT)
        assert told[-1] == (COUNT, COUNT)


def test_answers_to_another_prompt_or_other_queries_are_refused_and_stay_as_they_are(
    lm: LanguageModel, prompt: CompiledPrompt, queries: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "answers.jsonl", tmp_path / "other.jsonl"
    generate_file(prompt, queries, out)
    before = out.read_bytes()
    other.write_text(queries.read_text() + '"one more"\n')
    further = tp.compile_prompt(lm, tp.task("lexicon:plural"), shots=3, after=8)
    for asked, source, new, named in (
        (further, queries, 50, "prompt_sha256"),
        (prompt, other, 50, "queries_sha256"),
        (prompt, queries, 49, "max_new_tokens: 50 -> 49"),
    ):
        with pytest.raises(RunFolderError, match=named):
            generate_file(asked, source, out, max_new_tokens=new)
    again = tp.compile_prompt(lm, tp.task("lexicon:plural"), shots=3, after=9)
    assert generate_file(again, queries, out, batch_size=3).fresh == 0
    assert out.read_bytes() == before


def test_lines_that_were_changed_are_refused(
    whole: bytes, prompt: CompiledPrompt, queries: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    generate_file(prompt, queries, out)
    lines = whole.split(b"\n")
    for changed, named in (
        ([lines[1], lines[0], *lines[2:]], "line 1 does not answer"),
        ([*lines[:-1], lines[0], b""], f"line {COUNT + 1} does not answer"),
        ([lines[0].replace(b"answer", b"reply"), *lines[1:]], "line 1 does not answer"),
    ):
        out.write_bytes(b"\n".join(changed))
        with pytest.raises(RunFolderError, match=named):
            generate_file(prompt, queries, out)


def test_without_out_the_same_settings_find_the_same_file(
    prompt: CompiledPrompt, queries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = generate_file(prompt, queries, max_new_tokens=2)
    assert generate_file(prompt, queries, max_new_tokens=2).fresh == 0
    assert generate_file(prompt, queries, max_new_tokens=1).out != first.out


def test_a_query_that_is_too_long_is_refused_before_anything_is_answered(
    prompt: CompiledPrompt, tmp_path: Path
) -> None:
    source = tmp_path / "queries.jsonl"
    source.write_text('"dog"\n"cat"\n\n' + json.dumps({"query": "word " * 1100}) + "\n")
    with pytest.raises(PromptError, match=r"queries.jsonl', line 4: the prompt has"):
        generate_file(prompt, source, tmp_path / "answers.jsonl", batch_size=2)
    assert [path.name for path in tmp_path.iterdir()] == ["queries.jsonl"]


@pytest.mark.parametrize(
    ("error", "expected", "named"),
    [
        (SettingError, "batch_size", {"batch_size": 0}),
        (SettingError, "max_new_tokens", {"max_new_tokens": 0}),
        (DataError, "absent.jsonl", {"queries": "absent.jsonl"}),
        (SettingError, "the file of queries", {"out": "queries.jsonl"}),
    ],
)
def test_bad_settings_leave_nothing_behind(
    prompt: CompiledPrompt, tmp_path: Path, error: type[TaskpointError], expected: str, named: dict[str, object]
) -> None:
    (tmp_path / "queries.jsonl").write_text('"dog"\n')
    paths = {key: tmp_path / str(named.get(key, f"{key}.jsonl")) for key in ("queries", "out")}
    with pytest.raises(error, match=expected):
        generate_file(prompt, **(named | paths))
    assert [path.name for path in tmp_path.iterdir()] == ["queries.jsonl"]
