from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.console import Console

from taskpoint.experiments.locate.blocks import blocks
from taskpoint.experiments.locate.findings import LocateView
from taskpoint.experiments.locate.wording import conclusion
from taskpoint.report import terminal
from taskpoint.report.numbers import score, span
from taskpoint.report.terminal import show


def plain_text(view: LocateView) -> str:
    return terminal.plain_text(blocks(view))


def _shown(view: LocateView, **options: object) -> str:
    paper = io.StringIO()
    show(blocks(view), Console(file=paper, **options))
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
    condition = dataclasses.replace(sample.conditions[0], label="[bold]x[/bold] [link=http://a]y")
    text = plain_text(dataclasses.replace(sample, conditions=(condition,), answers=()))
    assert "[bold]x[/bold]" in text


def test_a_terminal_that_cannot_show_unicode_gets_ascii(sample: LocateView) -> None:
    raw = io.BytesIO()
    paper = io.TextIOWrapper(raw, encoding="ascii")
    show(blocks(sample), Console(file=paper, force_terminal=True))
    paper.flush()
    assert raw.getvalue().decode("ascii") == plain_text(sample)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_asked_language_stands_beside_the_score(translations: LocateView) -> None:
    lines = plain_text(translations).splitlines()
    assert _cells(next(line for line in lines if re.match(r"\|\s+0 \|", line))) == [
        "0", "3.3 2.0-4.6", "7 %", "25.0 23.7-26.3", "93 %"
    ]  # fmt: skip


def test_with_many_conditions_the_language_is_left_to_page_and_figure(translations: LocateView) -> None:
    view = dataclasses.replace(translations, conditions=translations.conditions[:1] * 3, answers=())
    assert "in asked language" not in plain_text(view)


def test_a_cut_that_one_condition_lacks_leaves_its_cells_empty(translations: LocateView) -> None:
    first, second = translations.conditions
    names = ("cuts", "mean", "low", "high", "early_exit", "language", "language_low", "language_high")
    sparse = dataclasses.replace(first, **{name: getattr(first, name)[::2] for name in names}, parts=())
    lines = plain_text(dataclasses.replace(translations, conditions=(sparse, second), answers=())).splitlines()
    row = _cells(next(line for line in lines if re.match(r"\|\s+1 \|", line)))
    assert row[1:3] == ["", ""]
    assert row[4] == "95 %"


def test_every_direction_has_a_line_under_each_condition(translations: LocateView) -> None:
    lines = plain_text(translations).splitlines()
    rows = [_cells(line) for line in lines if re.match(r"\|\s*\w{3}-\w{3} ", line)]
    parts = [part for condition in translations.conditions for part in condition.parts]
    assert [row[0] for row in rows] == [part.name for part in parts]
    assert rows[0] == ["eng-fra", "3.3", "38.2", "4.5", "4 (3-5)", "8 %, 99 %"]
    assert rows[15][4] == "undefined"
    assert sum(line.startswith("by direction: ") for line in lines) == 2


@pytest.mark.parametrize(("conditions", "note"), [(3, ""), (4, "The parts of 1 more conditions are in the report.\n")])
def test_the_parts_of_three_conditions_are_shown_and_a_note_stands_right_below(
    translations: LocateView, conditions: int, note: str
) -> None:
    view = dataclasses.replace(translations, conditions=translations.conditions[:1] * conditions, answers=())
    text = plain_text(view)
    assert text.count("by direction: ") == 3
    last = text[text.rindex("by direction: ") :].partition("controls and what")[0]
    assert last.endswith(f"-+\n{note}\n")


def test_parts_without_languages_are_sub_tasks(translations: LocateView) -> None:
    first = translations.conditions[0]
    parts = tuple(dataclasses.replace(part, language=None) for part in first.parts)
    plain = dataclasses.replace(first, language=None, language_low=None, language_high=None, parts=parts)
    text = plain_text(dataclasses.replace(translations, conditions=(plain,), answers=()))
    assert "by sub-task: " in text
    assert "language" not in text


def test_two_conditions_with_languages_fit_100_columns(translations: LocateView) -> None:
    text = _shown(translations, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    for condition in translations.conditions:
        for place in range(11):
            ends = span(condition.low[place], condition.high[place], "BLEU")
            assert f"{score(condition.mean[place], 'BLEU')} {ends}" in text
    assert "paper" in text
