"""What a `heads` run leaves beside its rows: a file of gates for each training, and one of the mask they became."""

from __future__ import annotations

from typing import Final

GATES_FOLDER: Final = "gates"
"""Folder of the gates as they were trained, in the folder of the run."""
MASKS_FOLDER: Final = "masks"
"""Folder of the same, each gate either 0 or 1."""


def file_name(penalty: float, train_shots: int, seed: int) -> str:
    """The name of the files of one training in both folders."""
    return f"penalty-{penalty!r}-shots-{train_shots}-seed-{seed}.safetensors"
