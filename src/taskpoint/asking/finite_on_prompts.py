"""Refuses a model that computes NaN or infinity on the prompts of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taskpoint.asking.token_device import token_device
from taskpoint.engine.calls.forward import check_free
from taskpoint.engine.finite import check_finite
from taskpoint.models.anatomy import anatomy
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.batch import pad_left
from taskpoint.prompts.segments import SegmentedPrompt

# Prompts read at once.
_AT_ONCE = 8


def check_finite_on_first(lm: LanguageModel, prompts: Sequence[SegmentedPrompt]) -> None:
    """Reads some prompts before anything is written; all others are looked at as they are measured.

    Errors are those of `check_finite_on_prompts`.
    """
    check_finite_on_prompts(lm, prompts[:_AT_ONCE])


def check_finite_on_prompts(lm: LanguageModel, prompts: Sequence[SegmentedPrompt]) -> None:
    """Reads prompts whole and without a cut.

    Raises:
        PlanError: the model is under a cut.
        ModelError: the model gives NaN or infinity; the message says where first, and what mends it.
    """
    check_free(anatomy(lm.model))
    device = token_device(lm)
    for start in range(0, len(prompts), _AT_ONCE):
        some = prompts[start : start + _AT_ONCE]
        batch = pad_left(some, [np.zeros(len(prompt), dtype=bool) for prompt in some], pad_id=0)
        padded = not bool(batch.attention_mask.all())
        check_finite(lm.model, batch.input_ids.to(device), batch.attention_mask.to(device) if padded else None)
