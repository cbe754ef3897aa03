from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import matplotlib as mpl
import pytest

from taskpoint.errors import SettingError
from taskpoint.experiments.locate.blocks import figure_blocks
from taskpoint.experiments.locate.findings import LocateView
from taskpoint.report.figure import figure, save_figure
from taskpoint.report.palette import style


def _luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_another_suffix_is_refused_with_those_that_work(sample: LocateView, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"'curve\.jpg': path must end in one of \.pdf, \.svg, \.png"):
        save_figure(figure_blocks(sample), tmp_path / "curve.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "magic"), [(".pdf", b"%PDF"), (".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_each_format_is_written_also_into_a_new_folder(
    sample: LocateView, tmp_path: Path, suffix: str, magic: bytes
) -> None:
    path = save_figure(figure_blocks(sample), tmp_path / "new" / f"curve{suffix.upper()}")
    assert path.read_bytes().startswith(magic)


def test_the_pdf_carries_its_font_as_truetype(sample: LocateView, tmp_path: Path) -> None:
    raw = save_figure(figure_blocks(sample), tmp_path / "curve.pdf").read_bytes()
    assert b"/FontFile2" in raw
    assert b"/Type3" not in raw
    for part in raw.split(b"stream\n")[1:]:
        try:
            assert b"/Type3" not in zlib.decompress(part)
        except zlib.error:
            continue


def test_the_svg_needs_no_font_and_is_the_same_each_time(sample: LocateView, tmp_path: Path) -> None:
    first = save_figure(figure_blocks(sample), tmp_path / "a.svg").read_bytes()
    assert first == save_figure(figure_blocks(sample), tmp_path / "b.svg").read_bytes()
    text = first.decode()
    assert "<text" not in text
    assert "<!-- cut r: layers below r see the hidden tokens, layers r to 11 do not -->" in text
    assert "x = r + 1" in text
    for condition in sample.conditions:
        assert f"<!-- {condition.label}: " in text


def test_lines_bands_and_ceilings_are_the_view(sample: LocateView) -> None:
    upper = figure(figure_blocks(sample)).axes[0]
    solid = [line for line in upper.lines if len(line.get_xdata()) == 13]
    assert [tuple(line.get_ydata()) for line in solid] == [condition.mean for condition in sample.conditions]
    ceilings = [line for line in upper.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in ceilings[:2]] == [0.93, 0.94]
    assert len(upper.collections) >= len(sample.conditions)


def test_the_asked_language_has_a_panel_of_its_own_on_the_same_axis(translations: LocateView) -> None:
    drawn = figure(figure_blocks(translations))
    drawn.canvas.draw()
    upper, middle, lower = drawn.axes
    assert middle.get_title("left") == "in the asked language"
    assert [tuple(line.get_ydata()) for line in middle.lines] == [it.language for it in translations.conditions]
    assert [label.get_text() for label in middle.get_yticklabels()] == ["0 %", "50 %", "100 %"]
    assert middle.get_xlim() == upper.get_xlim() == lower.get_xlim()
    boxes = [axes.get_position() for axes in drawn.axes]
    assert all((box.x0, box.x1) == pytest.approx((boxes[0].x0, boxes[0].x1)) for box in boxes)
    assert boxes[0].y0 > boxes[1].y1 > boxes[1].y0 > boxes[2].y1
    assert 1 / 3 <= boxes[1].height / boxes[0].height <= 1 / 2


def test_without_a_language_there_is_no_such_panel(sample: LocateView) -> None:
    assert len(figure(figure_blocks(sample)).axes) == 2


def test_a_condition_without_language_is_left_out_of_its_panel(translations: LocateView) -> None:
    first, second = translations.conditions
    silent = dataclasses.replace(first, language=None, language_low=None, language_high=None)
    _, middle, _ = figure(figure_blocks(dataclasses.replace(translations, conditions=(silent, second)))).axes
    (line,) = middle.lines
    assert tuple(line.get_ydata()) == second.language
    assert line.get_color() == style(1).light


def test_bleu_starts_at_0_as_in_the_paper(translations: LocateView) -> None:
    assert figure(figure_blocks(translations)).axes[0].get_ylim()[0] == 0


def test_the_upper_axis_is_the_papers(sample: LocateView) -> None:
    drawn = figure(figure_blocks(sample))
    drawn.canvas.draw()
    (paper,) = drawn.axes[0].child_axes
    low, high = drawn.axes[0].get_xlim()
    assert paper.get_xlim() == pytest.approx((low + 1, high + 1))


def test_the_legend_stands_outside_the_data(sample: LocateView) -> None:
    drawn = figure(figure_blocks(sample))
    drawn.canvas.draw()
    legend = drawn.legends[0].get_window_extent()
    for axes in drawn.axes:
        assert legend.y1 <= axes.get_window_extent().y0
    assert legend.x1 <= drawn.bbox.x1


def test_a_dollar_in_a_label_is_no_mathematics(hostile: LocateView, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the default font has no emoji
        assert save_figure(figure_blocks(hostile), tmp_path / "hostile.png").stat().st_size > 0


def test_settings_of_matplotlib_are_left_alone(sample: LocateView, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save_figure(figure_blocks(sample), tmp_path / "curve.svg")
    assert dict(mpl.rcParams) == before


def test_drawing_does_not_load_pyplot() -> None:
    code = "import sys, taskpoint.report.figure; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("index", range(6))
def test_colours_stand_out_from_their_ground_and_marks_differ(index: int) -> None:
    look = style(index)
    assert 1.05 / (_luminance(look.light) + 0.05) >= 4.5
    assert (_luminance(look.dark) + 0.05) / (_luminance("#161d24") + 0.05) >= 4.5
    assert len({style(number).marker for number in range(6)}) == 6
