"""What the README of every exported model has: tables, and what it was made with and on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from taskpoint.results.manifest import library_versions


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column holds names, the others numbers."""
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1)), *map(_row, rows)]
    return "\n".join(lines)


def settings_table(settings: Mapping[str, object]) -> str:
    """Settings by name."""
    rows = [_row([name, str(value)]) for name, value in settings.items()]
    return "\n".join([_row(["setting", "value"]), _row(["---", "---"]), *rows])


def versions() -> str:
    """The libraries that the figures depend on."""
    return ", ".join(f"{name} {version}" for name, version in library_versions().items())


def hardware(device: str) -> str:
    """What a model was trained on, in words that name no machine."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device}, {torch.get_num_threads()} threads"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
