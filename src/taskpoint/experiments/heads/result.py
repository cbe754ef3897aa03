"""What `heads` gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskpoint.experiments.heads.findings import HeadsView
from taskpoint.models.head_gates import HeadGates
from taskpoint.settings import whole

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class HeadsResult:
    """What `heads` found.

    Attributes:
        rows: one row per item under one condition (`HeadsRow`).
        view: scores, heads closed and gates, as reports show them.
        folder: where rows and files of gates are; None when they were not kept.
    """

    rows: pd.DataFrame
    view: HeadsView
    folder: Path | None

    def gates(self, penalty: float | None = None, train_shots: int | None = None, seed: int = 0) -> HeadGates:
        """The gates of one training as they were trained, for `taskpoint.gated_heads`; by default of the first one.

        Raises:
            SettingError: there was no such training.
        """
        found = self.view.of(penalty, train_shots).gates
        return self._of(found[whole("seed", seed, 0, len(found) - 1)])

    def mask(self, penalty: float | None = None, train_shots: int | None = None, seed: int = 0) -> HeadGates:
        """The same with every gate either 0 or 1."""
        found = self.view.of(penalty, train_shots).open_heads
        return self._of(found[whole("seed", seed, 0, len(found) - 1)])

    def frame(self) -> pd.DataFrame:
        """Scores by training and test shots, with the ends of their intervals.

        Columns: penalty, train_shots, shots, removed (mean over seeds), then untouched, gates, mask, random, kept and
        random_kept, each with its _low and _high.
        """
        import pandas as pd

        rows = []
        for trained in self.view.trained:
            for scores in trained.scores:
                row: dict[str, float | None] = {
                    "penalty": trained.penalty,
                    "train_shots": trained.train_shots,
                    "shots": scores.shots,
                    "removed": float(np.mean(trained.removed)),
                }
                for name in ("untouched", "gates", "mask", "random", "kept", "random_kept"):
                    found = getattr(scores, name)
                    row[name] = None if found is None else found.mean
                    row[f"{name}_low"] = None if found is None else found.low
                    row[f"{name}_high"] = None if found is None else found.high
                rows.append(row)
        return pd.DataFrame(rows)

    def report(self, path: str | Path) -> Path:
        """Writes the report as one self-contained HTML file."""
        from taskpoint.experiments.heads.blocks import report_of
        from taskpoint.report.page import save_page

        return save_page(report_of(self.view), path)

    def plot(self, path: str | Path) -> Path:
        """Writes the figure; the suffix chooses PDF, SVG or PNG."""
        from taskpoint.experiments.heads.blocks import report_of
        from taskpoint.report.figure import save_figure

        return save_figure(report_of(self.view).drawn, path)

    def _of(self, values: np.ndarray) -> HeadGates:
        return HeadGates(values.astype(np.float32), self.view.model, self.view.family)
