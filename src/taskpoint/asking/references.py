"""Scores of reference answers: from logits to what a model thinks of what it should have said.

Shapes: B prompts, T tokens, C cuts, or layers whose attention is removed and none, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from taskpoint.prompts.segments import SegmentedPrompt

# Logits held at once while references are scored (512 MiB in float32).
_MOST_LOGITS = 2**27


@dataclass(frozen=True, eq=False)
class ReferenceScores:
    """What the model thinks of the reference answer.

    Attributes:
        logprob: summed log-probability of its tokens, natural logarithm. [C, B]
        rank: worst rank of one of its tokens among the vocabulary, where the tokens before it are given; 0 = greedy
            decoding writes the reference. [C, B]
    """

    logprob: Float[np.ndarray, "C B"]
    rank: Int[np.ndarray, "C B"]


@dataclass(frozen=True, eq=False)
class Part:
    """Some prompts of a batch with their references.

    Attributes:
        some: their places in the batch.
        rows: their places among all prompts.
        ids: their tokens. [B, T]
        last: how many logits, counted from the end, are wanted.
    """

    some: slice
    rows: list[int]
    ids: Int[Tensor, "B T"]
    last: int


class References:
    """Scores of the references of prompts under a number of settings, a few prompts at a time."""

    def __init__(self, prompts: Sequence[SegmentedPrompt], settings: int, vocabulary: int) -> None:
        self.prompts = prompts
        self.found = ReferenceScores(
            np.zeros((settings, len(prompts))), np.zeros((settings, len(prompts)), dtype=np.int64)
        )
        self._lengths = torch.tensor([len(prompt) - prompt.prompt_length for prompt in prompts])
        self._longest = int(self._lengths.max()) + 1
        self._step = max(1, _MOST_LOGITS // (settings * self._longest * vocabulary))

    def parts(self, rows: Sequence[int], ids: Int[Tensor, "B T"]) -> Iterator[Part]:
        """The prompts of a batch, as many at a time as their logits are held."""
        for start in range(0, len(rows), self._step):
            some = slice(start, start + self._step)
            yield Part(some, list(rows[some]), ids[some], min(self._longest, ids.shape[1]))

    def add(self, part: Part, logits: Float[Tensor, "C B last V"]) -> bool:
        """Whether all scores are numbers: one NaN or infinity among the logits makes all of a row's NaN."""
        found = _scored(logits, part.ids, self._lengths[part.rows])
        self.found.logprob[:, part.rows], self.found.rank[:, part.rows] = found.logprob, found.rank
        return not np.isnan(found.logprob).any()


def _scored(
    logits: Float[Tensor, "C B last V"], ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
) -> ReferenceScores:
    """How likely the last tokens of each prompt are, as many as its answer has."""
    cuts, _, last, _ = logits.shape
    scored = logits[:, :, :-1].float().log_softmax(-1)
    targets = ids[:, -last + 1 :].to(scored.device).expand(cuts, -1, -1)[..., None]
    chosen = scored.gather(-1, targets)  # [C, B, last - 1, 1]
    ranks = (scored > chosen).sum(-1)  # [C, B, last - 1]
    answer = torch.arange(last - 1) >= (last - 1 - lengths)[:, None]  # [B, last - 1]
    answer = answer.to(scored.device)
    logprob = chosen[..., 0].masked_fill(~answer, 0).sum(-1)
    return ReferenceScores(logprob.double().cpu().numpy(), ranks.masked_fill(~answer, 0).amax(-1).cpu().numpy())
