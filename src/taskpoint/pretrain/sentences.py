"""Training sequences of translation: sentence pairs of one direction, of which every translation is a target.

B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from transformers import PreTrainedTokenizerFast

from taskpoint.errors import SettingError
from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.template import Template
from taskpoint.tasks.tatoeba import Corpus
from taskpoint.tasks.translation import instruction
from taskpoint.training.sequences import TrainingBatch, collate, with_gaps


@dataclass(frozen=True)
class SentenceMixture:
    """How sequences are drawn; each belongs to one direction, drawn with equal chance.

    A French sentence without a word on what to do could only ever be translated into English, so nothing would be
    left to recognise. Some sequences therefore repeat their sentences. They have no instruction and few examples: they
    decide what is said when nothing tells the task, at the smallest cost.

    Attributes:
        pairs: Pairs of all the sequences of a step, or a few more.
        lengths: Numbers of pairs of a sequence, each with the same share of all pairs; 1 to 9 teach 0 to 8 examples.
        tokens: Most tokens that are computed at once, padding counted.
        instruction_share: Share of the translating sequences that begin with the instruction line.
        repeat_share: Share of the sequences that repeat, where they have at most `longest_repeat` pairs.
        gap_share: Share of the sequences whose positions have gaps (`with_gaps`): a model that saw none pays for the
            gap that a cut leaves, beside what it loses with the hidden tokens.
        longest_gap: Positions that the gaps of a sequence leave out at most, together.

    Raises:
        SettingError: A share outside 0 … 1, no number of pairs, a template without a stop text, or fewer sentences than
            a sequence needs.
    """

    corpora: tuple[Corpus, ...]
    template: Template
    pairs: int
    lengths: tuple[int, ...]
    tokens: int
    instruction_share: float
    repeat_share: float
    longest_repeat: int
    gap_share: float = 0.0
    longest_gap: int = 256

    def __post_init__(self) -> None:
        for name in ("instruction_share", "repeat_share", "gap_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is {getattr(self, name)}; expected a share from 0 to 1")
        if not self.lengths or min(self.lengths) < 1 or max(self.lengths) > self.pairs:
            raise SettingError(f"lengths are {list(self.lengths)}; expected numbers from 1 to {self.pairs} (pairs)")
        if self.template.stop is None:
            raise SettingError(f"template {self.template.name!r} has no stop text that ends an answer")
        if self.tokens < 1 or self.longest_repeat < 0:
            raise SettingError(
                f"tokens is {self.tokens} and longest_repeat {self.longest_repeat}; expected at least 1, and 0 or more"
            )
        if self.longest_gap < max(self.lengths, default=1):
            raise SettingError(
                f"longest_gap is {self.longest_gap}; expected at least {max(self.lengths)}, one position for each gap"
            )
        if not self.corpora:
            raise SettingError("there is no language to train on; expected at least one")
        for corpus in self.corpora:
            found = len({english for english, _ in corpus.train})
            if found < max(self.lengths):
                raise SettingError(
                    f"{corpus.language} has {found} English sentences to train on; expected at least "
                    f"{max(self.lengths)}, the longest of lengths: give a folder with more, or shorter lengths"
                )

    def draw(self, tokenizer: PreTrainedTokenizerFast, seed: int, step: int) -> tuple[TrainingBatch, ...]:
        """The sequences of one step, those of like length together.

        They depend on nothing but the arguments, so a run can be continued at any step.
        """
        chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, step))))
        often = 1 / np.asarray(self.lengths)
        contents, outputs, left = [], [], self.pairs
        while left > 0:
            length = int(chance.choice(self.lengths, p=often / often.sum()))
            content, output = self._sequence(chance, length)
            contents.append(content)
            outputs.append(f"{output}{self.template.stop}")
            left -= length
        prompts = encode_many(tokenizer, self.template, contents, outputs)
        pad = int(tokenizer.pad_token_id)
        if not self.gap_share:
            return tuple(collate(part, pad) for part in _alike(prompts, self.tokens))
        # Draws of their own: with and without gaps the sequences are the same.
        chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, step, 1))))
        return tuple(
            collate(part, pad, [self._positions(prompt, chance) for prompt in part])
            for part in _alike(prompts, self.tokens)
        )

    def _positions(self, prompt: SegmentedPrompt, chance: np.random.Generator) -> Int64[np.ndarray, " T"]:
        if chance.random() < self.gap_share:
            return with_gaps(prompt, self.longest_gap, chance)
        return np.arange(len(prompt))

    def texts(self) -> Iterator[str]:
        """Each training pair once and each instruction, as they are written: what a tokenizer is trained on."""
        for corpus in self.corpora:
            told = instruction("eng", corpus.language), instruction(corpus.language, "eng")
            for number, (english, other) in enumerate(corpus.train):
                # Often enough for the words of the instruction to become tokens of their own.
                said = told[number // 100 % 2] if number % 100 == 0 else None
                yield self.template.write(Content(said, (), english), f"{other}{self.template.stop}").text

    def _sequence(self, chance: np.random.Generator, length: int) -> tuple[Content, str]:
        corpus = self.corpora[chance.integers(len(self.corpora))]
        into_english, instructed = chance.random() < 0.5, chance.random() < self.instruction_share
        repeats = length <= self.longest_repeat and chance.random() < self.repeat_share
        drawn = _different(corpus.train, chance, length)
        if repeats:
            pairs = [(other, other) for _, other in drawn]
        elif into_english:
            pairs = [(other, english) for english, other in drawn]
        else:
            pairs = drawn
        *examples, (query, output) = pairs
        codes = (corpus.language, "eng") if into_english else ("eng", corpus.language)
        told = instruction(*codes) if instructed and not repeats else None
        return Content(told, tuple(Example(*pair) for pair in examples), query), output


def _different(sentences: Sequence[tuple[str, str]], chance: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Pairs drawn at random; an English sentence comes once, or its translation could be copied from an example."""
    found: dict[str, tuple[str, str]] = {}
    while len(found) < count:
        pair = sentences[int(chance.integers(len(sentences)))]
        found.setdefault(pair[0], pair)
    return list(found.values())


def _alike(prompts: Sequence[SegmentedPrompt], tokens: int) -> Iterator[list[SegmentedPrompt]]:
    """The prompts in parts of at most so many tokens; of like length, because a third would be padding otherwise."""
    part: list[SegmentedPrompt] = []
    for prompt in sorted(prompts, key=len):
        if part and (len(part) + 1) * len(prompt) > tokens:
            yield part
            part = []
        part.append(prompt)
    yield part
