"""What people see of a run: on the terminal, in a figure, and in the files beside its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskpoint.experiments.registry import Experiment

if TYPE_CHECKING:
    from rich.console import Console


def show(experiment: Experiment, view: Any, console: Console) -> None:
    """Prints what a run found."""
    from taskpoint.report import terminal

    terminal.show(experiment.view.report_of(view).blocks, console)


def draw(experiment: Experiment, view: Any, path: str | Path) -> Path:
    """Writes its figure; the suffix chooses PDF, SVG or PNG.

    Raises:
        SettingError: another suffix, or nothing to draw.
    """
    from taskpoint.report.figure import save_figure

    return save_figure(experiment.view.report_of(view).drawn, path)


def write(experiment: Experiment, view: Any, folder: Path) -> Mapping[str, Path]:
    """Writes what belongs beside the rows: page and figure, or what the experiment says; by what each of it is."""
    own = getattr(experiment.view, "write", None)
    if own is not None:
        files: Mapping[str, Path] = own(view, folder)
        return files
    from taskpoint.report.page import save_page

    report = experiment.view.report_of(view)
    page = {"report": save_page(report, folder / "report.html")}
    return page | ({"figure": draw(experiment, view, folder / "figure.pdf")} if report.drawn else {})
