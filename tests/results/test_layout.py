from __future__ import annotations

from dataclasses import dataclass, make_dataclass

import pytest

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import ITEMS, Layout


@dataclass(frozen=True)
class Weight:
    name: str
    kilograms: float
    legs: int | None = None


WEIGHTS = Layout(Weight, ("name",))


def test_rows_of_another_kind_come_back_in_order_with_their_types(tmp_path):
    with RunFolder.open(tmp_path, {}, "weights", WEIGHTS) as folder:
        folder.write("late", [Weight("dog", 20.5, 4)])
        folder.write("early", [{"name": "ant", "kilograms": 0.0}])
    frame = RunFolder.read(tmp_path, WEIGHTS).frame()
    assert list(frame.columns) == ["name", "kilograms", "legs"]
    assert list(frame["name"]) == ["ant", "dog"]
    assert frame["legs"].dtype == "Int64"
    assert frame["legs"].isna().tolist() == [True, False]


def test_a_folder_read_as_another_kind_is_refused(tmp_path):
    with RunFolder.open(tmp_path, {}, "weights", WEIGHTS) as folder:
        folder.write("one", [Weight("dog", 20.5)])
    with pytest.raises(RunFolderError, match="has other columns"):
        RunFolder.read(tmp_path, ITEMS).frame()


def test_a_folder_can_be_seen_with_another_layout_and_stays_as_it_was(tmp_path):
    with RunFolder.open(tmp_path, {}, "weights", WEIGHTS) as folder:
        folder.write("one", [Weight("dog", 20.5)])
    unknown = RunFolder.read(tmp_path)
    assert unknown.of(WEIGHTS).frame()["name"].tolist() == ["dog"]
    with pytest.raises(RunFolderError, match="has other columns"):
        unknown.frame()


def test_types_that_were_not_read_as_text_make_the_same_columns():
    fields = [("name", str), ("kilograms", float), ("legs", int | None, None)]
    assert Layout(make_dataclass("Weighed", fields), ("name",)).schema == WEIGHTS.schema


def test_a_row_of_another_kind_is_refused(tmp_path):
    with RunFolder.open(tmp_path, {}, "weights", WEIGHTS) as folder:
        with pytest.raises(SettingError, match="no column colour; its columns are name, kilograms, legs"):
            folder.write("one", [{"name": "dog", "kilograms": 1.0, "colour": "brown"}])
        with pytest.raises(SettingError, match="a row cannot be made"):
            folder.write("one", [{"name": "dog"}])
