"""The experiment that AGENTS.md shows is a whole one: built from the page, run, killed, continued, reported."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import taskpoint as tp

HOUSE = Path(tp.__file__).parent
PAGE = Path(__file__).parents[2] / "AGENTS.md"
MOST_LINES = 60

BLOCKS = re.findall(r"```python\n# (experiments/\S+\.py)(: a row)?\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the experiment in it."""
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(HOUSE, root / "taskpoint", ignore=shutil.ignore_patterns("__pycache__"))
    for path, row, code in BLOCKS:
        file = root / "taskpoint" / path
        if row:
            whole = file.read_text()
            assert whole.count("_ROWS = (\n") == 1
            file.write_text(whole.replace("_ROWS = (\n", f"_ROWS = (\n{code}"))
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(code)
    return root


def called(house: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "PYTHONPATH": str(house), "COLUMNS": "200", "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "taskpoint", *words]
    return subprocess.run(command, cwd=place, env=known, capture_output=True, text=True, timeout=120, check=False)


ASKED = ("agree", "--task", "lexicon:plural", "--items", "9", "--shots", "2", "--out", "run")


def test_it_is_short() -> None:
    assert len(BLOCKS) == 4
    assert sum(len(code.splitlines()) for *_, code in BLOCKS) < MOST_LINES


def test_its_verb_comes_from_its_settings(house: Path, tmp_path: Path) -> None:
    told = called(house, tmp_path, "agree", "--help").stdout
    for words in ("--shots", "Examples in the prompt.", "[default: 50]", "--task", "--device", "--out"):
        assert words in told
    refused = called(house, tmp_path, *ASKED[:-2], "--shots", "0", "--out", "run")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "shots is 0; expected a whole number from 1" in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def done(house: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Where it ran, and what it said."""
    place = tmp_path_factory.mktemp("place")
    return place, called(house, place, *ASKED)


def test_it_runs_continues_and_reports(house: Path, done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, first = done
    assert first.returncode == 0, first.stderr
    assert "of the answers are the same at r = 0" in first.stdout
    assert {path.name for path in (place / "run").iterdir()} >= {"config.json", "report.html", "figure.pdf"}
    parts = sorted((place / "run" / "rows").iterdir())
    assert len(parts) == tp.load().num_layers + 1
    whole = {part.name: part.read_bytes() for part in parts}
    parts[3].unlink()  # as if it had been killed before
    again = called(house, place, *ASKED)
    assert again.stdout == first.stdout
    assert {part.name: part.read_bytes() for part in parts} == whole
    assert called(house, place, "report", "run").stdout == first.stdout
    other = called(house, place, *ASKED[:-4], "--shots", "3", "--out", "run")
    assert "holds a run with other settings" in other.stderr


def test_its_rows_say_what_two_runs_of_the_model_say(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Against `locate`, which asks for all cuts in one sweep."""
    frame = pd.concat(map(pd.read_parquet, (done[0] / "run" / "rows").iterdir()))
    found = frame.groupby("cut")["same"].mean()
    located = tp.locate(
        tp.load(), tp.task("lexicon:plural"), shots=2, seeds=1, items=9, controls=False, max_new_tokens=16
    ).rows
    texts = located.pivot(index="cut", columns="item", values="text")
    shares = texts.eq(texts.iloc[-1]).mean(axis=1).astype(float)
    pd.testing.assert_series_equal(found, shares, check_names=False)
