"""Runs in folders, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.runs import read_run


def view_of_folder(path: str | Path, *kinds: str) -> Any:
    """What the run in a folder found; arguments as those of `read_run`."""
    run = read_run(path, *kinds)
    return EXPERIMENTS[run.manifest.kind].view.view_of(run)
