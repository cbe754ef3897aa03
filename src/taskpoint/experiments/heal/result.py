"""What `heal` gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskpoint.analysis.kept import LowestCut
from taskpoint.experiments.heal.findings import HealView

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class HealResult:
    """What `heal` found.

    Attributes:
        rows: one row per answer (`HealRow`).
        view: curves with intervals, lowest cuts, controls, as reports show them.
        folder: where rows and adapters are; None when they were not kept.
    """

    rows: pd.DataFrame
    view: HealView
    folder: Path | None

    @property
    def unhealed(self) -> LowestCut:
        """The lowest cut that keeps the asked share of the score, before healing."""
        return self.view.unhealed.lowest

    @property
    def healed(self) -> LowestCut:
        """The same after healing."""
        return self.view.healed.lowest

    @property
    def adapters(self) -> Mapping[int, Path]:
        """The adapter of each cut that was kept, in peft's format: that of the first repetition."""
        if self.folder is None:
            return {}
        found = {cut: self.folder / "adapters" / f"r={cut}" for cut in self.view.cuts}
        return {cut: folder for cut, folder in found.items() if folder.is_dir()}

    @property
    def curves(self) -> pd.DataFrame:
        """Score by cut, healed and not: condition, cut, mean, low, high."""
        import pandas as pd

        drawn = {
            "unhealed": self.view.unhealed.points,
            "healed": self.view.healed.points,
            "healed, uncut": self.view.uncut,
        }
        return pd.DataFrame(
            [(name, one.cut, one.mean, one.low, one.high) for name, points in drawn.items() for one in points],
            columns=["condition", "cut", "mean", "low", "high"],
        )

    def report(self, path: str | Path) -> Path:
        """Writes the report as one self-contained HTML file."""
        from taskpoint.experiments.heal.blocks import page_of
        from taskpoint.report.page import save_page

        return save_page(page_of(self.view), path)

    def plot(self, path: str | Path) -> Path:
        """Writes the figure; the suffix chooses PDF, SVG or PNG."""
        from taskpoint.experiments.heal.blocks import figure_blocks
        from taskpoint.report.figure import save_figure

        return save_figure(figure_blocks(self.view), path)
