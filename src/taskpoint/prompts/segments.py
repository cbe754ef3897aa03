"""The labels that every token of a prompt carries: its segment, its example and its part.

T tokens of the prompt, in the model's order, without padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Int8, Int16, Int64

from taskpoint.errors import PromptError


class Segment(IntEnum):
    """What a token is part of; the values rise from the start of a prompt to its end (`Place` may move INSTRUCTION)."""

    PREFIX = 0
    INSTRUCTION = 1
    EXAMPLES = 2
    QUERY = 3
    OUTPUT = 4


class Part(IntEnum):
    """What a token is within an example or the query: what is asked, what is answered, or text of the template."""

    NONE = 0
    QUESTION = 1
    ANSWER = 2
    DELIMITER = 3


@dataclass(frozen=True, slots=True)
class Span:
    """The characters `start` to `end` (exclusive) of a written prompt; `example` counts from 0, -1 is none."""

    start: int
    end: int
    segment: Segment
    example: int = -1
    part: Part = Part.NONE


@dataclass(frozen=True, eq=False)
class SegmentedPrompt:
    """One tokenised prompt: ids and labels per token, and the characters of `text` that each token covers.

    Attributes:
        segments: `Segment` of each token; never falls from one token to the next, unless the instruction stands behind
            other segments.
        examples: example number of each token, -1 outside the examples.
        text: the written prompt, without what the tokenizer adds itself.
        offsets: start and end (exclusive) of each token in `text`; equal where a token stands for no text, as BOS does.

    Raises:
        PromptError: no tokens, or arrays of different lengths.
    """

    ids: Int64[np.ndarray, " T"]
    segments: Int8[np.ndarray, " T"]
    examples: Int16[np.ndarray, " T"]
    parts: Int8[np.ndarray, " T"]
    text: str
    offsets: Int64[np.ndarray, "T 2"]

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.ids, self.segments, self.examples, self.parts, self.offsets)}
        if len(lengths) != 1:
            raise PromptError(f"ids and labels of a prompt need one length, found {sorted(lengths)}")
        if not len(self.ids):
            raise PromptError(f"the tokenizer makes no tokens of the prompt {self.text[:40]!r}; use another template")

    def __len__(self) -> int:
        return len(self.ids)

    def since(self, start: int) -> SegmentedPrompt:
        """The tokens from `start` on, with their labels and the whole text."""
        return SegmentedPrompt(
            self.ids[start:],
            self.segments[start:],
            self.examples[start:],
            self.parts[start:],
            self.text,
            self.offsets[start:],
        )

    def where(self, segment: Segment) -> Bool[np.ndarray, " T"]:
        """True at the tokens of this segment."""
        return np.asarray(self.segments == segment)

    @property
    def shots(self) -> int:
        """Number of examples that at least one token stands for."""
        return int(self.examples.max()) + 1

    @property
    def newest(self) -> Bool[np.ndarray, " T"]:
        """True at the tokens that are the newest when something is predicted from them: the last, and the OUTPUT."""
        return np.arange(len(self)) >= self.prompt_length - 1

    @property
    def prompt_length(self) -> int:
        """Number of tokens before the OUTPUT segment; the last of them is where the answer is first predicted."""
        return int(np.count_nonzero(self.segments != Segment.OUTPUT))
