"""What `lora` gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskpoint.analysis.cliff import Cliff
from taskpoint.experiments.lora.findings import LoraView

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class LoraResult:
    """What `lora` found.

    Attributes:
        rows: one row per answer (`LoraRow`).
        view: curves with intervals and cliffs, as reports show them.
        folder: where rows and adapters are; None when they were not kept.
    """

    rows: pd.DataFrame
    view: LoraView
    folder: Path | None

    @property
    def cliff(self) -> Cliff:
        """The layer from which on adapters give less, trained on the most pairs."""
        return self.view.headline.cliff

    @property
    def curve(self) -> pd.DataFrame:
        """Score by adapted layer, trained on the most pairs: layer, mean, low, high."""
        curves = self.curves
        most = curves["size"] == self.view.headline.size
        found: pd.DataFrame = curves[most & curves["layer"].notna()]
        return found[["layer", "mean", "low", "high"]].reset_index(drop=True)

    @property
    def curves(self) -> pd.DataFrame:
        """Score by adapter: size, adapter, layer (none for all layers together), mean, low, high."""
        import pandas as pd

        view = self.view
        found = [
            (each.size, adapter, layer, score.mean, score.low, score.high)
            for each in view.sizes
            for adapter, layer, score in [
                *(("layer", layer, score) for layer, score in zip(view.layers, each.by_layer, strict=True)),
                ("all", None, each.all_layers),
            ]
        ]
        columns = ["size", "adapter", "layer", "mean", "low", "high"]
        return pd.DataFrame(found, columns=columns).astype({"layer": "Int64"})

    @property
    def adapters(self) -> Mapping[str, Path]:
        """The adapters that were kept, in peft's format, by what they are, such as "layer=3 size=400 seed=0"."""
        folder = None if self.folder is None else self.folder / "adapters"
        if folder is None or not folder.is_dir():
            return {}
        return {each.name: each for each in sorted(folder.iterdir()) if not each.name.startswith(".")}

    def report(self, path: str | Path) -> Path:
        """Writes the report as one self-contained HTML file."""
        from taskpoint.experiments.lora.blocks import page_of
        from taskpoint.report.page import save_page

        return save_page(page_of(self.view), path)

    def plot(self, path: str | Path) -> Path:
        """Writes the figure; the suffix chooses PDF, SVG or PNG."""
        from taskpoint.experiments.lora.blocks import figure_blocks
        from taskpoint.report.figure import save_figure

        return save_figure(figure_blocks(self.view), path)
