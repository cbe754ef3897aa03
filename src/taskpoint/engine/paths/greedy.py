"""Greedy writing: the newest token of every answer goes in, until all have ended; ended rows leave the batch.

Shapes: B rows of the batch, T tokens of a prompt, C answers in a row (the cuts of a sweep; absent elsewhere), V
vocabulary.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import DynamicCache, accepts, inputs_for, with_cache
from taskpoint.settings import MOST, shown

# A row leaves at the cost of copying what the others hold; it is paid when a quarter of the rows can go.
_LEAVE_AT = 0.75


class Ending:
    """Which tokens end an answer, and what fills the places after it."""

    def __init__(self, model: nn.Module, eos_token_id: int | list[int] | None) -> None:
        """Takes the model's own end tokens where none are given."""
        settings: Any = getattr(model, "generation_config", None)
        if eos_token_id is None:
            eos_token_id = getattr(settings, "eos_token_id", None)
        self.tokens = _tokens(eos_token_id)
        pad = getattr(settings, "pad_token_id", None)
        self.pad = int(pad if pad is not None else self.tokens[0] if self.tokens.numel() else 0)


def _tokens(ends: Any) -> Tensor:
    """End tokens as a tensor, none for None; a PlanError where they are no tokens."""
    listed = ends.reshape(-1).tolist() if isinstance(ends, Tensor) else ends
    listed = list(listed) if isinstance(listed, list | tuple | range) else [] if listed is None else [listed]
    try:
        if any(isinstance(each, bool) for each in listed):
            raise TypeError
        return torch.tensor([operator.index(each) for each in listed], dtype=torch.long)
    except (TypeError, ValueError, RuntimeError):
        raise PlanError(f"eos_token_id is {shown(ends)}; expected one token, or a list of tokens") from None


@runtime_checkable
class Steps(Protocol):
    """What reads the newest tokens."""

    def step(self, tokens: Tensor) -> Tensor:
        """Logits after one more token of every answer. [B] -> [B, V], or [B, C] -> [B, C, V]."""

    def keep(self, rows: Tensor) -> bool:
        """Forgets all rows of the batch but these; False where all have to stay."""


def write(first: Int[Tensor, "B ..."], steps: Steps, new: int, ending: Ending) -> Int[Tensor, "B ... new"]:
    """Writes greedily, at most `new` tokens, until all answers have ended; `first` has the first token of each.

    [B] -> [B, longest], or [B, C] -> [B, C, longest], filled after the end of an answer.
    """
    tokens, ends = first, ending.tokens.to(first.device)
    rows = torch.arange(first.shape[0], device=first.device)
    finished = torch.zeros_like(tokens, dtype=torch.bool)
    written = torch.full((*first.shape, new), ending.pad, dtype=first.dtype, device=first.device)
    for place in range(new):
        tokens = tokens.masked_fill(finished, ending.pad)
        written[rows, ..., place] = tokens
        finished = finished | torch.isin(tokens, ends)
        if place + 1 == new or bool(finished.all()):
            break
        going = ~finished.flatten(1).all(1) if finished.ndim > 1 else ~finished
        if int(going.sum()) <= _LEAVE_AT * len(rows):
            left = going.nonzero()[:, 0]
            if steps.keep(left):
                rows, tokens, finished = rows[left], tokens[left], finished[left]
        tokens = steps.step(tokens).argmax(-1)
    return written[..., : place + 1]


@torch.inference_mode()
def greedy(
    model: nn.Module, input_ids: Int[Tensor, "B T"], mask: Int[Tensor, "B T"] | None, new: int, ending: Ending
) -> Int[Tensor, "B new"]:
    """Greedy answers of a model under whatever cut it is in, without penalties of its generation config."""
    steps = _Plain(model, mask)
    return write(steps.step(input_ids).argmax(-1), steps, new, ending)


class _Plain:
    """Ordinary decoding under whatever cut the model is in."""

    def __init__(self, model: nn.Module, mask: Tensor | None) -> None:
        self._model, self._mask = model, mask
        # Made here, because not every decoder makes one when it is asked to cache.
        self._cache: Any = DynamicCache(config=anatomy(model).config)
        self._read = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Logits after whole prompts, or after one more token of each. [B, T] or [B] -> [B, V]."""
        if tokens.ndim == 1 and self._mask is not None:
            self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        input_ids = tokens[:, None] if tokens.ndim == 1 else tokens
        named = inputs_for(self._model, self._mask, last=1) | {"use_cache": True}
        start, self._read = self._read, self._read + input_ids.shape[1]
        if "position_ids" in named:
            named["position_ids"] = named["position_ids"][:, -input_ids.shape[1] :]
        elif accepts(self._model, "position_ids"):  # told, because some models count on from the last image otherwise
            named["position_ids"] = torch.arange(start, self._read, device=input_ids.device).expand_as(input_ids)
        output = self._model(input_ids, **named, **with_cache(self._model, self._cache))
        logits: Tensor = output.logits
        return logits[:, -1]

    def keep(self, rows: Tensor) -> bool:
        return False  # the plan of a cut has a row for each row of the batch


def joined(answers: Sequence[Tensor], ending: Ending, dim: int | None = None) -> Tensor:
    """Answers of several lengths in one tensor: along a new first axis, or along `dim`."""
    longest = max(answer.shape[-1] for answer in answers)
    padded = [torch.nn.functional.pad(answer, (0, longest - answer.shape[-1]), value=ending.pad) for answer in answers]
    return torch.stack(padded) if dim is None else torch.cat(padded, dim=dim)


def check_new(max_new_tokens: int) -> None:
    """Refuses, by a PlanError, a longest answer that is not a whole number of at least 1."""
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or not 1 <= max_new_tokens <= MOST:
        raise PlanError(f"max_new_tokens={shown(max_new_tokens)}; expected a whole number of at least 1, up to {MOST}")
