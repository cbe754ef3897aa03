"""How an answer is scored, by name: ``NAME[:TOKENIZER][:lc]``, such as ``exact``, ``bleu:zh`` or ``chrf:lc``.

BLEU and chrF are sacrebleu's with its defaults; ``lc`` does not tell capital letters from small ones. ``bleu:paper`` is
``bleu:lc`` of what paper A keeps of an answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.tasks.scores.bleu import bleu_counts, bleu_of, chrf_counts, chrf_of, sentence_bleu, sentence_chrf
from taskpoint.tasks.scores.paper import parted_by, scored_text
from taskpoint.tasks.scores.same_text import begins, contains, exact_match

_TOKENIZER = "13a"
# "spm" is an old name of flores101, which sacrebleu is about to drop.
_TOKENIZERS = tuple(name for name in BLEU.TOKENIZERS if name != "spm")
_LOWERCASE = "lc"
_PAPER = "paper"
_PACKAGES = {"ja-mecab": "'sacrebleu[ja]'", "ko-mecab": "'sacrebleu[ko]'"}


class Metric(ABC):
    """A score of answers; equal when spelt alike."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How it is spelt, as `metric` reads it."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What reports call it."""

    @abstractmethod
    def score(self, text: str, answers: Sequence[str]) -> float:
        """The score of one answer, the higher the better."""

    def counts(self, text: str, answers: Sequence[str]) -> tuple[int, ...]:
        """Whole numbers that add up over answers to a score of them all; none when that is the mean of `score`."""
        return ()

    def for_language(self, code: str) -> Metric:
        """The same for answers in a language, given by its ISO 639-1 code; without it, English is assumed."""
        return self

    def signature(self, references: Iterable[int]) -> str | None:
        """The name and signature that sacrebleu prints beside such a score; None when it is not its score.

        ``references`` are the numbers of accepted answers of the items.
        """
        return None


@dataclass(frozen=True)
class _ByText(Metric):
    """1.0 or 0.0, by comparing texts."""

    kind: str
    lowercase: bool

    @property
    def name(self) -> str:
        return _spelt(self.kind, self.lowercase)

    @property
    def label(self) -> str:
        return _BY_TEXT[self.kind][0]

    def score(self, text: str, answers: Sequence[str]) -> float:
        compare = _BY_TEXT[self.kind][1]
        return compare(text.lower(), map(str.lower, answers)) if self.lowercase else compare(text, answers)


@dataclass(frozen=True)
class _Bleu(Metric):
    """Sentence BLEU of one answer, corpus BLEU of many."""

    tokenizer: str
    lowercase: bool

    @property
    def name(self) -> str:
        return _spelt("bleu" if self.tokenizer == _TOKENIZER else f"bleu:{self.tokenizer}", self.lowercase)

    @property
    def label(self) -> str:
        return "BLEU"

    @property
    def scorer(self) -> BLEU:
        """The scorer; a SettingError where the tokenizer's packages or data are not there."""
        try:
            return bleu_of(self.tokenizer, lowercase=self.lowercase)
        except (ImportError, RuntimeError, AssertionError):
            # Assertions: a dictionary of another kind than the one that scores are to be compared by.
            package = _PACKAGES.get(self.tokenizer, "sentencepiece")
            mend = f"needs packages that are not installed: pip install {package}"
        except OSError as error:
            mend = (
                f"cannot load its model ({error}); sacrebleu downloads it at the first use: run it once with a network"
            )
        raise SettingError(f"tokenizer {self.tokenizer!r} of metric {self.name!r} {mend}")

    def score(self, text: str, answers: Sequence[str]) -> float:
        return sentence_bleu(text, answers, self.scorer)

    def counts(self, text: str, answers: Sequence[str]) -> tuple[int, ...]:
        return bleu_counts(text, answers, self.scorer)

    def signature(self, references: Iterable[int]) -> str:
        return _signed("BLEU", self.scorer, references)


@dataclass(frozen=True)
class _PaperBleu(Metric):
    """BLEU in lower case of the first sentence of an answer."""

    language: str = "en"

    @property
    def name(self) -> str:
        return f"bleu:{_PAPER}"

    @property
    def label(self) -> str:
        return "BLEU"

    def score(self, text: str, answers: Sequence[str]) -> float:
        return LOWERCASE_BLEU.score(scored_text(text, self.language), answers)

    def counts(self, text: str, answers: Sequence[str]) -> tuple[int, ...]:
        return LOWERCASE_BLEU.counts(scored_text(text, self.language), answers)

    def for_language(self, code: str) -> Metric:
        return _PaperBleu(code)

    def signature(self, references: Iterable[int]) -> str:
        return f"{LOWERCASE_BLEU.signature(references)}|{parted_by()}"


@dataclass(frozen=True)
class _Chrf(Metric):
    """Sentence chrF of one answer, corpus chrF of many; with `words` (2) chrF++."""

    words: int
    lowercase: bool

    @property
    def name(self) -> str:
        return _spelt("chrf" + "+" * self.words, self.lowercase)

    @property
    def label(self) -> str:
        return "chrF" + "+" * self.words

    @property
    def scorer(self) -> CHRF:
        return chrf_of(self.words, lowercase=self.lowercase)

    def score(self, text: str, answers: Sequence[str]) -> float:
        return sentence_chrf(text, answers, self.scorer)

    def counts(self, text: str, answers: Sequence[str]) -> tuple[int, ...]:
        return chrf_counts(text, answers, self.scorer)

    def signature(self, references: Iterable[int]) -> str:
        return _signed("chrF2" + "+" * self.words, self.scorer, references)


_BY_TEXT: Mapping[str, tuple[str, Callable[[str, Iterable[str]], float]]] = MappingProxyType(
    {
        "exact": ("exact match", exact_match),
        "contains": ("answer contained", contains),
        "prefix": ("answer at the start", begins),
    }
)
_CHRF = MappingProxyType({"chrf": 0, "chrf++": 2})

EXACT: Metric = _ByText("exact", lowercase=False)
"""What tasks are scored by where nothing else is said."""
LOWERCASE_BLEU: Metric = _Bleu(_TOKENIZER, lowercase=True)
"""What translations are scored by: paper A's scorer, of all that an answer says."""


def metric_names() -> tuple[str, ...]:
    """The names that `metric` understands, without tokenizers and `lc`."""
    return (*_BY_TEXT, "bleu", *_CHRF)


def metric(spec: str) -> Metric:
    """The metric of ``NAME[:TOKENIZER][:lc]``; a tokenizer of sacrebleu belongs to ``bleu`` alone.

    Raises:
        UnknownNameError: No such metric or tokenizer; the message names the nearest.
        SettingError: A part that does not belong to that metric, or a tokenizer whose packages are not there.
    """
    name, *parts = spec.split(":")
    if name not in metric_names():
        raise UnknownNameError("metric", name, metric_names())
    lowercase = parts[-1:] == [_LOWERCASE]
    rest = parts[:-1] if lowercase else parts
    if rest and name != "bleu":
        raise SettingError(f"metric {spec!r}: {name} has no tokenizer {rest[0]!r}; expected {name} or {name}:lc")
    if len(rest) > 1:
        raise SettingError(f"metric {spec!r} has {len(rest)} tokenizers; expected bleu:TOKENIZER or bleu:TOKENIZER:lc")
    if name in _BY_TEXT:
        return _ByText(name, lowercase)
    if name in _CHRF:
        return _Chrf(_CHRF[name], lowercase)
    tokenizer = rest[0] if rest else _TOKENIZER
    if tokenizer == _PAPER:
        if lowercase:
            raise SettingError(f"metric {spec!r} leaves case out anyway; expected bleu:{_PAPER}")
        return _PaperBleu()
    if tokenizer not in _TOKENIZERS:
        raise UnknownNameError("tokenizer of bleu", tokenizer, (*_TOKENIZERS, _PAPER, _LOWERCASE))
    found = _Bleu(tokenizer, lowercase)
    _ = found.scorer  # what is missing is told now, not after the model has answered
    return found


def _spelt(name: str, lowercase: bool) -> str:
    return f"{name}:{_LOWERCASE}" if lowercase else name


def _signed(name: str, scorer: BLEU | CHRF, references: Iterable[int]) -> str:
    numbers = set(references)
    # sacrebleu sets it when it is given references; -1 stands for "various".
    scorer.num_refs = numbers.pop() if len(numbers) == 1 else -1
    return f"{name}|{scorer.get_signature()}"
