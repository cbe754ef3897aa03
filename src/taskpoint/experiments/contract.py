"""What an experiment is: a folder with three files, each of which holds what its protocol here names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from taskpoint.configuration import Configuration

if TYPE_CHECKING:
    import pandas as pd

    from taskpoint.report.blocks import Report
    from taskpoint.results.folder import RunFolder
    from taskpoint.results.rows import Layout

Step = Callable[[str], None]
"""Called when one of the steps of a cell is done, with a note of a few words."""


@runtime_checkable
class Cell(Protocol):
    """What is computed at once, written at once, and skipped when a run continues."""

    @property
    def key(self) -> str:
        """Its name in the run folder; no other cell has it."""


@dataclass(frozen=True)
class Keyed:
    """A cell of which its key says everything."""

    key: str


CellT = TypeVar("CellT", bound=Cell)


class Work(ABC, Generic[CellT]):
    """A run before it starts: a subject, such as a model and a task, and settings that fit it.

    Attributes:
        name: what a folder of the run is called after, such as its model.
        manifest: settings and facts that decide the rows, as values that JSON has; what config.json holds.
        folder: the run's folder, for what a cell leaves beside its rows, such as adapters; the runner sets it before
            the first cell. It is written before the cell's rows are, so that it is whole where they are there.
    """

    name: str
    manifest: Mapping[str, object]
    folder: Path

    def check(self) -> None:
        """Refuses, before anything is written, what could not be finished."""

    @abstractmethod
    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[CellT]]:
        """The cells, in groups: the next is asked for when one is done, and may depend on the rows so far.

        Where a run continues, `rows` gives those of later groups too: a group has to depend on earlier ones alone.
        """

    @abstractmethod
    def cell(self, key: str) -> CellT:
        """The cell of this key, for whoever computes it elsewhere: the key and the manifest tell all of it.

        Raises:
            SettingError: the run has no such cell.
        """

    @abstractmethod
    def rows(self, cell: CellT, step: Step) -> Iterable[Any]:
        """Computes a cell: rows of the experiment's layout."""

    def steps(self, cell: CellT) -> int:
        """How many steps of progress the cell takes."""
        return 1


class SubjectOptions(Configuration):
    """The options that say what a run is about; `load` gives it."""

    def load(self) -> Any:
        """What `start` takes, such as a model and a task."""
        raise NotImplementedError


@runtime_checkable
class Config(Protocol):
    """`config.py`; needs no torch."""

    SUBJECT: type[SubjectOptions]
    CONFIG: type[Configuration]


@runtime_checkable
class Run(Protocol):
    """`run.py`: from settings to rows."""

    def start(self, subject: Any, config: Any) -> Work[Any]:
        """The run of a subject under settings.

        Raises:
            SettingError: they do not fit each other.
        """


@runtime_checkable
class View(Protocol):
    """`view.py`: from rows to what people see; needs no torch.

    Where other files than page and figure belong beside the rows, it has `write(view, folder)` too, which writes them
    and gives their paths by what they are, such as "report". Where it says something of every layer, it has
    `layers_of(view)` too, which gives `analysis.layers.LayerValues`: `profile` holds these against each other.
    """

    LAYOUT: Layout

    def view_of(self, folder: RunFolder) -> Any:
        """What the run found.

        Raises:
            RunFolderError: there is too little of it yet, or config.json was changed.
        """

    def report_of(self, view: Any) -> Report:
        """The same in blocks, for terminal, figure and page."""
