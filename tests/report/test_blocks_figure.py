from __future__ import annotations

import dataclasses
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import pytest
from pieces import ATTACK, curves, every_kind, facts, heat_map, pictures, table

from taskpoint.errors import SettingError
from taskpoint.report.blocks import Sentence
from taskpoint.report.drawings import Curves, HeatMap
from taskpoint.report.figure import figure, save_figure, svg
from taskpoint.report.palette import style


def test_curves_levels_rings_and_points_are_those_of_the_block() -> None:
    upper, middle, lower = figure([curves()]).axes
    solid = [line for line in upper.lines if line.get_marker() == "o"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in solid] == [([0, 1, 2], [0.1, 0.5, 0.9])]
    assert sorted(line.get_ydata()[0] for line in upper.lines if len(line.get_xdata()) == 2) == [0.05, 0.3, 0.95]
    (ring,) = [it for it in upper.collections if it.get_zorder() == 4]
    assert ring.get_offsets().tolist() == [[1.0, 0.5]]
    assert [tuple(line.get_ydata()) for line in middle.lines] == [(0.25, 1.0)]
    assert [label.get_text() for label in middle.get_yticklabels()] == ["0 %", "50 %", "100 %"]
    assert [list(line.get_xdata()) for line in lower.lines] == [[0.0, 2.0], [1.0]]
    assert upper.get_xlim() == middle.get_xlim() == lower.get_xlim() == (0.0, 2.0)


def test_the_title_of_the_first_row_is_shown_beside_that_of_the_whole() -> None:
    block = curves()
    drawn = figure([dataclasses.replace(block, rows=block.rows[::-1])])
    assert drawn.get_suptitle() == "cost"
    assert drawn.axes[0].get_title("left") == "share of cost"


def test_the_legend_names_each_curve_once_and_then_the_keys() -> None:
    block = curves()
    (legend,) = figure([dataclasses.replace(block, rows=(block.rows[0],) * 2)]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["cost", "counted cost", "best cost", "cost"]


def test_without_labels_and_keys_there_is_no_legend() -> None:
    block = curves()
    assert figure([dataclasses.replace(block, rows=block.rows[1:], keys=())]).legends == []


def test_bars_of_equal_curves_stand_beside_each_other() -> None:
    first = curves().rows[0].panels[0][0]
    row = dataclasses.replace(curves().rows[0], panels=((first, dataclasses.replace(first, style=1)),))
    axes = figure([dataclasses.replace(curves(), rows=(row,), bars=True, apart=0.1)]).axes[0]
    marked = [line for line in axes.lines if line.get_marker() in ("o", "s")]
    assert [line.get_color() for line in marked] == [style(0).light, style(1).light]
    assert [list(line.get_xdata()) for line in marked] == [[-0.05, 0.95, 1.95], [0.05, 1.05, 2.05]]
    bars = [segment.tolist() for it in axes.collections if it.get_zorder() < 4 for segment in it.get_segments()]
    assert bars[0] == [[-0.05, 0.0], [-0.05, 0.2]]


def test_the_axis_has_numbers_where_they_are_asked_for() -> None:
    axes = figure([dataclasses.replace(curves(), ticks=(0.0, 0.5, 2.0), strip=None)]).axes[-2]
    assert axes.get_xticks().tolist() == [0.0, 0.5, 2.0]


def test_a_strip_without_points_says_so() -> None:
    block = curves()
    assert block.strip is not None
    lower = figure([dataclasses.replace(block, strip=dataclasses.replace(block.strip, points=()))]).axes[-1]
    assert [text.get_text() for text in lower.texts] == ["none"]


def test_a_map_has_its_numbers_its_names_and_a_scale() -> None:
    drawn = figure([heat_map()])
    drawn.canvas.draw()
    axes, scale = drawn.axes
    (picture,) = axes.images
    assert picture.get_array().tolist() == [[0.5, None, -0.25], [0.0, 1.0, 0.75]]
    assert [text.get_text() for text in axes.texts] == ["0.50", "-0.25", "0.00", "1.00", "0.75"]
    assert {"effect", "second"} <= {label.get_text() for label in axes.get_yticklabels()}
    assert {"0", "1", "2"} <= {label.get_text() for label in axes.get_xticklabels()}
    assert scale.get_ylabel() == "effect"
    red, blue = (picture.to_rgba(value)[0] for value in (1.0, -1.0))
    assert picture.norm(0.0) == 0.5, "zero is the middle of the colours where some numbers are below it"
    assert red != blue


def test_the_colours_of_a_map_go_from_its_least_to_its_greatest_number_or_as_asked() -> None:
    block = dataclasses.replace(heat_map(), values=((0.2, 0.4, 0.6),) * 2)
    (picture,) = figure([block]).axes[0].images
    assert (picture.norm.vmin, picture.norm.vmax) == (0.2, 0.6)
    (picture,) = figure([dataclasses.replace(block, ends=(0.0, 1.0))]).axes[0].images
    assert (picture.norm.vmin, picture.norm.vmax) == (0.0, 1.0)


def test_a_wide_map_and_one_of_a_single_number_can_be_drawn(tmp_path: Path) -> None:
    names = tuple(map(str, range(80)))
    wide = HeatMap("wide", names, names, (tuple(i / 80 for i in range(80)),) * 80)
    assert not figure([wide]).axes[0].texts
    same = HeatMap("same", ("a",), ("b",), ((0.5,),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in (wide, same):
            assert save_figure([block], tmp_path / "map.png").stat().st_size > 0


@pytest.mark.parametrize(("columns", "numbers"), [(14, 14), (15, 0)])
def test_a_map_has_numbers_in_its_cells_as_long_as_they_fit(columns: int, numbers: int) -> None:
    block = HeatMap("fits", ("row",), tuple(map(str, range(columns))), ((0.5,) * columns,))
    assert len(figure([block]).axes[0].texts) == numbers


def test_several_blocks_stand_below_one_another_and_others_are_left_out() -> None:
    drawn = figure(every_kind())
    drawn.canvas.draw()
    boxes = [axes.get_position() for axes in drawn.axes]
    assert len(boxes) == 3 + 2
    upper, lower = (drawn.axes[at].get_window_extent() for at in (2, 3))
    assert lower.y1 < upper.y0
    alone = [figure([block]).get_figheight() for block in (curves("thing"), heat_map("thing"))]
    assert drawn.get_figheight() == pytest.approx(sum(alone))


def test_a_figure_of_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="a figure of 4 blocks was asked for, expected curves or a map"):
        save_figure([Sentence("x"), table(), facts(), pictures()], tmp_path / "x.pdf")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # so long a name of the strip leaves no room
@pytest.mark.parametrize("block", [curves(ATTACK), heat_map(ATTACK)], ids=["curves", "map"])
def test_texts_of_strangers_are_no_mathematics_and_no_elements(block: Curves | HeatMap) -> None:
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a font lacks a sign
        text = svg(block)
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}
    assert not names & {"script", "img", "text"}
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert svg(block) == text
    assert dict(mpl.rcParams) == before
