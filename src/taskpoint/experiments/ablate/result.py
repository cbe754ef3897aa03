"""What `ablate` gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskpoint.experiments.ablate.findings import AblateView

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class AblateResult:
    """What `ablate` found.

    Attributes:
        rows: one row per item and removed layer under one setting (`AblateRow`).
        view: what the layers are worth, as reports show it.
        folder: where the rows are; None when they were not kept.
    """

    rows: pd.DataFrame
    view: AblateView
    folder: Path | None

    @property
    def curves(self) -> pd.DataFrame:
        """Score by removed layer: shots, instruction, layer, score, change, low, high, verdict.

        `change` is the score without the layer's attention minus the full score, `low` and `high` are its interval.
        """
        import pandas as pd

        columns = ["shots", "instruction", "layer", "score", "change", "low", "high", "verdict"]
        return pd.DataFrame(
            [
                (one.shots, one.instruction, layer, one.scores[layer], change.mean, change.low, change.high, verdict)
                for one in self.view.conditions
                for layer, (change, verdict) in enumerate(zip(one.effects.changes, one.effects.verdicts, strict=True))
            ],
            columns=columns,
        )

    def report(self, path: str | Path) -> Path:
        """Writes the report as one self-contained HTML file."""
        from taskpoint.experiments.ablate.blocks import page_of
        from taskpoint.report.page import save_page

        return save_page(page_of(self.view), path)

    def plot(self, path: str | Path) -> Path:
        """Writes the figure; the suffix chooses PDF, SVG or PNG."""
        from taskpoint.experiments.ablate.blocks import figure_blocks
        from taskpoint.report.figure import save_figure

        return save_figure(figure_blocks(self.view), path)
