"""Sentence pairs for several tests: the real ones, and a folder as small as a test needs it."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from taskpoint.tasks.tatoeba import Corpus, corpora

SentenceFolder = Callable[..., Path]
"""Called with the name of the folder and the pairs of the languages that are to differ from the ordinary ones."""

# Sentences 3 and 180 are held out, the other three are not.
_ORDINARY = tuple((f"Go now {number}.", f"Ga {number}.") for number in (1, 2, 3, 4, 180))


@pytest.fixture(scope="session")
def real_corpora(data_dir: Path) -> tuple[Corpus, ...]:
    """The real sentences, which take seconds to read."""
    return corpora(data_dir / "tatoeba")


@pytest.fixture
def sentence_folder(tmp_path: Path) -> SentenceFolder:
    """Writes a folder with the sentences of all four languages."""

    def write(name: str = "tatoeba", **by_language: Iterable[tuple[str, str]]) -> Path:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        for language in ("fra", "deu", "spa", "nld"):
            pairs = by_language.get(language, _ORDINARY)
            text = "".join(f"{english}\t{other}\n" for english, other in pairs)
            (place / f"{language}.tsv.gz").write_bytes(gzip.compress(text.encode()))
        return place

    return write
