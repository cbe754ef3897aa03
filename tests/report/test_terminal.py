from __future__ import annotations

import io
import re

from rich.console import Console

from taskpoint.report.terminal import plain_text, show
from taskpoint.report.view import LocateView
from taskpoint.report.wording import conclusion, score, span


def _shown(view: LocateView, **options: object) -> str:
    paper = io.StringIO()
    show(view, Console(file=paper, **options))
    return paper.getvalue()


def test_a_pipe_gets_ascii_without_escape_sequences(sample: LocateView, hostile: LocateView) -> None:
    for view in (sample, hostile):
        text = _shown(view)
        assert text.isascii()
        assert "\x1b" not in text
        assert text == plain_text(view)


def test_every_cut_has_a_line_with_score_and_interval_of_every_condition(sample: LocateView) -> None:
    lines = plain_text(sample).splitlines()
    for cut in range(13):
        line = next(line for line in lines if re.match(rf"\|\s+{cut} \|", line))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for condition, cell in zip(sample.conditions, cells[1:], strict=True):
            wanted = f"{score(condition.mean[cut])} {span(condition.low[cut], condition.high[cut])}"
            assert cell == (f"{wanted} <" if condition.point.layer == cut else wanted)


def test_controls_and_conclusion_are_there(sample: LocateView) -> None:
    text = plain_text(sample)
    for word in ("ceiling", "floor", "zero-shot", "shuffled answers", "paper", "undefined"):
        assert word in text
    assert text.endswith(conclusion(sample) + "\n")


def test_a_terminal_gets_colour_and_the_same_numbers(sample: LocateView) -> None:
    text = _shown(sample, force_terminal=True, width=200, color_system="standard", legacy_windows=False)
    assert "\x1b[" in text
    assert "◀" in text
    assert score(sample.conditions[0].mean[5]) in text


def test_an_escape_sequence_in_a_label_does_not_reach_the_terminal(hostile: LocateView) -> None:
    text = _shown(hostile, force_terminal=True, width=400, color_system=None, legacy_windows=False)
    assert "\x1b[31m" not in text
    assert "\u202e" not in text


def test_markup_in_a_label_is_shown_and_not_obeyed(sample: LocateView) -> None:
    import dataclasses

    condition = dataclasses.replace(sample.conditions[0], label="[bold]x[/bold] [link=http://a]y")
    text = plain_text(dataclasses.replace(sample, conditions=(condition,), answers=()))
    assert "[bold]x[/bold]" in text


def test_a_terminal_that_cannot_show_unicode_gets_ascii(sample: LocateView) -> None:
    raw = io.BytesIO()
    paper = io.TextIOWrapper(raw, encoding="ascii")
    show(sample, Console(file=paper, force_terminal=True))
    paper.flush()
    assert raw.getvalue().decode("ascii") == plain_text(sample)
