from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from taskpoint.pretrain.lexicon import PretrainLexicon
from taskpoint.pretrain.translator import PretrainTranslator

TINY: dict[str, Any] = {
    "steps": 6, "batch": 4, "shots": 2, "layers": 2, "width": 16, "heads": 2, "mlp": 16, "vocab": 400,
    "checkpoint_every": 2, "measured": 1, "warmup_share": 0.2, "positions": 256,
}  # fmt: skip

TINY_TRANSLATOR: dict[str, Any] = {
    "steps": 6, "pairs": 8, "lengths": (1, 3), "tokens": 100, "layers": 2, "width": 16, "heads": 2, "mlp": 16,
    "vocab": 500, "checkpoint_every": 2, "measured": 1, "warmup_share": 0.2, "positions": 512, "compiled": False,
    "bfloat16": False,
}  # fmt: skip

_WORDS = (
    ("The cat", "The dog", "My son", "Her boss", "A man", "Tom", "Our cook", "The king", "An owl", "His aunt"),
    ("sees", "likes", "paints", "finds", "hides", "wants", "sells", "cleans", "fears", "needs"),
    ("a red", "an old", "the big", "my new", "no"),
    ("house", "boat", "hat", "tree", "book", "spoon"),
)


@pytest.fixture
def tiny(tmp_path: Path) -> PretrainLexicon:
    torch.set_num_threads(1)
    return PretrainLexicon(tmp_path / "run", **TINY)


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Tatoeba's, of made-up languages; enough sentences for some two dozen to be held out."""
    folder = tmp_path_factory.mktemp("tatoeba")
    for code in ("fra", "deu", "spa", "nld"):
        lines = []
        for words in itertools.product(*_WORDS):
            english = " ".join(words)
            # Two accepted translations of some sentences, as in Tatoeba.
            lines += [f"{english}.\t{_made_up(english, code)}{end}" for end in (".", "!")[: 1 + (words[0] == "Tom")]]
        (folder / f"{code}.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def _made_up(english: str, code: str) -> str:
    return " ".join(f"{word[::-1].lower()}{code[0]}" for word in english.split())


@pytest.fixture
def tiny_translator(tmp_path: Path, sentences: Path) -> PretrainTranslator:
    torch.set_num_threads(1)
    return PretrainTranslator(tmp_path / "run", sentences, **TINY_TRANSLATOR)
