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
    """

    input_ids: Int64[Tensor, "B T"]
    targets: Bool[Tensor, "B T"]
    last: Bool[Tensor, "B T"]

    def to(self, device: torch.device) -> TrainingBatch:
        """The same batch on another device."""
        return TrainingBatch(self.input_ids.to(device), self.targets.to(device), self.last.to(device))


def taught(prompt: SegmentedPrompt) -> Bool[np.ndarray, " T"]:
    """True at the tokens of every answer and at the first token after it, which ends the answer."""
    answers = (prompt.parts == Part.ANSWER) & (prompt.segments == Segment.EXAMPLES)
    ends = np.zeros_like(answers)
    ends[1:] = answers[:-1] & ~answers[1:]
    return np.asarray(answers | ends | prompt.where(Segment.OUTPUT))


def collate(prompts: Sequence[SegmentedPrompt], pad_id: int) -> TrainingBatch:
    """Pads prompts on the right to the longest one."""
    shape = len(prompts), max(len(prompt) for prompt in prompts)
    ids = np.full(shape, pad_id, dtype=np.int64)
    targets, last = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt.ids
        targets[row, : len(prompt)] = taught(prompt)
        last[row, : len(prompt)] = prompt.where(Segment.OUTPUT)
    return TrainingBatch(torch.from_numpy(ids), torch.from_numpy(targets), torch.from_numpy(last))
