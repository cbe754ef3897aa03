"""Short sentences with translations, from a folder of Tatoeba pairs; and which of them no model here is trained on.

A file `fra.tsv.gz` holds `English TAB French` a line; the four languages may cover different English sentences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.tasks.base import Item
from taskpoint.tasks.drawing import generator, permutation
from taskpoint.tasks.language import LANGUAGES
from taskpoint.tasks.mapping import Pair, Subtask, in_turns, merged
from taskpoint.tasks.pairs import read_pairs
from taskpoint.tasks.translation import TranslationTask, chosen, sentence_key, translating

LONGEST = 8
"""Words of the longest English sentence that is used; six of seven pairs are no longer."""

# Of a thousand English sentences, how many nobody trains on.
_HELD_OUT = 15

Sentences = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Corpus:
    """The pairs (English, other) of one language, split by English sentence.

    No sentence of either language that is in `train` is also in `test`, case and punctuation apart.
    """

    language: str
    train: Sentences
    test: Sentences


def corpora(folder: Path) -> tuple[Corpus, ...]:
    """Every language, split; what is held out in one language is held out in all.

    Raises:
        DataError: The folder or a file is missing, or a file is malformed.
    """
    try:
        # Resolved, so that one folder is read once however it is written.
        resolved = folder.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"cannot read the folder {str(folder)!r}: {error}; name one that can be read") from None
    return _corpora(resolved)


@lru_cache(maxsize=1)
def _corpora(folder: Path) -> tuple[Corpus, ...]:
    if not folder.is_dir():
        raise DataError(f"no folder {str(folder)!r}; expected one with {', '.join(_file(code) for code in _others())}")
    pairs = {code: tuple(_short(read_pairs(folder / _file(code)))) for code in _others()}
    tested = {code: tuple(pair for pair in found if _held_out(pair[0])) for code, found in pairs.items()}
    return tuple(Corpus(code, _without(pairs[code], tested[code]), tested[code]) for code in pairs)


def direction_pairs(sentences: Iterable[tuple[str, str]], *, from_english: bool) -> tuple[Pair, ...]:
    """Sentences with their accepted translations into or from English, each source once."""
    return merged((english, (other,)) if from_english else (other, (english,)) for english, other in sentences)


def _others() -> Iterator[str]:
    return (code for code in LANGUAGES if code != "eng")


def _file(code: str) -> str:
    return f"{code}.tsv.gz"


def _short(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return (pair for pair in pairs if len(pair[0].split()) <= LONGEST)


def _held_out(english: str) -> bool:
    """Decided by the sentence alone, so that it is the same in every language and in every selection of Tatoeba."""
    digest = hashlib.sha256(sentence_key(english).encode()).digest()
    return int.from_bytes(digest[:8]) % 1000 < _HELD_OUT


def _without(pairs: Sentences, tested: Sentences) -> Sentences:
    """Pairs of which neither side is tested: "He's ill." must not teach what "He is ill." asks, by the same French."""
    known = {sentence_key(text) for pair in tested for text in pair}
    return tuple(pair for pair in pairs if known.isdisjoint(map(sentence_key, pair)))


class TatoebaTask(TranslationTask):
    """The held-out sentences; the others are there to train on."""

    def __init__(self, name: str, subtasks: Sequence[Subtask], sentences: Iterable[Corpus]) -> None:
        super().__init__(name, subtasks)
        self._corpora = {corpus.language: corpus for corpus in sentences}

    def _trainable(self) -> Iterator[Item]:
        return in_turns([self._of_direction(subtask.name) for subtask in self.subtasks])

    def _of_direction(self, name: str) -> Iterator[Item]:
        source, target = name.split("-")
        from_english = source == "eng"
        pairs = direction_pairs(self._corpora[target if from_english else source].train, from_english=from_english)
        for place in permutation(generator("training", name), len(pairs)):
            yield Item(f"{name}/{pairs[place][0]}", name, *pairs[place])


def tatoeba(sentences: Sequence[Corpus], wanted: str | None = None) -> TatoebaTask:
    """The held-out sentences as a task: every direction, or some of them, such as ``eng-fra,fra-eng``.

    Raises:
        UnknownNameError: There is no such direction.
        SettingError: A direction is there twice.
        DataError: Fewer than two sentences of a language are held out.
    """
    made = []
    for corpus in sentences:
        other = corpus.language
        made.append(translating("eng", other, direction_pairs(corpus.test, from_english=True)))
        made.append(translating(other, "eng", direction_pairs(corpus.test, from_english=False)))
    return TatoebaTask(*chosen("tatoeba", made, wanted), sentences)
