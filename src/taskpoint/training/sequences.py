"""Sequences to train on, made of prompts: every answer is a target, nothing else is.

B sequences, T tokens, padded on the right: causal attention then needs no mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from taskpoint.prompts.segments import Part, Segment, SegmentedPrompt


@dataclass(frozen=True)
class TrainingBatch:
    """Sequences and where the model is taught.

    Attributes:
        targets: True at the tokens that are to be predicted: every answer and the stop text after it.
        last: True at the targets that belong to the last answer of a sequence.
        positions: where each token stands; None where they follow one another.
    """

    input_ids: Int64[Tensor, "B T"]
    targets: Bool[Tensor, "B T"]
    last: Bool[Tensor, "B T"]
    positions: Int64[Tensor, "B T"] | None = None

    def to(self, device: torch.device) -> TrainingBatch:
        """The same batch on another device."""
        positions = None if self.positions is None else self.positions.to(device)
        return TrainingBatch(self.input_ids.to(device), self.targets.to(device), self.last.to(device), positions)


def taught(prompt: SegmentedPrompt) -> Bool[np.ndarray, " T"]:
    """True at the tokens of every answer and at the first token after it, which ends the answer."""
    answers = (prompt.parts == Part.ANSWER) & (prompt.segments == Segment.EXAMPLES)
    ends = np.zeros_like(answers)
    ends[1:] = answers[:-1] & ~answers[1:]
    return np.asarray(answers | ends | prompt.where(Segment.OUTPUT))


def with_gaps(prompt: SegmentedPrompt, longest: int, chance: np.random.Generator) -> Int64[np.ndarray, " T"]:
    """Positions of a prompt's tokens with gaps between its pieces, which leave out `longest` positions at most.

    A model that is cut sees such gaps where hidden tokens stood. Before the instruction, each example and the query
    there is one with a chance of one half.
    """
    pieces = np.stack([np.minimum(prompt.segments, Segment.QUERY), prompt.examples])
    borders = np.flatnonzero(np.diff(pieces, axis=1).any(0)) + 1
    borders = borders[chance.random(len(borders)) < 0.5]
    steps = np.ones(len(prompt), dtype=np.int64)
    steps[0] = 0
    steps[borders] += chance.integers(1, longest // max(1, len(borders)), len(borders), endpoint=True)
    return np.asarray(steps.cumsum())


def collate(
    prompts: Sequence[SegmentedPrompt], pad_id: int, positions: Sequence[Int64[np.ndarray, " _"]] | None = None
) -> TrainingBatch:
    """Pads prompts on the right to the longest one; `positions` say where their tokens stand."""
    shape = len(prompts), max(len(prompt) for prompt in prompts)
    ids = np.full(shape, pad_id, dtype=np.int64)
    places = np.zeros(shape, dtype=np.int64)
    targets, last = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt.ids
        targets[row, : len(prompt)] = taught(prompt)
        last[row, : len(prompt)] = prompt.where(Segment.OUTPUT)
        if positions is not None:
            places[row, : len(prompt)] = positions[row]
    given = None if positions is None else torch.from_numpy(places)
    return TrainingBatch(torch.from_numpy(ids), torch.from_numpy(targets), torch.from_numpy(last), given)
