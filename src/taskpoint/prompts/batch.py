"""Several prompts as one left-padded batch.

B batch, T tokens of the longest prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64

from taskpoint.errors import SettingError
from taskpoint.prompts.segments import SegmentedPrompt


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts that end in the same column.

    Attributes:
        attention_mask: 1 at tokens, 0 at padding.
        hidden: True at the tokens to cut away; never at padding.
    """

    input_ids: Int64[torch.Tensor, "B T"]
    attention_mask: Int64[torch.Tensor, "B T"]
    hidden: Bool[torch.Tensor, "B T"]

    def __post_init__(self) -> None:
        shapes = {tuple(t.shape) for t in (self.input_ids, self.attention_mask, self.hidden)}
        if len(shapes) != 1:
            raise SettingError(f"the tensors of a batch need one shape, found {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.input_ids)


def pad_left(prompts: Sequence[SegmentedPrompt], hidden: Sequence[Bool[np.ndarray, " _"]], pad_id: int) -> Batch:
    """Pads prompts on the left, so that all of them are continued from the last column.

    `hidden` is what `Selector.mask` gives for each prompt. Any valid `pad_id` will do: the attention mask keeps it out.

    Raises:
        SettingError: no prompts, or masks that do not fit them.
    """
    if not prompts:
        raise SettingError("prompts is empty, expected at least one prompt for a batch")
    if len(hidden) != len(prompts):
        raise SettingError(f"hidden has {len(hidden)} masks for {len(prompts)} prompts, expected one for each")
    width = max(len(prompt) for prompt in prompts)
    ids = np.full((len(prompts), width), pad_id, dtype=np.int64)
    attention = np.zeros_like(ids)
    masks = np.zeros(ids.shape, dtype=bool)
    for row, (prompt, mask) in enumerate(zip(prompts, hidden, strict=True)):
        if len(mask) != len(prompt):
            raise SettingError(f"hidden[{row}] has {len(mask)} entries for a prompt of {len(prompt)} tokens")
        start = width - len(prompt)
        ids[row, start:], attention[row, start:], masks[row, start:] = prompt.ids, 1, mask
    return Batch(torch.from_numpy(ids), torch.from_numpy(attention), torch.from_numpy(masks))
