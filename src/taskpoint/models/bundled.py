"""The models that come with the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

DEFAULT = "lexicon"
"""The model that is loaded when none is named."""

_FOLDER = Path(__file__).parent / "bundled"


_LEARNT = MappingProxyType(
    {
        "lexicon": "the word tasks of the task suite 'lexicon', learnt in context",
        "translator": "short sentences between English and French, German, Spanish, Dutch, learnt in context",
    }
)
"""What each was taught, in words."""


@dataclass(frozen=True)
class BundledModel:
    """A model that comes with the package; the summary is one line on its size and training data."""

    name: str
    path: Path
    summary: str


def bundled_models() -> dict[str, BundledModel]:
    """The bundled models by name; only those whose files are there."""
    folders = {name: _FOLDER / name for name in _LEARNT}
    return {
        name: BundledModel(name, folder, _summary(name, folder))
        for name, folder in folders.items()
        if (folder / "config.json").is_file()
    }


def _summary(name: str, folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    shape = f"{config['model_type']}, {config['num_hidden_layers']} layers of width {config['hidden_size']}"
    return f"{shape}, {size:.1f} MB: {_LEARNT[name]}"
