"""What every figure shares: ink, marks, fonts, and how it becomes a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from taskpoint.errors import SettingError
from taskpoint.report.palette import Style
from taskpoint.results.atomic import save_whole
from taskpoint.settings import place

INK = "#1b2530"
MUTED = "#66717d"
GRID = "#e3e7eb"
DASHES = (0, (5, 3))
DOTS = (0, (1, 2))

_MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "down": "v", "cross": "X"}
# Without a date the same view gives the same file, byte for byte.
_METADATA: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}
# Type 42 and outlined glyphs carry the font inside the file; Type 3, the default, is refused by many publishers.
# The fixed salt keeps the names within an SVG the same from one time to the next.
_RC: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "taskpoint",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def line(look: Style, markersize: float = 4.4) -> dict[str, Any]:
    """How a curve of this style is drawn on white paper, as matplotlib's arguments."""
    return {
        "color": look.light,
        "linewidth": 1.5,
        "marker": _MARKERS[look.marker],
        "markersize": markersize,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def drawn(draw: Callable[[], Figure], suffix: str) -> bytes:
    """The bytes of a figure's file, e.g. for suffix ".svg"."""
    paper = io.BytesIO()
    with mpl.rc_context(_RC):
        draw().savefig(paper, format=suffix[1:], dpi=220, metadata=_METADATA[suffix])
    return paper.getvalue()


def save(draw: Callable[[], Figure], path: Path | str) -> Path:
    """Writes a figure as its suffix says, .pdf, .svg or .png; the folder is made when missing.

    Raises:
        SettingError: another suffix.
        RunFolderError: it cannot be written.
    """
    target = place("path", path)
    suffix = target.suffix.lower()
    if suffix not in _METADATA:
        raise SettingError(f"cannot write a figure as {target.name!r}: path must end in one of {', '.join(_METADATA)}")
    return save_whole(target, drawn(draw, suffix))
