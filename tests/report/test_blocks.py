from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from pieces import PNG, SVG, curves, heat_map, table

from taskpoint.errors import SettingError
from taskpoint.report.blocks import Picture, Pictures, Report, Table
from taskpoint.report.drawings import Curve, Curves, HeatMap, Level, Point, Row

NAN, INFINITE = float("nan"), float("inf")


def test_a_row_of_a_table_has_one_cell_for_each_column() -> None:
    with pytest.raises(SettingError, match=r"table 'fruit': row 1 has 1 values, expected 2, one for each column"):
        dataclasses.replace(table(), rows=(("apple", "3"), ("pear",)))
    with pytest.raises(SettingError, match="0 columns"):
        Table("fruit", (), ())


@pytest.mark.parametrize("section", [-1, 0, 3])
def test_a_section_starts_at_a_row_below_the_first(section: int) -> None:
    with pytest.raises(SettingError, match=f"a section starts at row {section}, expected 1 to 2"):
        dataclasses.replace(table(), sections=(section,))


@pytest.mark.parametrize("number", [NAN, INFINITE, -INFINITE])
def test_numbers_that_cannot_be_drawn_are_refused_and_named(number: float) -> None:
    good = curves().rows[0].panels[0][0]
    for column in ("x", "y", "low", "high"):
        with pytest.raises(SettingError, match=rf"curve 'cost': {column} holds {number}, expected finite numbers"):
            dataclasses.replace(good, **{column: (0.0, number, 2.0)})
    with pytest.raises(SettingError, match=f"level: y holds {number}"):
        Level(number)
    with pytest.raises(SettingError, match=f"point: its interval holds {number}"):
        Point(0, 1.0, number, 2.0)
    with pytest.raises(SettingError, match=f"x_ends holds {number}"):
        dataclasses.replace(curves(), x_ends=(0.0, number))
    with pytest.raises(SettingError, match=f"map 'effect': row 'second' holds {number}"):
        dataclasses.replace(heat_map(), values=((0.0,) * 3, (0.0, number, 0.0)))
    with pytest.raises(SettingError, match=f"ends holds {number}"):
        dataclasses.replace(heat_map(), ends=(0.0, number))


def test_a_curve_has_one_value_for_each_x_both_ends_of_an_interval_and_its_ring_on_an_x() -> None:
    good = curves().rows[0].panels[0][0]
    with pytest.raises(SettingError, match="y has 2 values, expected 3, one for each x"):
        dataclasses.replace(good, y=(0.1, 0.2))
    with pytest.raises(SettingError, match="one end of the interval is missing"):
        dataclasses.replace(good, high=None)
    with pytest.raises(SettingError, match=r"ring is 1\.5, expected one of its x"):
        dataclasses.replace(good, ring=1.5)
    for x in ((0.0, 2.0, 1.0), (0.0, 1.0, 1.0)):
        with pytest.raises(SettingError, match="expected ascending numbers"):
            dataclasses.replace(good, x=x, ring=None)
    assert Curve("nothing measured", 0, (), ()).y == ()


def test_panels_stand_in_rows_and_columns() -> None:
    one, two = Row(((),), "one"), Row(((), ()), "two")
    with pytest.raises(SettingError, match="curves 'x': row 'two' has 2 values, expected 1, one for each column"):
        Curves("x", (one, two), "x", (0.0, 1.0))
    with pytest.raises(SettingError, match="heads has 1 values, expected 2"):
        Curves("x", (two,), "x", (0.0, 1.0), heads=("a",))
    for rows in ((), (Row(()),)):
        with pytest.raises(SettingError, match="have no panel"):
            Curves("x", rows, "x", (0.0, 1.0))
    with pytest.raises(SettingError, match=r"x_ends are 1\.0 and 1\.0, expected the lower one first"):
        Curves("x", (one,), "x", (1.0, 1.0))


def test_a_map_has_a_value_or_none_for_each_place_and_at_least_one_value() -> None:
    assert heat_map().known == (0.5, -0.25, 0.0, 1.0, 0.75)
    with pytest.raises(SettingError, match="values has 1 values, expected 2, one for each row"):
        dataclasses.replace(heat_map(), values=((0.0,) * 3,))
    with pytest.raises(SettingError, match="row 'second' has 2 values, expected 3, one for each column"):
        dataclasses.replace(heat_map(), values=((0.0,) * 3, (0.0,) * 2))
    with pytest.raises(SettingError, match="holds no number"):
        dataclasses.replace(heat_map(), values=((None,) * 3,) * 2)
    with pytest.raises(SettingError, match="holds no number"):
        HeatMap("empty", (), (), ())


def test_a_picture_is_a_png_or_an_svg() -> None:
    assert (Picture("a", SVG).kind, Picture("a", PNG).kind) == ("image/svg+xml", "image/png")
    assert Picture("a", b"<?xml version='1.0'?>\n<!-- drawn by hand -->\n" + SVG).kind == "image/svg+xml"
    with pytest.raises(SettingError, match="picture 'a' starts with b'GIF89a', expected PNG or SVG"):
        Picture("a", b"GIF89a")
    with pytest.raises(SettingError, match="pictures 'x' are none"):
        Pictures("x", ())


def test_a_report_has_a_block() -> None:
    with pytest.raises(SettingError, match="report 'x' has 0 blocks"):
        Report("x", ())


def test_a_report_draws_its_own_figures_or_else_the_drawings_among_its_blocks() -> None:
    blocks = table(), curves(), heat_map()
    assert Report("x", blocks).drawn == blocks[1:]
    assert Report("x", blocks, (curves("other"),)).drawn == (curves("other"),)
    assert Report("x", blocks[:1]).drawn == ()


def test_blocks_know_nothing_of_how_they_are_shown() -> None:
    heavy = "{'rich', 'matplotlib', 'jinja2', 'torch'}"
    code = f"import sys, taskpoint.report.blocks; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("experiment", ["locate", "bench"])
def test_to_make_blocks_of_a_view_nothing_heavy_is_needed(experiment: str) -> None:
    module = f"taskpoint.experiments.{experiment}.blocks"
    code = f"import sys, {module}; print(sorted({{'rich', 'matplotlib', 'torch', 'transformers'}} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
