"""Which columns are asked and answered."""

from __future__ import annotations

import pytest

from taskpoint.errors import DataError
from taskpoint.tasks.files.columns import FAMILIES, Columns, columns_of


@pytest.mark.parametrize(("first", "second"), FAMILIES)
def test_every_spelling_is_known_in_any_order_and_case(first: str, second: str) -> None:
    assert columns_of([first, second]) == Columns(0, 1, (first, second))
    assert columns_of([second.upper(), " id ", first.title()]) == Columns(2, 0, (second.upper(), "id", first.title()))


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["Source Text", "target_text"], (0, 1)),
        (["id", "Question", "n", "Label"], (1, 3)),  # of two families, but nothing else is known
        (["source", "question", "answer"], (1, 2)),  # source: where it comes from
        (["instruction", "input", "output"], (1, 2)),
        (["text", "label", "output", "input"], (3, 2)),
    ],
)
def test_one_pair_is_found_among_other_columns(names: list[str], places: tuple[int, int]) -> None:
    found = columns_of(names)
    assert found is not None
    assert (found.input, found.output) == places


@pytest.mark.parametrize("cells", [["Go.", "Va !"], ["inputs are these", "b"], ["", ""], ["1", "2", "3"]])
def test_a_record_of_texts_is_no_header(cells: list[str]) -> None:
    assert columns_of(cells) is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["input", "French"], "'input' is the name of an input, but no column has the name of an output"),
        (["n", "Answer"], "'Answer' is the name of an output, but no column has the name of an input"),
        (["input", "Input", "output"], "may be 'input' and 'output' or 'Input' and 'output'"),
        (["source", "target", "question", "answer"], "may be 'source' and 'target' or 'question' and 'answer'"),
        (["x", "text", "answer"], "may be 'x' and 'answer' or 'text' and 'answer'"),
    ],
)
def test_names_that_leave_a_choice_are_refused_in_one_line(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        columns_of(names)
    assert "\n" not in str(caught.value)
