"""What is written beside the rows, and which run a folder is said to hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskpoint.errors import RunFolderError
from taskpoint.experiments.contract import View
from taskpoint.experiments.outputs import write
from taskpoint.experiments.registry import Experiment
from taskpoint.experiments.runs import read_run
from taskpoint.report.blocks import Report, Sentence
from taskpoint.report.drawings import HeatMap
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import ITEMS

MAP = HeatMap("effect", ("row",), ("column",), ((0.5,),))


class Seen:
    """A view that is its report."""

    LAYOUT = ITEMS

    def view_of(self, folder: RunFolder) -> Report:
        raise NotImplementedError

    def report_of(self, view: Report) -> Report:
        return view


class OwnFiles(Seen):
    def write(self, view: Report, folder: Path) -> Mapping[str, Path]:
        return {"list": folder / "list.txt"}


class Toy(Experiment):
    @property
    def view(self) -> View:
        return {"seen": Seen(), "own": OwnFiles()}[self.kind]


@pytest.mark.parametrize(
    ("blocks", "files"),
    [
        ((Sentence("nothing to draw"),), {"report": "report.html"}),
        ((Sentence("a map"), MAP), {"report": "report.html", "figure": "figure.pdf"}),
    ],
)
def test_a_figure_is_written_where_something_is_drawn(
    tmp_path: Path, blocks: tuple[Any, ...], files: dict[str, str]
) -> None:
    written = write(Toy("seen", "What is seen?", "nowhere"), Report("seen", blocks), tmp_path)
    assert written == {what: tmp_path / name for what, name in files.items()}
    assert {path.name for path in tmp_path.iterdir()} == set(files.values())


def test_an_experiment_may_say_itself_what_is_written(tmp_path: Path) -> None:
    written = write(Toy("own", "What is listed?", "nowhere"), Report("own", (MAP,)), tmp_path)
    assert written == {"list": tmp_path / "list.txt"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("runs", "named"), [("abc", r"\(a, b, c\)"), ("abcd", r"\(a, b, c, \.\.\.\)")])
def test_three_runs_are_named_where_a_folder_above_them_is_given(tmp_path: Path, runs: str, named: str) -> None:
    for name in runs:
        RunFolder.open(tmp_path / name, {}).close()
    with pytest.raises(RunFolderError, match=f"but folders of runs {named}; give the folder of a `taskpoint locate`"):
        read_run(tmp_path)
