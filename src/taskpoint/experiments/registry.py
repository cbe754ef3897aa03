"""The experiments: one row each, read by the command line, the runner and the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from taskpoint.experiments.contract import Config, Run, View


@dataclass(frozen=True)
class Experiment:
    """An experiment, of which nothing is imported before it is asked for.

    Attributes:
        kind: its verb, and what its run folders are called after.
        question: what it does, in one sentence; the help of the verb.
        package: where its files are.
    """

    kind: str
    question: str
    package: str

    @property
    def config(self) -> Config:
        """Its `config.py`."""
        return cast("Config", import_module(f"{self.package}.config"))

    @property
    def run(self) -> Run:
        """Its `run.py`."""
        return cast("Run", import_module(f"{self.package}.run"))

    @property
    def view(self) -> View:
        """Its `view.py`."""
        return cast("View", import_module(f"{self.package}.view"))


_ROWS = (
    Experiment(
        "locate",
        "Find the layer after which a model has recognised a task.",
        "taskpoint.experiments.locate",
    ),
    Experiment(
        "ablate",
        "Find the single layers whose attention a model cannot do without.",
        "taskpoint.experiments.ablate",
    ),
    Experiment(
        "bench",
        "Measure what a cut saves: prompt, decoded token, memory; beside what counting says is possible.",
        "taskpoint.experiments.bench",
    ),
    Experiment(
        "lora",
        "Find the layers that are worth adapting: one LoRA adapter per layer, on a task that is not yet known.",
        "taskpoint.experiments.lora",
    ),
    Experiment(
        "heal",
        "Teach adapters under a cut what the uncut model says; how far down can the cut then go?",
        "taskpoint.experiments.heal",
    ),
    Experiment(
        "heads",
        "Find attention heads that a task does not need.",
        "taskpoint.experiments.heads",
    ),
    Experiment(
        "profile",
        "Hold context cuts, ablation, head gates and adapters against each other: do they point at the same layer?",
        "taskpoint.experiments.profile",
    ),
)

EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType({row.kind: row for row in _ROWS})
"""Kind -> experiment."""
