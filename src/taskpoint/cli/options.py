"""What several verbs share: arguments of one meaning, and where messages go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskpoint.configuration import settings_of
from taskpoint.experiments.subjects import ModelOptions
from taskpoint.settings import place

if TYPE_CHECKING:
    from rich.console import Console


def path(text: str | Path) -> Path:
    """The path that was typed, or a default; empty text is none, though Python takes it for the folder here."""
    return place("a path", text)


def path_option(*names: str, help: str) -> Any:
    """An option that takes the path of a file or folder."""
    return typer.Option(*names, parser=path, metavar="PATH", help=help)


OutOption = Annotated[
    Path | None,
    path_option("--out", help="Folder to write to, or to continue. (default: runs/...)"),
]
AdapterOption = Annotated[str | None, typer.Option(help=settings_of(ModelOptions)["adapter"].help)]
DeviceOption = Annotated[str | None, typer.Option(help=settings_of(ModelOptions)["device"].help)]


def console(*, stderr: bool = False) -> Console:
    """Where tables and progress are shown; rich is imported at the first use."""
    from rich.console import Console

    return Console(stderr=stderr)
