"""The figure of the paper: score against the cut, one line per condition, as PDF, SVG or PNG.

After Sia, Mueller and Duh 2024 (paper A), experiment 1: the dashed line is the score with nothing cut, the shaded band
the interval. The lower axis is the cut r, the upper one theirs, x = r + 1. A strip below the curves shows where each
condition's recognition point lies, with its interval. Where the task asks for a language, a panel between the two shows
the share of the answers that are in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from taskpoint.experiments.locate.findings import LocateView
from taskpoint.experiments.locate.wording import point_words
from taskpoint.report.canvas import DASHES, DOTS, GRID, INK, MUTED, line, save
from taskpoint.report.numbers import OF_HUNDRED
from taskpoint.report.palette import style

_LONGEST = 80  # characters of a label that fit the width of the figure
_PLOT, _LANGUAGE = 2.9, 1.1  # inches: height of the curves, and of the panel of languages


def _curves(axes: Axes, view: LocateView) -> None:
    ceilings = {round(condition.point.ceiling, 6) for condition in view.conditions}
    zero_shots = {round(it.point.zero_shot, 6) for it in view.conditions if it.point.zero_shot is not None}
    for level in sorted(ceilings):
        axes.axhline(level, color=MUTED, linewidth=0.9, linestyle=DASHES, zorder=1)
    for level in sorted(zero_shots):
        axes.axhline(level, color=MUTED, linewidth=0.9, linestyle=DOTS, zorder=1)
    for index, condition in enumerate(view.conditions):
        look = style(index)
        axes.fill_between(condition.cuts, condition.low, condition.high, color=look.light, alpha=0.16, linewidth=0)
        axes.plot(condition.cuts, condition.mean, **line(look), zorder=3)
        score = condition.score_at_point
        if condition.point.layer is not None and score is not None:
            axes.scatter([condition.point.layer], [score], s=78, color=look.light, linewidth=1.3, zorder=4, fc="none")


def _languages(axes: Axes, view: LocateView) -> None:
    for index, condition in enumerate(view.conditions):
        if condition.language is None:
            continue
        look = style(index)
        if condition.language_low is not None and condition.language_high is not None:
            ends = condition.language_low, condition.language_high
            axes.fill_between(condition.cuts, *ends, color=look.light, alpha=0.16, linewidth=0)
        axes.plot(condition.cuts, condition.language, **line(look), zorder=3)
    axes.set_ylim(-0.06, 1.06)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    axes.set_title("in the asked language", loc="left", fontsize=8.5, pad=3)
    _ruled(axes)


def _ruled(axes: Axes) -> None:
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _points(axes: Axes, view: LocateView) -> None:
    found = [(style(index), it.point) for index, it in enumerate(view.conditions) if it.point.layer is not None]
    for row, (look, point) in enumerate(found):
        ends: list[Any] = [point.low, point.high]
        layer: list[Any] = [point.layer]
        axes.plot(ends, [row, row], color=look.light, linewidth=2.2, solid_capstyle="round", alpha=0.55)
        axes.plot(layer, [row], **line(look, markersize=4.9), zorder=3)
    axes.set_ylim(len(found) - 0.3, -0.7)
    axes.set_yticks([])
    axes.spines[["top", "left", "right"]].set_visible(False)
    if not found:
        axes.text(0.5, 0.5, "no recognition point", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _columns(view: LocateView) -> int:
    return 2 if all(len(_short(condition.label)) <= _LONGEST // 2 for condition in view.conditions) else 1


def _legend(figure: Figure, view: LocateView) -> None:
    handles: list[Line2D | Patch] = []
    for index, condition in enumerate(view.conditions):
        look = style(index)
        label = f"{_short(condition.label)}: {point_words(condition)}"
        handles.append(Line2D([], [], **line(look), label=label))
    level = round(100 * view.conditions[0].point.level)
    handles.append(Line2D([], [], color=MUTED, linewidth=0.9, linestyle=DASHES, label="nothing cut (ceiling)"))
    if any(condition.point.zero_shot is not None for condition in view.conditions):
        zero_shot = Line2D([], [], color=MUTED, linewidth=0.9, linestyle=DOTS, label="no examples (zero-shot)")
        handles.append(zero_shot)
    handles.append(Patch(facecolor=MUTED, alpha=0.22, label=f"{level} % interval of the mean"))
    ring: dict[str, Any] = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": INK}
    handles.append(Line2D([], [], color="none", **ring, label="recognition point"))
    legend = figure.legend(
        handles=handles, loc="outside lower left", ncols=_columns(view), frameon=False, handlelength=2.4
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a "$" in a label is a character, not mathematics


def figure(view: LocateView) -> Figure:
    """Draw the curves of a report; nothing of pyplot, so no display and no global state is needed.

    Args:
        view: What to draw.

    Returns:
        A figure 6.4 inches wide, the text width of most one-column papers.
    """
    rows = -(-(len(view.conditions) + 4) // _columns(view))
    strip = max(1, sum(condition.point.layer is not None for condition in view.conditions))
    heights = [_PLOT, 0.13 * strip + 0.1]
    titles = 0.0
    if any(condition.language is not None for condition in view.conditions):
        heights.insert(1, _LANGUAGE)
        titles = 0.2
    drawn = Figure(figsize=(6.4, sum(heights) + titles + 0.95 + 0.19 * rows), layout="constrained")
    FigureCanvasAgg(drawn)
    upper, *middle, lower = drawn.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _curves(upper, view)
    for axes in middle:
        _languages(axes, view)
    _points(lower, view)
    if view.metric in OF_HUNDRED:
        upper.set_ylim(bottom=0)  # as the paper draws it
        for mark in upper.lines:
            mark.set_clip_on(False)  # a curve that starts at 0 keeps its whole marks
    margin = 0.03 * view.num_layers
    upper.set_xlim(-margin, view.num_layers + margin)
    upper.set_ylabel(view.metric, parse_math=False)
    _ruled(upper)
    lower.xaxis.set_major_locator(MaxNLocator(nbins=14, integer=True, steps=[1, 2, 5, 10]))
    lower.set_xlabel(f"cut r: layers below r see the hidden tokens, layers r to {view.num_layers - 1} do not")
    lower.set_ylabel("point", rotation=0, ha="right", va="center")
    paper = upper.secondary_xaxis("top", functions=(lambda r: r + 1, lambda x: x - 1))
    paper.xaxis.set_major_locator(MaxNLocator(nbins=14, integer=True, steps=[1, 2, 5, 10]))
    paper.set_xlabel("paper's axis x = r + 1", color=MUTED)
    paper.tick_params(labelcolor=MUTED, length=2.5)
    paper.spines["top"].set_visible(False)
    upper.set_title(f"{view.model} on {view.task}", loc="left", fontsize=9.5, fontweight="bold", parse_math=False)
    _legend(drawn, view)
    return drawn


def save_figure(view: LocateView, path: Path | str) -> Path:
    """Write the figure; the suffix of `path` says in which format.

    Args:
        view: What to draw.
        path: File to write, ending in .pdf, .svg or .png; its folder is made when missing.

    Returns:
        The path that was written.

    Raises:
        SettingError: Another suffix.
    """
    return save(lambda: figure(view), path)
