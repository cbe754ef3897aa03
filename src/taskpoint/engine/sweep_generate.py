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

from taskpoint.engine.calls.pristine import evaluating
from taskpoint.engine.check import exact
from taskpoint.engine.cut import cut_context
from taskpoint.engine.cut_by_cut import follows_hooks
from taskpoint.engine.paths.batch_sizes import InBatches, SweepSize, rows_at_once
from taskpoint.engine.paths.every_cut_decode import EveryCutDecode, can_decode_every_cut
from taskpoint.engine.paths.greedy import Ending, check_new, greedy, joined, write
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.paths.sweep_context import SweepContext
from taskpoint.engine.sweep_logits import check_lone, check_masks, sweep_last_logits
from taskpoint.models.anatomy import anatomy
from taskpoint.models.heads import check_head


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
    context: SweepContext | None = None,
    lone: Bool[Tensor, "B T"] | None = None,
) -> Int[Tensor, "cuts B new"]:
    """Greedy answers of every cut r = 0 ... N, computed together.

    Row r equals the new tokens of `model.generate(input_ids, do_sample=False)` under
    `cut_context(model, after=r, drop=drop)`. Always plain greedy: penalties and forced tokens of the model's generation
    config are not applied, and dropout is off. Rows that free memory does not hold at once are done one part after the
    other; prompts whose answers have ended for every cut leave the batch.

    Args:
        model: any transformers decoder with a language-model head.
        input_ids: the prompts, left-padded.
        drop: True for the hidden tokens.
        attention_mask: 1 for tokens, 0 for padding; None when there is none.
        max_new_tokens: longest answer in tokens.
        eos_token_id: token or tokens that end an answer; None takes the model's own. What follows is filled with the
            model's padding token (its end token where it has none), as `generate` does.
        skip: early exit instead of a cut: layers r ... N-1 are skipped for every token.
        context: what all prompts begin with, read once by `read_context`; `input_ids` are then what follows it.
        lone: True for tokens that in layers r ... N-1 no later token sees, though they are computed there; so is then
            every token of the answer. With all but the start of the prompt dropped and its last token lone, each token
            sees nothing before it but that start (last-token-only of paper A's released code).

    Returns:
        Token ids. [N + 1, B, new], new <= max_new_tokens being the longest answer

    Raises:
        PlanError: the masks do not fit the prompts, or the model is under a cut.
        ModelError: the model's layers are not found or take arguments that are not known.
    """
    check_head(model)
    parts = anatomy(model)
    check_masks(parts.vocabulary, input_ids, drop, attention_mask)
    check_lone(lone, drop, skip)
    check_new(max_new_tokens)
    ending = Ending(model, eos_token_id)
    plain = follows_hooks(model)
    if context is not None:
        context.check(ablated=False)
    if context is not None and (context.base is None or not plain):
        input_ids, drop, attention_mask, lone = context.whole(input_ids, drop, attention_mask, lone)
        context = None
    size = SweepSize(input_ids.shape[1], 0 if skip else int((~drop).sum(1).max()), max_new_tokens, places=1)

    before = context.length if context is not None else 0
    fits = can_decode_every_cut(model, parts, before + input_ids.shape[1] + max_new_tokens * (parts.num_layers + 1))
    answers: list[Tensor] = []
    batches = InBatches(input_ids.shape[0], rows_at_once(parts, size))
    for rows in batches:
        given = input_ids[rows], drop[rows], None if attention_mask is None else attention_mask[rows]
        alone = None if lone is None else lone[rows]
        decode: EveryCutDecode | None = None
        with batches.trying(), evaluating(model):
            if plain and fits and exact(model):
                decode = EveryCutDecode(model, parts, *given, skip, context, lone=alone)
                written = write(decode.prefill().argmax(-1), decode, max_new_tokens, ending).transpose(0, 1)
            else:
                whole = (*given, alone) if context is None else context.whole(*given, alone)
                if skip or lone is not None:
                    written = _recompute(model, *whole, max_new_tokens, ending)
                else:
                    written = _one_by_one(model, *whole[:3], max_new_tokens, ending)
            answers.append(written)
        del decode  # its caches, before fewer rows are tried
    return joined(answers, ending, dim=1)


def _one_by_one(
    model: nn.Module, input_ids: Tensor, drop: Tensor, mask: Tensor | None, new: int, ending: Ending
) -> Tensor:
    """One answer a cut, for families whose variants cannot stand side by side."""
    context: Callable[..., AbstractContextManager[Any]] = cut_context if exact(model) else mask_context
    rows = []
    for after in range(anatomy(model).num_layers + 1):
        with context(model, after, drop):
            rows.append(greedy(model, input_ids, mask, new, ending))
    return joined(rows, ending)


def _recompute(
    model: nn.Module,
    input_ids: Tensor,
    drop: Tensor,
    mask: Tensor | None,
    lone: Tensor | None,
    new: int,
    ending: Ending,
) -> Tensor:
    """Early exit, or lone tokens, without a cache, for families whose variants cannot stand side by side."""
    cuts = anatomy(model).num_layers + 1
    every = [None if given is None else given.repeat(cuts, 1) for given in (mask, lone)]
    steps = _Anew(model, input_ids.repeat(cuts, 1), drop.repeat(cuts, 1), *every)
    rows: Tensor = write(steps.read().argmax(-1), steps, new, ending).unflatten(0, (cuts, -1))
    return rows


class _Anew:
    """Answers of every cut, [C * B] rows, read anew at every token: with lone tokens, or of early exits."""

    def __init__(self, model: nn.Module, ids: Tensor, drop: Tensor, mask: Tensor | None, lone: Tensor | None) -> None:
        self._model, self._ids, self._drop, self._mask, self._lone = model, ids, drop, mask, lone
        cuts = anatomy(model).num_layers + 1
        self._cut = torch.arange(cuts, device=ids.device).repeat_interleave(ids.shape[0] // cuts)  # [C * B]

    def read(self) -> Tensor:
        given = self._model, self._ids, self._drop, self._mask
        every = sweep_last_logits(*given, last=1, skip=self._lone is None, lone=self._lone)[:, :, 0]
        return every[self._cut, torch.arange(len(self._cut), device=every.device)]  # [C * B, vocab]

    def step(self, tokens: Tensor) -> Tensor:
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        self._drop = torch.nn.functional.pad(self._drop, (0, 1))
        self._mask = None if self._mask is None else torch.nn.functional.pad(self._mask, (0, 1), value=1)
        self._lone = None if self._lone is None else torch.nn.functional.pad(self._lone, (0, 1), value=True)
        return self.read()

    def keep(self, rows: Tensor) -> bool:
        self._ids, self._drop, self._cut = self._ids[rows], self._drop[rows], self._cut[rows]
        self._mask = None if self._mask is None else self._mask[rows]
        self._lone = None if self._lone is None else self._lone[rows]
        return True
