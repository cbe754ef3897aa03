"""Greedy answers of every cut at once.

Shapes: B batch, T prompt tokens, C cuts (N + 1), N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from taskpoint.engine.check import exact
from taskpoint.engine.forward import inputs_for
from taskpoint.engine.reference import mask_context
from taskpoint.engine.stepping import Stepping, can_step
from taskpoint.engine.sweep import check_masks, sweep_last_logits
from taskpoint.engine.truncated import cut_context
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy


@torch.inference_mode()
def sweep_generate(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
    max_new_tokens: int = 50,
    eos_token_id: int | list[int] | None = None,
    *,
    skip: bool = False,
) -> Int[Tensor, "cuts B new"]:
    """Greedy answers of every cut r = 0 ... N, computed together.

    Row r equals the new tokens of `model.generate(input_ids, do_sample=False)` under `cut_context(model, after=r,
    drop=drop)`. Always plain greedy: penalties and forced tokens of the model's generation config are not applied.

    Args:
        model: any transformers decoder with a language-model head.
        input_ids: the prompts, left-padded. [B, T]
        drop: True for the hidden tokens. [B, T]
        attention_mask: 1 for tokens, 0 for padding; None when there is none. [B, T]
        max_new_tokens: longest answer in tokens.
        eos_token_id: token or tokens that end an answer; None takes the model's own. What follows is filled with the
            model's padding token (its end token where it has none), as `generate` does.
        skip: early exit instead of a cut: layers r ... N-1 are skipped for every token (design, section 8).

    Returns:
        Token ids. [N + 1, B, new], new <= max_new_tokens being the longest answer

    Raises:
        PlanError: the masks do not fit the prompts, or the model is under a cut.
        ModelError: the model's layers are not found or take arguments that are not known.
    """
    parts = anatomy(model)
    check_masks(input_ids, drop, attention_mask)
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise PlanError(f"max_new_tokens={max_new_tokens!r}; expected a whole number of at least 1")
    ending = _Ending(model, eos_token_id)
    fits = can_step(model, parts, input_ids.shape[1] + max_new_tokens * (parts.num_layers + 1))
    if exact(model) and fits:
        stepping = Stepping(model, parts, input_ids, drop, attention_mask, skip)
        rows = _decode(stepping.prefill().argmax(-1), stepping.step, max_new_tokens, ending)  # [B, C, new]
        return rows.transpose(0, 1)
    if skip:
        return _recompute(model, input_ids, drop, attention_mask, max_new_tokens, ending)
    return _one_by_one(model, input_ids, drop, attention_mask, max_new_tokens, ending)


class _Ending:
    """Which tokens end an answer, and what fills the places after it."""

    def __init__(self, model: nn.Module, eos_token_id: int | list[int] | None) -> None:
        settings: Any = getattr(model, "generation_config", None)
        if eos_token_id is None:
            eos_token_id = getattr(settings, "eos_token_id", None)
        self.tokens = torch.tensor([] if eos_token_id is None else eos_token_id, dtype=torch.long).reshape(-1)
        pad = getattr(settings, "pad_token_id", None)
        self.pad = int(pad if pad is not None else self.tokens[0] if self.tokens.numel() else 0)


def _decode(first: Tensor, step: Callable[[Tensor, int], Tensor], new: int, ending: _Ending) -> Tensor:
    """Writes greedily until all have ended: [...] first tokens -> [..., new] tokens.

    Args:
        first: the first token of every answer.
        step: from the newest tokens and the number of tokens before them to the next logits. [...] -> [..., vocab]
        new: longest answer.
        ending: which tokens end an answer.
    """
    tokens, ends = first, ending.tokens.to(first.device)
    finished = torch.zeros_like(tokens, dtype=torch.bool)
    written: list[Tensor] = []
    while True:
        tokens = tokens.masked_fill(finished, ending.pad)
        written.append(tokens)
        finished = finished | torch.isin(tokens, ends)
        if len(written) == new or bool(finished.all()):
            return torch.stack(written, dim=-1)
        tokens = step(tokens, len(written) - 1).argmax(-1)


def _one_by_one(
    model: nn.Module, input_ids: Tensor, drop: Tensor, mask: Tensor | None, new: int, ending: _Ending
) -> Tensor:
    """One answer a cut, for families whose variants cannot stand side by side."""
    context: Callable[..., AbstractContextManager[Any]] = cut_context if exact(model) else mask_context
    rows = []
    for after in range(anatomy(model).num_layers + 1):
        with context(model, after, drop):
            rows.append(_greedy(model, input_ids, mask, new, ending))
    longest = max(row.shape[1] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (0, longest - row.shape[1]), value=ending.pad) for row in rows])


def _greedy(model: nn.Module, input_ids: Tensor, mask: Tensor | None, new: int, ending: _Ending) -> Tensor:
    named = inputs_for(model, mask, last=1) | {"use_cache": True}
    output = model(input_ids, **named)
    cache = output.past_key_values

    def step(tokens: Tensor, written: int) -> Tensor:
        seen = None if mask is None else torch.nn.functional.pad(mask, (0, written + 1), value=1)
        named = inputs_for(model, seen, last=1) | {"past_key_values": cache, "use_cache": True}
        if "position_ids" in named:
            named["position_ids"] = named["position_ids"][:, -1:]
        logits: Tensor = model(tokens[:, None], **named).logits
        return logits[:, -1]

    return _decode(output.logits[:, -1].argmax(-1), step, new, ending)


def _recompute(
    model: nn.Module, input_ids: Tensor, drop: Tensor, mask: Tensor | None, new: int, ending: _Ending
) -> Tensor:
    """Early exit without a cache, one whole pass a token, for families whose variants cannot stand side by side."""
    cuts = anatomy(model).num_layers + 1
    ids = input_ids.repeat(cuts, 1)  # [C * B, T + written]
    seen, gone = None if mask is None else mask.repeat(cuts, 1), drop.repeat(cuts, 1)

    def logits() -> Tensor:
        every = sweep_last_logits(model, ids, gone, seen, last=1, skip=True)[:, :, 0]  # [C, C * B, vocab]
        own = torch.arange(cuts, device=every.device)
        return every.view(cuts, cuts, -1, every.shape[-1])[own, own]  # [C, B, vocab]

    def step(tokens: Tensor, written: int) -> Tensor:
        nonlocal ids, seen, gone
        ids = torch.cat([ids, tokens.reshape(-1, 1)], dim=1)
        gone = torch.nn.functional.pad(gone, (0, 1))
        seen = None if seen is None else torch.nn.functional.pad(seen, (0, 1), value=1)
        return logits()

    return _decode(logits().argmax(-1), step, new, ending)
