from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.console import Console

from taskpoint.experiments.bench.blocks import blocks, conclusion
from taskpoint.experiments.bench.findings import MEANING, BenchLine, BenchView, Ratio
from taskpoint.report import terminal
from taskpoint.report.numbers import duration, size, times
from taskpoint.report.terminal import show


def plain_text(view: BenchView) -> str:
    return terminal.plain_text(blocks(view))


def ratio(cut: int, batch: int, ideal: bool = True) -> Ratio:
    value = 4.0 / cut * 0.9
    return Ratio(0.4 * batch, 0.1 * cut * batch, value, value - 0.05, value + 0.05, 4.0 / cut if ideal else None)


def make_view() -> BenchView:
    lines = tuple(
        BenchLine(
            batch,
            context,
            cut,
            {
                "prefill": ratio(cut, batch),
                "decode": ratio(cut, batch),
                "kv": ratio(cut, batch),
                "peak": ratio(cut, batch, ideal=False),
            },
        )
        for batch in (1, 8)
        for context in (128, 2048)
        for cut in (1, 2, 4)
    )
    return BenchView("llama:4x64", 4, 32, 16, 5, lines, {"model": "llama:4x64"}, {"torch": "2.13.0"})


def rows_of(text: str, title: str) -> list[list[str]]:
    """Cells of the lines of one table."""
    after = text[text.index(title) :].splitlines()
    found = []
    for line in after[1:]:
        if not line.startswith(("|", "+")):
            break
        if re.match(r"\|\s*\d", line):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_every_measure_of_every_cut_has_a_line() -> None:
    text = plain_text(make_view())
    for title in ("reading the prompt (context + 32)", "each decoded token (of 16)", "memory"):
        rows = rows_of(text, title)
        assert [row[:3] for row in rows] == [
            [str(batch), str(context), f"{cut} of 4"]
            for batch in (1, 8)
            for context in (128, 2048)
            for cut in (1, 2, 4)
        ]
    # 0.4 s against 0.2 s for one prompt at cut 2; 90 % of an ideal of 2.
    assert rows_of(text, "reading")[1][3:] == ["400", "200", "1.80", "1.75-1.85", "2.00", "90 %"]
    assert rows_of(text, "memory")[1][3:] == ["0 B", "0 B", "1.80", "2.00", "0 B", "0 B", "1.80"]


def test_a_pipe_gets_ascii_and_a_terminal_the_same_numbers() -> None:
    view = dataclasses.replace(make_view(), model="\x1b[31mred \u202e[bold]x[/bold]")
    paper = io.StringIO()
    show(blocks(view), Console(file=paper))
    assert paper.getvalue() == plain_text(view)
    assert plain_text(view).isascii()
    assert "[bold]x[/bold]" in plain_text(view)
    paper = io.StringIO()
    show(blocks(view), Console(file=paper, force_terminal=True, width=200, legacy_windows=False))
    assert "\x1b[31m" not in paper.getvalue()
    assert "1.75-1.85" in paper.getvalue()


def test_the_conclusion_speaks_of_the_longest_context_the_largest_batch_and_the_middle_cut() -> None:
    view = make_view()
    assert conclusion(view) == (
        "8 prompts of 2048 + 32 tokens, cut after 2 of 4 layers: reading the prompt is 1.80 times as fast "
        "(ideal 2.00), decoding 1.80 times as fast (ideal 2.00), and the cache 1.80 times as small."
    )
    assert plain_text(view).endswith(conclusion(view) + "\n")


def test_an_interrupted_benchmark_speaks_of_the_longest_context_that_its_largest_batch_has() -> None:
    view = make_view()
    assert conclusion(dataclasses.replace(view, lines=view.lines[:-3])).startswith("8 prompts of 128 + 32 tokens, ")


def test_without_an_ideal_nothing_is_claimed_and_the_reason_is_given() -> None:
    bare = {"prefill": ratio(2, 1, False), "decode": ratio(2, 1, False), "kv": ratio(2, 1, False)}
    view = dataclasses.replace(make_view(), lines=(BenchLine(1, 8, 2, bare),), no_ideal="an unknown family")
    text = plain_text(view)
    assert rows_of(text, "reading")[0][3:] == ["400", "200", "1.80", "1.75-1.85", "", ""]
    assert "no ideal: an unknown family" in text
    assert "(ideal" not in text
    assert "peak" not in text  # a device that does not tell


def test_the_rows_of_a_view_hold_what_its_lines_hold() -> None:
    view = make_view()
    rows = list(view.table())
    assert len(rows) == 12 * 4
    assert rows[0]["share"] == pytest.approx(0.9)
    assert rows[3]["measure"] == "peak"
    assert rows[3]["share"] is None
    assert {row["unit"] for row in rows} == {"s", "bytes"}
    assert all(word in MEANING for word in ("ratio", "ideal", "share", "kv", "peak"))


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (duration(0.0000451), "0.0451"),
        (duration(0.049), "49.0"),
        (duration(2.5), "2500"),
        (size(10.0), "10 B"),
        (size(1024.0), "1.00 KiB"),
        (size(2.06 * 2**20), "2.06 MiB"),
        (size(5e13), "46600 GiB"),
        (times(1.0), "1.00"),
        (times(13.44), "13.4"),
    ],
)
def test_numbers_have_three_digits(shown: str, text: str) -> None:
    assert shown == text
