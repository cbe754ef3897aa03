"""The figure of a benchmark: how many times as fast, or as small, against the cut; what is possible beside it.

One row of panels for the prompt, the decoded token and peak memory, one column for each batch size, one colour for
each context length. Measured ratios are marks with their quartiles; counted ones, the ideal, are dashed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from taskpoint.experiments.bench.findings import BenchView
from taskpoint.report.canvas import DASHES, GRID, INK, MUTED, line, save
from taskpoint.report.palette import style

_ROWS = {
    "prefill": "reading the prompt,\ntimes as fast",
    "decode": "each decoded token,\ntimes as fast",
    "peak": "peak memory,\ntimes as small",
}

_FEW = 8  # cuts whose numbers stand side by side below a panel


def _panel(axes: Axes, view: BenchView, batch: int, measure: str) -> None:
    axes.axhline(1, color=MUTED, linewidth=0.8, zorder=1)
    middle = (len(view.contexts) - 1) / 2
    for index, context in enumerate(view.contexts):
        look = style(index)
        aside = 0.018 * view.num_layers * (index - middle)  # equal ratios would hide each other
        found = [(it.cut, it.measures[measure]) for it in view.of(batch, context) if measure in it.measures]
        counted = [(cut, one.ideal) for cut, one in found if one.ideal is not None]
        axes.plot(
            [cut + aside for cut, _ in counted],
            [ideal for _, ideal in counted],
            color=look.light,
            linewidth=1.1,
            linestyle=DASHES,
            alpha=0.75,
            zorder=2,
        )
        cuts = [cut + aside for cut, _ in found]
        ends = [one.low for _, one in found], [one.high for _, one in found]
        axes.vlines(cuts, *ends, color=look.light, linewidth=2.2, alpha=0.4)
        axes.plot(cuts, [one.ratio for _, one in found], **line(look), zorder=3)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}\N{MULTIPLICATION SIGN}"))


def _legend(figure: Figure, view: BenchView) -> None:
    handles = [
        Line2D([], [], **line(style(index)), label=f"{context} hidden tokens")
        for index, context in enumerate(view.contexts)
    ]
    if any(found.ideal is not None for one in view.lines for found in one.measures.values()):
        dashed: dict[str, Any] = {"color": MUTED, "linewidth": 1.1, "linestyle": DASHES}
        handles.append(Line2D([], [], **dashed, label="ideal, counted"))
    bar: dict[str, Any] = {"color": MUTED, "marker": "|", "markersize": 9, "linestyle": "none", "markeredgewidth": 2.2}
    handles.append(Line2D([], [], **bar, label="quartiles"))
    columns = len(handles) if len(handles) <= 4 else 3
    figure.legend(
        handles=handles, loc="outside lower left", ncols=columns, frameon=False, handlelength=2.2, columnspacing=1.6
    )


def bench_figure(view: BenchView) -> Figure:
    """Draw a benchmark.

    Args:
        view: What to draw.

    Returns:
        A figure at least 6.4 inches wide, the text width of most one-column papers.
    """
    measures = [name for name in _ROWS if any(name in one.measures for one in view.lines)]
    batches = view.batches
    drawn = Figure(
        figsize=(max(6.4, 0.9 + 2.1 * len(batches)), 1.0 + 1.5 * len(measures) + 0.2 * -(-len(view.contexts) // 3)),
        layout="constrained",
    )
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(len(measures), len(batches), sharex=True, sharey="row", squeeze=False)
    for row, measure in enumerate(measures):
        for column, batch in enumerate(batches):
            axes = panels[row, column]
            _panel(axes, view, batch, measure)
            if row == 0:
                axes.set_title(f"batch of {batch}", fontsize=8.5, color=INK)
            if column == 0:
                axes.set_ylabel(_ROWS[measure])
            if row == len(measures) - 1:
                axes.set_xlim(min(view.cuts) - 0.04 * view.num_layers, 1.04 * view.num_layers)
                few = len(view.cuts) <= _FEW
                axes.xaxis.set_major_locator(FixedLocator(list(view.cuts)) if few else MaxNLocator(8, integer=True))
                axes.set_xlabel(f"cut r: layers r to {view.num_layers - 1} lack the hidden tokens")
    drawn.align_ylabels()
    title = f"{view.model}: what a cut saves"
    drawn.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold", parse_math=False)
    _legend(drawn, view)
    return drawn


def save_bench_figure(view: BenchView, path: Path | str) -> Path:
    """Write the figure; the suffix of `path` says in which format.

    Args:
        view: What to draw.
        path: File to write, ending in .pdf, .svg or .png; its folder is made when missing.

    Returns:
        The path that was written.

    Raises:
        SettingError: Another suffix.
    """
    return save(lambda: bench_figure(view), path)
