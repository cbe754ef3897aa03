"""Quoted fields, and marks that quote nothing."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.errors import DataError
from taskpoint.tasks.files.delimited import records

TAB = "\t"
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Texts in which everything that quoting is about is frequent.
HARD = st.text(st.sampled_from('ab ",;\t\n\r'), max_size=12)


def cells(text: str, delimiter: str, columns: int | None = 2) -> list[list[str]]:
    return [record.cells for record in records(text, delimiter, columns)]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", TAB])
@given(table=st.lists(st.lists(ANY | HARD, min_size=3, max_size=3), min_size=1, max_size=5))
def test_what_the_csv_module_writes_is_read_back(
    delimiter: str, ending: str, quoting: int, table: list[list[str]]
) -> None:
    if delimiter == TAB:
        # Tabs and line breaks in one record: its lines may then be records of sentences as well, and are read as such.
        table = [[text.replace(TAB, " ") for text in row] if "\n" in "".join(row) else row for row in table]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator=ending, quoting=quoting).writerows(table)  # type: ignore[arg-type]
    found = [[" ".join(cell.split()) for cell in row] for row in cells(written.getvalue(), delimiter, 3)]
    assert found == [[" ".join(cell.split()) for cell in row] for row in table if any(map(str.strip, row))]


@given(st.lists(st.lists(ANY | HARD, min_size=2, max_size=3), min_size=1, max_size=5), st.sampled_from(",;"))
def test_ordinary_tables_are_read_as_the_csv_module_reads_them(table: list[list[str]], delimiter: str) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows(table)
    oracle = csv.reader(io.StringIO(written.getvalue(), newline=""), delimiter=delimiter)
    assert cells(written.getvalue(), delimiter) == [row for row in oracle if any(map(str.strip, row))]


@given(st.lists(st.tuples(HARD, HARD), min_size=1, max_size=8))
def test_no_line_of_tabs_is_swallowed_whatever_marks_it_holds(table: list[tuple[str, str]]) -> None:
    """Sentences as they are: a record for every line, and each cell is its text, but for a whole one in marks."""
    plain = [[" ".join(cell.replace(TAB, " ").split()) for cell in row] for row in table]
    plain = [row for row in plain if set("".join(row)) - {'"', " "}]
    found = cells("".join(f"{first}\t{second}\n" for first, second in plain), TAB)
    for row, meant in zip(found, plain, strict=True):
        for cell, text in zip(row, meant, strict=True):
            assert cell == text or '"' + cell.replace('"', '""') + '"' == text.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Hello\tHallo\nHe said no"\tNein\n', [['"Hello', "Hallo"], ['He said no"', "Nein"]]),
        ('a\t"Hallo\n\nb\tnein"\n', [["a", '"Hallo'], ["b", 'nein"']]),
        ('"Says who?" "Says me."\tx\n', [['"Says who?" "Says me."', "x"]]),
        ('The "no"\t5"\n', [['The "no"', '5"']]),
        ('"Hello."\t"Er sagte ""nein""."\n', [["Hello.", 'Er sagte "nein".']]),
        ('a\t"one\ntwo"\nb\tc\n', [["a", "one\ntwo"], ["b", "c"]]),
        ('"one\ntwo"\ta\nb\tc\n', [["one\ntwo", "a"], ["b", "c"]]),
        ('"one\ttwo"\ta\nb\tc\n', [["one\ttwo", "a"], ["b", "c"]]),
        ('a\t"one\n\n"\r\nb\tc\n', [["a", "one\n\n"], ["b", "c"]]),
        ('a\t"no end\nb\tc\n', [["a", '"no end'], ["b", "c"]]),
        ('a\t"', [["a", '"']]),
    ],
)
def test_hand_worked_lines_of_tabs(text: str, expected: list[list[str]]) -> None:
    assert cells(text, TAB) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a, b",c\n', [["a, b", "c"]]),
        ('a , "b, c" \n', [["a ", "b, c"]]),
        ('say "no",5"\n', [['say "no"', '5"']]),
        ('"a""b",""\r\n"",c', [['a"b', ""], ["", "c"]]),
        (",,\n\n , \na,b\n", [["a", "b"]]),
        ('"one\nx,y\ntwo",a\n', [["one\nx,y\ntwo", "a"]]),
    ],
)
def test_hand_worked_lines_of_commas(text: str, expected: list[list[str]]) -> None:
    assert cells(text, ",") == expected


def test_the_line_of_a_record_is_where_it_begins() -> None:
    text = 'a,"one\ntwo\n\nthree"\n\n"b\r\n",c\r\nd,e'
    assert [record.line for record in records(text, ",", 2)] == [1, 6, 8]


@pytest.mark.parametrize(
    ("text", "line"),
    [('a,b\n"c,d\ne,f\n', 2), ('a,"b\n\n",c\n"d" e,f\n', 4), ('"a\n\n",b\n"c\nd", "e" x\n', 5)],
)
def test_a_field_of_commas_that_is_quoted_badly_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(DataError, match=f"^line {line}: a quotation mark opens") as caught:
        list(records(text, ","))
    assert "\n" not in str(caught.value)
    assert list(records(text, ",", strict=False))


def test_a_long_file_of_lone_marks_is_read_in_one_pass() -> None:
    text = '"a\tb\n' * 100_000 + '"c""\t' * 2 + "d\n"
    assert sum(1 for _ in records(text, TAB, 2)) == 100_001
