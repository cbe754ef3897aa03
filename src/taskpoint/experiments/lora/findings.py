"""What table, figure and sentence of a `lora` run show: numbers only, no tensor and no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskpoint.analysis.cliff import Cliff
from taskpoint.analysis.intervals import Interval
from taskpoint.analysis.layers import LayerValues


@dataclass(frozen=True, eq=False)
class SizeView:
    """What adapters give that were trained on so many pairs.

    Attributes:
        size: pairs.
        by_layer: score with an adapter on each measured layer alone.
        all_layers: score with one on every layer.
        cliff: where the curve falls, or why it does not.
        steps: least and greatest number of training steps.
        loss: by layer: of the last steps, nats per taught token.
    """

    size: int
    by_layer: tuple[Interval, ...]
    all_layers: Interval
    cliff: Cliff
    steps: tuple[int, int]
    loss: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class LoraView:
    """Everything that a report of `lora` shows.

    Attributes:
        metric: what the scores are, e.g. "exact match".
        layers: those that were adapted in turn, ascending.
        sizes: ascending; the last one is the headline.
        base: score of the model without an adapter.
        values: the headline in the form in which experiments are held against each other; None where some layers were
            left out.
    """

    model: str
    num_layers: int
    task: str
    metric: str
    seeds: int
    items: int
    layers: tuple[int, ...]
    sizes: tuple[SizeView, ...]
    base: Interval
    values: LayerValues | None
    settings: Mapping[str, str]
    command: str
    versions: Mapping[str, str]

    @property
    def headline(self) -> SizeView:
        """That of the largest size."""
        return self.sizes[-1]

    @property
    def best(self) -> int:
        """The layer whose adapter scores highest at the largest size."""
        scores = [each.mean for each in self.headline.by_layer]
        return self.layers[scores.index(max(scores))]
