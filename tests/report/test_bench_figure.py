from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from taskpoint.errors import SettingError
from taskpoint.experiments.bench.blocks import figure_blocks
from taskpoint.experiments.bench.findings import BenchLine, BenchView, Ratio
from taskpoint.report.figure import figure, save_figure
from taskpoint.report.palette import style


@pytest.fixture(scope="module")
def view() -> BenchView:
    def ratio(cut: int, context: int, ideal: bool = True) -> Ratio:
        value = 8.0 / cut * (1 - 10 / context)
        return Ratio(1.0, 1.0 / value, value, value - 0.1, value + 0.2, 8.0 / cut if ideal else None)

    lines = tuple(
        BenchLine(
            batch,
            context,
            cut,
            {
                "prefill": ratio(cut, context),
                "decode": ratio(cut, context),
                "kv": ratio(cut, context),
                "peak": ratio(cut, context, ideal=False),
            },
        )
        for batch in (1, 8)
        for context in (128, 512, 2048)
        for cut in (2, 4, 8)
    )
    return BenchView("a $model$", 8, 32, 16, 5, lines, {}, {})


@pytest.mark.parametrize(("suffix", "magic"), [(".pdf", b"%PDF"), (".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_each_format_is_written(view: BenchView, tmp_path: Path, suffix: str, magic: bytes) -> None:
    assert save_figure(figure_blocks(view), tmp_path / "new" / f"bench{suffix}").read_bytes().startswith(magic)


def test_another_suffix_is_refused(view: BenchView, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"must end in one of \.pdf, \.svg, \.png"):
        save_figure(figure_blocks(view), tmp_path / "bench.jpg")
    assert not list(tmp_path.iterdir())


def test_the_same_benchmark_gives_the_same_bytes(view: BenchView, tmp_path: Path) -> None:
    first = save_figure(figure_blocks(view), tmp_path / "1.svg").read_bytes()
    assert save_figure(figure_blocks(view), tmp_path / "2.svg").read_bytes() == first


def test_measures_are_rows_batches_columns_and_contexts_colours(view: BenchView) -> None:
    drawn = figure(figure_blocks(view))
    assert len(drawn.axes) == 3 * 2
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["batch of 1", "batch of 8"]
    panel = drawn.axes[1]
    marked = [line for line in panel.lines if line.get_marker() not in ("None", "")]
    assert [line.get_color() for line in marked] == [style(index).light for index in range(3)]
    for line, context in zip(marked, view.contexts, strict=True):
        assert list(line.get_ydata()) == [found.measures["prefill"].ratio for found in view.of(8, context)]
        assert [round(cut) for cut in line.get_xdata()] == [2, 4, 8]
    dashed = [line for line in panel.lines if line.is_dashed()]
    assert [list(line.get_ydata()) for line in dashed] == [[4.0, 2.0, 1.0]] * 3
    whiskers = [segment for bars in panel.collections for segment in bars.get_segments()]
    assert len(whiskers) == 9
    assert sum(bool(line.is_dashed() and len(line.get_xdata())) for line in drawn.axes[4].lines) == 0, "peak: no ideal"


def test_what_was_not_measured_has_no_row(view: BenchView) -> None:
    lines = tuple(
        dataclasses.replace(line, measures={name: line.measures[name] for name in ("prefill", "decode", "kv")})
        for line in view.lines
    )
    assert len(figure(figure_blocks(dataclasses.replace(view, lines=lines))).axes) == 2 * 2


def test_nothing_is_written_over_anything_else(view: BenchView) -> None:
    drawn = figure(figure_blocks(view))
    drawn.canvas.draw()
    (legend,) = drawn.legends
    box = legend.get_window_extent()
    assert box.x1 <= drawn.bbox.x1
    assert all(axes.get_tightbbox().y0 >= box.y1 - 1 for axes in drawn.axes)
