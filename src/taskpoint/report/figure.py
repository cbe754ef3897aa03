"""Blocks as a figure for a paper: curves and heat maps, below one another where there are several.

Nothing here is of pyplot, which would need a display and keep global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, MaxNLocator, PercentFormatter

from taskpoint.errors import SettingError
from taskpoint.report.blocks import Block
from taskpoint.report.canvas import DASHES, DOTS, GRID, INK, MUTED, drawn, line, save
from taskpoint.report.drawings import Curves, HeatMap, Key, Row, Strip
from taskpoint.report.numbers import Unit, written
from taskpoint.report.texts import plain, short

_STEPS = [1, 2, 5, 10]
_LEVELS: dict[str, dict[str, Any]] = {
    "solid": {"linewidth": 0.8},
    "dashed": {"linewidth": 0.9, "linestyle": DASHES},
    "dotted": {"linewidth": 0.9, "linestyle": DOTS},
}
_DASHED_CURVE: dict[str, Any] = {"linewidth": 1.1, "linestyle": DASHES}
_RING: dict[str, Any] = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": INK}
_BAR: dict[str, Any] = {"marker": "|", "markersize": 9, "linestyle": "none", "markeredgewidth": 2.2}

_MAP_WIDTH, _MAP_AROUND = 6.4, 1.2
_LONGEST_NAME = 24  # characters of a name beside a map
_WITH_NUMBERS = 14  # columns of a map whose numbers fit their cells


def _said(text: str) -> str:
    """A text without control characters; its lines stay."""
    return "\n".join(plain(part, fancy=True) for part in text.split("\n"))


def _levels_and_curves(axes: Axes, block: Curves, row: Row, column: int) -> None:
    own = row.levels_by_panel[column] if row.levels_by_panel else ()
    for level in (*row.levels, *own):
        axes.axhline(level.y, color=MUTED, zorder=1, **_LEVELS[level.dash])
    curves = row.panels[column]
    middle = max((curve.style for curve in curves), default=0) / 2
    for curve in curves:
        look = block.look(curve.style)
        aside = block.apart * (curve.style - middle)
        places = [x + aside for x in curve.x]
        if curve.dashed:
            axes.plot(places, curve.y, color=look.light, alpha=0.75, zorder=2, **_DASHED_CURVE)
            continue
        if curve.low is not None and curve.high is not None:
            if block.bars:
                axes.vlines(places, curve.low, curve.high, color=look.light, linewidth=2.2, alpha=0.4)
            else:
                axes.fill_between(places, curve.low, curve.high, color=look.light, alpha=0.16, linewidth=0)
        axes.plot(places, curve.y, **line(look), zorder=3)
        if curve.ring is not None:
            at = curve.x.index(curve.ring)
            axes.scatter(places[at], curve.y[at], s=78, color=look.light, linewidth=1.3, zorder=4, fc="none")
    if row.from_zero:
        axes.set_ylim(bottom=0)
        for mark in axes.lines:
            mark.set_clip_on(False)  # a curve that starts at 0 keeps its whole marks


def _scale(axes: Axes, unit: Unit) -> None:
    if unit == "share":
        axes.set_ylim(-0.06, 1.06)
        axes.set_yticks([0, 0.5, 1])
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    elif unit == "times":
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}\N{MULTIPLICATION SIGN}"))
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _strip(axes: Axes, block: Curves, strip: Strip, named: bool) -> None:
    for row, point in enumerate(strip.points):
        look = block.look(point.style)
        axes.plot(
            [point.low, point.high], [row, row], color=look.light, linewidth=2.2, solid_capstyle="round", alpha=0.55
        )
        axes.plot([point.x], [row], **line(look, markersize=4.9), zorder=3)
    axes.set_ylim(len(strip.points) - 0.3, -0.7)
    axes.set_yticks([])
    axes.spines[["top", "left", "right"]].set_visible(False)
    if not strip.points:
        said: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center", "color": MUTED}
        axes.text(0.5, 0.5, _said(strip.empty), **said)
    if named:
        axes.set_ylabel(_said(strip.label), rotation=0, ha="right", va="center")


def _x_axis(axes: Axes, block: Curves) -> None:
    # Few numbers fit below panels side by side, so that odd steps are as good as round ones.
    chosen = MaxNLocator(nbins=block.most_ticks, integer=True, steps=None if block.heads else _STEPS)
    axes.xaxis.set_major_locator(FixedLocator(list(block.ticks)) if block.ticks else chosen)
    axes.set_xlabel(_said(block.x_label), parse_math=False)


def _second_axis(axes: Axes, label: str, more: float, most_ticks: int) -> None:
    def up(x: Any) -> Any:
        return x + more

    def down(x: Any) -> Any:
        return x - more

    second = axes.secondary_xaxis("top", functions=(up, down))
    second.xaxis.set_major_locator(MaxNLocator(nbins=most_ticks, integer=True, steps=_STEPS))
    second.set_xlabel(_said(label), color=MUTED)
    second.tick_params(labelcolor=MUTED, length=2.5)
    second.spines["top"].set_visible(False)


def _key(key: Key) -> Line2D | Patch:
    if key.sign == "band":
        return Patch(facecolor=MUTED, alpha=0.22, label=_said(key.label))
    looks: dict[str, dict[str, Any]] = {
        "dashed curve": {"color": MUTED, **_DASHED_CURVE},
        "dashed level": {"color": MUTED, **_LEVELS["dashed"]},
        "dotted level": {"color": MUTED, **_LEVELS["dotted"]},
        "bar": {"color": MUTED, **_BAR},
        "ring": {"color": "none", **_RING},
    }
    return Line2D([], [], **looks[key.sign], label=_said(key.label))


def _legend(place: Figure | SubFigure, block: Curves) -> None:
    curves = [curve for row in block.rows for panel in row.panels for curve in panel if curve.label]
    names = sorted({(curve.style, curve.label) for curve in curves})
    handles: list[Line2D | Patch] = [Line2D([], [], **line(block.look(it)), label=_said(name)) for it, name in names]
    handles += [_key(key) for key in block.keys]
    if not handles:
        return
    close = {"handlelength": 2.2, "columnspacing": 1.6} if block.heads else {"handlelength": 2.4}
    legend = place.legend(handles=handles, loc="outside lower left", ncols=block.key_columns, frameon=False, **close)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a "$" in a label is a character, not mathematics


def _strip_height(block: Curves) -> list[float]:
    return [0.13 * max(1, *(len(strip.points) for strip in block.under)) + 0.1] if block.under else []


def _draw_curves(place: Figure | SubFigure, block: Curves) -> None:
    heights = [row.height for row in block.rows] + _strip_height(block)
    columns = len(block.rows[0].panels)
    panels = place.subplots(len(heights), columns, sharex=True, sharey="row", squeeze=False, height_ratios=heights)
    for number, row in enumerate(block.rows):
        for column in range(columns):
            axes = panels[number, column]
            _levels_and_curves(axes, block, row, column)
            _scale(axes, row.unit)
            if block.under:
                axes.tick_params(axis="x", length=0, labelbottom=False)
        panels[number, 0].set_ylabel(_said(row.label), parse_math=False)
        panels[number, 0].set_title(_said(row.title), loc="left", fontsize=8.5, pad=3, parse_math=False)
    panels[0, 0].set_xlim(*block.x_ends)
    for column in range(columns):
        if block.under:
            _strip(panels[-1, column], block, block.under[column], named=column == 0)
        _x_axis(panels[-1, column], block)
    if block.second is not None:
        _second_axis(panels[0, 0], *block.second, block.most_ticks)
    title: dict[str, Any] = {"fontsize": 9.5, "fontweight": "bold", "parse_math": False}
    if block.heads or block.rows[0].title:
        place.suptitle(_said(block.title), x=0.01, ha="left", **title)
        for axes, head in zip(panels[0], block.heads, strict=False):
            axes.set_title(_said(head), fontsize=8.5, color=INK, parse_math=False)
    else:
        panels[0, 0].set_title(_said(block.title), loc="left", **title)
    if not block.under:
        place.align_ylabels()
    _legend(place, block)


def _of_map(block: HeatMap) -> tuple[str, Normalize]:
    low, high = block.ends or (min(block.known), max(block.known))
    if low < 0:
        return "PuOr_r", CenteredNorm(0, halfrange=max(abs(low), abs(high)))
    return "cividis", Normalize(low, high)


def _draw_map(place: Figure | SubFigure, block: HeatMap) -> None:
    axes = place.subplots()
    name, norm = _of_map(block)
    values = np.array([[np.nan if value is None else value for value in row] for row in block.values])
    picture = axes.imshow(np.ma.masked_invalid(values), cmap=mpl.colormaps[name], norm=norm, aspect="auto")
    axes.set_facecolor(GRID)  # what was not measured
    for axis, names in ((axes.xaxis, block.columns), (axes.yaxis, block.rows)):
        axis.set_major_locator(MaxNLocator(nbins=24, integer=True, steps=_STEPS))
        axis.set_major_formatter(_Names(names))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(_said(block.x_label), parse_math=False)
    axes.set_ylabel(_said(block.y_label), parse_math=False)
    axes.set_title(_said(block.title), loc="left", fontsize=9.5, fontweight="bold", parse_math=False)
    if len(block.columns) <= _WITH_NUMBERS:
        for at, value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _ = picture.to_rgba(value)
                ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK
                text = written(float(value), block.unit, block.label)
                axes.text(at[1], at[0], text, ha="center", va="center", color=ink, fontsize=6.5)
    scale = FuncFormatter(lambda value, _: written(value, block.unit, block.label))
    bar = place.colorbar(picture, ax=axes, format=scale, pad=0.01)
    bar.outline.set_visible(False)
    bar.set_label(_said(block.label), parse_math=False)


class _Names(Formatter):
    """Names at the whole numbers of an axis."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [short(_said(name), _LONGEST_NAME) for name in names]

    def __call__(self, value: float, pos: int | None = None) -> str:
        at = round(value)
        return self._names[at] if at == value and 0 <= at < len(self._names) else ""


def _size(block: Curves | HeatMap) -> tuple[float, float]:
    if isinstance(block, HeatMap):
        return _MAP_WIDTH, _MAP_AROUND + 0.22 * min(max(len(block.rows), 4), 32)
    heights = [row.height for row in block.rows] + _strip_height(block)
    return block.width, sum(heights) + block.around


def figure(blocks: Sequence[Block]) -> Figure:
    """The curves and maps among the blocks; a SettingError where there are none."""
    shown = [block for block in blocks if isinstance(block, Curves | HeatMap)]
    if not shown:
        raise SettingError(f"a figure of {len(blocks)} blocks was asked for, expected curves or a map among them")
    sizes = [_size(block) for block in shown]
    whole = Figure(figsize=(max(width for width, _ in sizes), sum(height for _, height in sizes)), layout="constrained")
    FigureCanvasAgg(whole)
    places: Any = [whole]
    if len(shown) > 1:
        places = whole.subfigures(len(shown), 1, height_ratios=[height for _, height in sizes])
    for place, block in zip(places, shown, strict=True):
        if isinstance(block, Curves):
            _draw_curves(place, block)
        else:
            _draw_map(place, block)
    return whole


def save_figure(blocks: Sequence[Block], path: Path | str) -> Path:
    """Writes the figure of the curves and maps among the blocks; errors as `canvas.save`, and as `figure`."""
    return save(lambda: figure(blocks), path)


def svg(block: Curves | HeatMap) -> str:
    """The text of an SVG file with one block."""
    return drawn(lambda: figure([block]), ".svg").decode()
