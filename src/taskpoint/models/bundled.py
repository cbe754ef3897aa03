"""The models that come with the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

DEFAULT = "lexicon"
"""The model that is loaded when none is named."""

_FOLDER = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class _Learnt:
    """What a model was taught: in words, the task to ask it when none is named, and the kinds of tasks it knows."""

    words: str
    task: str
    kinds: tuple[str, ...]


_LEARNT = MappingProxyType(
    {
        "lexicon": _Learnt("the word tasks of the task suite 'lexicon', learnt in context", "lexicon", ("lexicon",)),
        "translator": _Learnt(
            "short sentences between English and French, German, Spanish, Dutch, learnt in context",
            "everyday:eng-fra",
            ("everyday", "tatoeba"),
        ),
    }
)


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


def model_for(task: str) -> str:
    """The bundled model that learnt tasks of this kind; the default one where none did."""
    kind = task.partition(":")[0]
    return next((name for name, learnt in _LEARNT.items() if kind in learnt.kinds), DEFAULT)


def task_for(model: str | None) -> str:
    """The task to ask a model when none is named: what it learnt, or for a model of the user's the default one's."""
    learnt = _LEARNT.get(model or DEFAULT)
    return (learnt or _LEARNT[DEFAULT]).task


def _summary(name: str, folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    shape = f"{config['model_type']}, {config['num_hidden_layers']} layers of width {config['hidden_size']}"
    return f"{shape}, {size:.1f} MB: {_LEARNT[name].words}"
