from __future__ import annotations

import dataclasses
import io

import pytest
from pieces import ATTACK, curves, every_kind, facts, heat_map, pictures, table
from rich.console import Console

from taskpoint.report.blocks import Block, Column, Sentence, Table
from taskpoint.report.terminal import plain_text, show


def fancy(blocks: tuple[Block, ...], width: int = 200, colours: str | None = None) -> str:
    paper = io.StringIO()
    console = Console(file=paper, force_terminal=True, width=width, color_system=colours, legacy_windows=False)  # type: ignore[arg-type]
    show(blocks, console)
    return paper.getvalue()


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_table_has_its_title_cells_sections_and_mark() -> None:
    text = plain_text([table()])
    assert text.splitlines()[0] == "fruit"
    assert rows(text) == [["fruit", "number"], ["apple", "3 2-4 <"], ["pear", "5 4-6"], ["plum", ""]]
    assert [line[0] for line in text.splitlines()[1:8]] == list("+|+||+|"), "a line above the third row"
    assert text.endswith("< marks the best fruit\n")
    assert "◀ marks the best fruit" in fancy((table(),))


def test_a_marked_cell_is_bold() -> None:
    text = fancy((table(),), colours="standard")
    assert "\x1b[1;32m3\x1b[0m" in text
    assert "\x1b[1;32m5\x1b[0m" not in text


def test_an_empty_line_stands_between_blocks_but_not_after_a_close_one() -> None:
    small = Table("t", (Column("a"),), (("1",),), close=True)
    headline = Sentence("found", "headline")
    lines = plain_text([small, small, Sentence("a"), Sentence("b", "aside"), headline, Sentence("c")]).splitlines()
    body = ["t", "+--+", "|a |", "+--+", "|1 |", "+--+"]
    body = [line.replace("--+", "-+").replace(" |", "|") for line in body]
    assert lines == [*body, *body, "a", "", "b", "", "found", "", "c"]
    apart = dataclasses.replace(small, close=False)
    assert plain_text([apart, apart]).splitlines() == [*body, "", *body]


def test_a_column_breaks_its_heading_where_a_terminal_leaves_it_less_room() -> None:
    block = Table("t", (Column("score kept", most=22, most_on_terminal=5),), (("1",),))
    assert [line.strip() for line in fancy((block,)).splitlines()[2:4]] == ["score", "kept"]
    assert rows(plain_text([block])) == [["score kept"], ["1"]]
    block = Table("t", (Column("score kept", most=5),), (("1",),))
    assert [line.strip() for line in fancy((block,)).splitlines()[2:4]] == ["score", "kept"]
    assert rows(plain_text([block])) == [["score"], ["kept"], ["1"]]


def test_a_narrow_table_has_smaller_gaps_on_a_terminal_alone() -> None:
    wide = Table("t", (Column("a"), Column("b"), Column("c")), (("1", "2", "3"),))
    narrow = dataclasses.replace(wide, narrow=True)
    assert "1   2   3" in fancy((wide,))
    assert "1  2  3" in fancy((narrow,))
    assert plain_text([narrow]) == plain_text([wide])


def test_curves_are_shown_as_their_numbers() -> None:
    text = plain_text([curves()])
    assert text.startswith("cost, cost\n")
    assert "\ncost, share of\ncost\n" in text
    assert rows(text) == [
        ["depth", "cost", "cost, counted cost"],
        ["0", "0.10 0.00-0.20", "0.30"],
        ["1", "0.50 0.40-0.60 <", ""],
        ["2", "0.90 0.80-1.00", "0.70"],
        ["depth", "cost"],
        ["0", "25 %"],
        ["1", "100 %"],
    ]
    assert "< marks the best cost" in text


def test_a_ring_is_marked_where_no_interval_is_known_too() -> None:
    block = curves()
    first = dataclasses.replace(block.rows[0].panels[0][0], low=None, high=None)
    text = plain_text([dataclasses.replace(block, rows=(dataclasses.replace(block.rows[0], panels=((first,),)),))])
    assert [row[1].split() for row in rows(text)[1:]] == [["0.10"], ["0.50", "<"], ["0.90"]]


def test_panels_side_by_side_are_tables_below_one_another() -> None:
    block = curves()
    row = dataclasses.replace(block.rows[0], unit="times", label="times\nas fast", panels=block.rows[0].panels * 2)
    text = plain_text([dataclasses.replace(block, rows=(row,), heads=("left", "right"))])
    assert "cost, left, times as fast" in text
    assert "cost, right, times as fast" in text
    assert ["1", "0.50 0.40-0.60 <", ""] in rows(text)


def test_a_map_is_shown_as_its_numbers() -> None:
    text = plain_text([heat_map()])
    assert text.splitlines()[0] == "effect (effect)"
    assert rows(text) == [["layer", "0", "1", "2"], ["effect", "0.50", "", "-0.25"], ["second", "0.00", "1.00", "0.75"]]


def test_facts_are_names_and_values() -> None:
    assert rows(plain_text([facts()])) == [["name", "value"], ["settings", "1"], ["seed", "settings"]]


def test_of_pictures_the_captions_are_shown() -> None:
    assert rows(plain_text([pictures()])) == [["picture"], ["drawings"], ["a photograph"]]


@pytest.mark.parametrize("number", range(8))
def test_texts_of_strangers_are_harmless_in_every_block(number: int) -> None:
    block = every_kind(ATTACK)[number]
    text = plain_text([block])
    assert text.isascii()
    assert "\x1b" not in text
    assert "$\\frac{1}{0}$" in "".join(text.split("\n")) or number in (3, 4, 5), "folded in narrow columns"
    text = fancy((block,), width=4000)
    assert "\x1b[31m" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in text, "markup is shown and not obeyed"


def test_a_pipe_gets_the_plain_text() -> None:
    paper = io.StringIO()
    show(every_kind(), Console(file=paper))
    assert paper.getvalue() == plain_text(every_kind())
