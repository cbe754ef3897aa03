from __future__ import annotations

import jaxtyping
import numpy as np
import pytest

from taskpoint.errors import SettingError
from taskpoint.results.rows import ITEMS, Row, cell_key

ROW = {
    "model": "m",
    "task": "t",
    "condition": "c",
    "shots": 5,
    "seed": 0,
    "cut": 3,
    "item": "i",
    "text": "chat",
    "score": 1.0,
}


@pytest.fixture
def unchecked_types():
    """As in use: annotations are checked in tests only, and the code below them must refuse wrong types itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_mappings_and_rows_make_the_same_table():
    assert ITEMS.table([ROW, {**ROW, "rank": 2}]) == ITEMS.table([Row(**ROW), Row(**ROW, rank=2)])


def test_numbers_of_numpy_are_numbers(unchecked_types):
    made = ITEMS.table([{**ROW, "cut": np.int64(3), "score": np.float32(1.0)}])
    assert made == ITEMS.table([ROW])


def test_the_public_columns_come_first():
    assert ITEMS.columns[:9] == ("model", "task", "condition", "shots", "seed", "cut", "item", "text", "score")
    assert set(ITEMS.sorted_by) <= set(ITEMS.columns)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "no column colour"),
        ({"cut": "three"}, "column cut of a row needs int64"),
        ({"text": 7}, "column text of a row needs string"),
        ({"text": "\ud800"}, "column text of a row needs string"),
        ({"score": None}, "column score of a row must not be None, found None in row 1"),
        ({"cut": -1}, "cut of a row must be at least 0, found -1"),
        ({"rank": -1}, "rank of a row must be at least 0"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_in_one_line(unchecked_types, changes, words):
    with pytest.raises(SettingError, match=words) as caught:
        ITEMS.table([ROW, {**ROW, **changes}])
    assert "\n" not in str(caught.value)


def test_a_row_without_score_is_refused():
    with pytest.raises(SettingError, match="score"):
        ITEMS.table([{name: value for name, value in ROW.items() if name != "score"}])


def test_each_cell_has_a_key_of_its_own():
    keys = {
        cell_key(condition, shots, seed, part)
        for condition in ("a", "a shots=1", "b")
        for shots in (1, 11)
        for seed in (1, 11)
        for part in (0, 1)
    }
    assert len(keys) == 24
