"""What `locate` gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskpoint.analysis.recognition import RecognitionPoint
from taskpoint.experiments.locate.findings import LocateView

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class LocateResult:
    """What `locate` found.

    Attributes:
        rows: one row per item under one setting (results.rows.Row); controls are conditions of their own.
        view: curves with intervals, points, controls, savings and answers, as reports show them.
    """

    rows: pd.DataFrame
    view: LocateView
    folder: Path | None

    @property
    def point(self) -> RecognitionPoint:
        """The task recognition point of the headline condition."""
        return self.view.conditions[0].point

    @property
    def curve(self) -> pd.DataFrame:
        """Score by cut of the headline condition: cut, mean, low, high."""
        curves = self.curves
        first = curves.iloc[0]
        headline: pd.DataFrame = curves[
            (curves["condition"] == first["condition"]) & (curves["shots"] == first["shots"])
        ]
        return headline[["cut", "mean", "low", "high"]].reset_index(drop=True)

    @property
    def curves(self) -> pd.DataFrame:
        """Score by cut of every condition: condition, shots, cut, mean, low, high."""
        import pandas as pd

        columns = ["condition", "shots", "cut", "mean", "low", "high"]
        return pd.DataFrame(
            [
                (condition.label, condition.shots, *values)
                for condition in self.view.conditions
                for values in zip(condition.cuts, condition.mean, condition.low, condition.high, strict=True)
            ],
            columns=columns,
        )

    @property
    def points(self) -> pd.DataFrame:
        """Recognition points of every condition, of a suite also by sub-task (all together: an empty name).

        Columns: condition, shots, subtask, layer, low, high, ceiling, floor, zero_shot, reason.
        """
        import pandas as pd

        names = ("layer", "low", "high", "ceiling", "floor", "zero_shot", "reason")
        found = pd.DataFrame(
            [
                (one.label, one.shots, name, *(getattr(point, each) for each in names))
                for one in self.view.conditions
                for name, point in [("", one.point), *((part.name, part.point) for part in one.parts)]
            ],
            columns=["condition", "shots", "subtask", *names],
        )
        return found.astype(dict.fromkeys(("layer", "low", "high"), "Int64"))

    def report(self, path: str | Path) -> Path:
        """Writes the report as one self-contained HTML file."""
        from taskpoint.experiments.locate.page.html import save_page

        return save_page(self.view, path)

    def plot(self, path: str | Path) -> Path:
        """Writes the figure; the suffix chooses PDF, SVG or PNG."""
        from taskpoint.experiments.locate.curves import figure_blocks
        from taskpoint.report.figure import save_figure

        return save_figure(figure_blocks(self.view), path)
