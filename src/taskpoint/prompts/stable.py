"""The tokens that prompts of one context begin with, whatever their query.

The end of a context may merge with the query into one token, and there is only one tokenisation: that of the whole
prompt. So the tokens of a context are read off whole prompts and never made by themselves.

T tokens of one prompt, K stable tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from taskpoint.errors import PromptError, SettingError
from taskpoint.prompts.segments import Part, Segment, SegmentedPrompt


@dataclass(frozen=True, eq=False)
class StablePrefix:
    """The first tokens of prompts with one context; they never reach into the text of a query.

    No token after them is hidden.
    """

    ids: Int64[np.ndarray, " K"]
    hidden: Bool[np.ndarray, " K"]

    def __len__(self) -> int:
        return len(self.ids)

    def begins(self, prompt: SegmentedPrompt, hidden: Bool[np.ndarray, " T"]) -> bool:
        """Whether a prompt consists of these tokens and of more, of which none is hidden."""
        count = len(self)
        return bool(
            len(prompt) > count
            and np.array_equal(prompt.ids[:count], self.ids)
            and np.array_equal(hidden[:count], self.hidden)
            and not hidden[count:].any()
        )


def stable_prefix(prompts: Sequence[SegmentedPrompt], hidden: Sequence[Bool[np.ndarray, " _"]]) -> StablePrefix:
    """The tokens that most of the prompts begin with, as many as possible.

    Most and not all: one odd query that merges with the last hidden token would leave that token over in every prompt.

    Raises:
        SettingError: no prompts.
        PromptError: hidden tokens stand behind the query, or nothing stands before it.
    """
    if not prompts:
        raise SettingError("prompts is empty, expected at least one prompt to read the context off")
    ranges = [_range(prompt, mask) for prompt, mask in zip(prompts, hidden, strict=True)]
    found: tuple[int, int, int] | None = None  # prompts that begin so, length, number of the prompt
    for own, (prompt, mask, (least, most)) in enumerate(zip(prompts, hidden, ranges, strict=True)):
        if least > most:
            continue
        shared = [_agree(prompt, mask, other, theirs) for other, theirs in zip(prompts, hidden, strict=True)]
        for length in {min(most, *reach) for reach in zip(shared, (end for _, end in ranges), strict=True)}:
            if length < max(least, 1):
                continue
            begin_so = sum(
                low <= length <= min(high, common) for (low, high), common in zip(ranges, shared, strict=True)
            )
            found = max(found or (0, 0, 0), (begin_so, length, -own))
    if found is None:
        raise PromptError(
            "no tokens before the query can be computed in advance: nothing stands there, or what is hidden stands "
            "behind the query; use another template or another hide"
        )
    _, length, own = found
    return StablePrefix(prompts[-own].ids[:length], np.asarray(hidden[-own][:length]))


def _range(prompt: SegmentedPrompt, hidden: Bool[np.ndarray, " T"]) -> tuple[int, int]:
    """Fewest tokens that hold all hidden ones, and most tokens before the text of the query and the last token."""
    last = np.flatnonzero(hidden)
    asked = np.flatnonzero(prompt.where(Segment.QUERY) & (prompt.parts == Part.QUESTION))
    return (int(last[-1]) + 1 if len(last) else 0), min(int(asked[0]) if len(asked) else len(prompt), len(prompt) - 1)


def _agree(
    prompt: SegmentedPrompt, mask: Bool[np.ndarray, " T"], other: SegmentedPrompt, theirs: Bool[np.ndarray, " _"]
) -> int:
    """Number of tokens from the start on that are the same in two prompts, and hidden in both or in neither."""
    count = min(len(prompt), len(other))
    differ = np.flatnonzero((prompt.ids[:count] != other.ids[:count]) | (mask[:count] != theirs[:count]))
    return int(differ[0]) if len(differ) else count
