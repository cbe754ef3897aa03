"""Progress in a file or pipe: plain lines with the time left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from taskpoint.report import progress as module
from taskpoint.report.progress import progress


def shown(monkeypatch: pytest.MonkeyPatch, steps: list[tuple[float, int, int]]) -> list[str]:
    """The lines that calls at certain times leave."""
    clock = iter([0.0, *(time for time, _, _ in steps)])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    paper = io.StringIO()
    with progress("work", Console(file=paper, force_terminal=False)) as tell:
        for _, done, total in steps:
            tell(done, total)
    return paper.getvalue().splitlines()


def test_lines_come_every_ten_seconds_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [(0, 0, 4), (4, 1, 4), (11, 2, 4), (12, 3, 4), (13, 4, 4)]) == [
        "work: 2 of 4, about 11 s left",
        "work: 4 of 4",
    ]


def test_what_an_earlier_run_left_done_says_nothing_about_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [(0, 90, 100), (20, 92, 100)]) == ["work: 92 of 100, about 80 s left"]


def test_a_terminal_gets_a_bar_with_the_note() -> None:
    paper = io.StringIO()
    console = Console(file=paper, force_terminal=True, width=120)
    with progress("train", console) as tell:
        tell(1, 2, "loss 0.5")
        console.print("")  # draws
    assert "train loss 0.5" in paper.getvalue()
