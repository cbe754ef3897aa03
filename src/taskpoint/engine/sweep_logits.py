"""Logits of every cut in one pass.

Shapes: B batch, T tokens, C cuts (N + 1), N layers, r cut.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.pristine import evaluating
from taskpoint.engine.check import exact
from taskpoint.engine.cut_by_cut import follows_hooks, logits_cut_by_cut
from taskpoint.engine.paths.batch_sizes import InBatches, SweepSize, rows_at_once
from taskpoint.engine.paths.every_cut import logits_of_every_cut
from taskpoint.engine.paths.reference import reference_last_logits
from taskpoint.engine.paths.sweep_context import SweepContext
from taskpoint.engine.plan import check_drop
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.heads import check_head
from taskpoint.settings import shown


@torch.inference_mode()
def sweep_logits(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "cuts B vocab"]:
    """Logits at the last position for every cut r = 0 ... N, in one pass.

    Row r equals what `cut_context(model, after=r, drop=drop)` gives; row N is the ordinary model.

    Args:
        model: any transformers decoder with a language-model head.
        input_ids: the prompts, left-padded.
        drop: True for the hidden tokens.
        attention_mask: 1 for tokens, 0 for padding; None when there is none.

    Raises:
        PlanError: the masks do not fit the prompts, or the model is under a cut.
        ModelError: the model's layers are not found or take arguments that are not known.
    """
    return sweep_last_logits(model, input_ids, drop, attention_mask, last=1)[:, :, 0]


@torch.inference_mode()
def sweep_last_logits(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
    *,
    last: int,
    skip: bool = False,
    context: SweepContext | None = None,
    lone: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "cuts B last vocab"]:
    """Logits at the last positions for every cut, in one pass: what scoring a reference answer needs.

    Rows that free memory does not hold at once are done one part after the other. Dropout is off. `last` is counted
    from the end of the prompts with their answers; logits of hidden tokens mean nothing. `skip`, `context` and `lone`
    as for `sweep_generate`, other arguments and errors as for `sweep_logits`.
    """
    check_head(model)
    parts = anatomy(model)
    check_masks(parts.vocabulary, input_ids, drop, attention_mask)
    check_lone(lone, drop, skip)
    check_last(last, input_ids)
    plain = follows_hooks(model)
    each_by_itself = lone is not None and not (plain and exact(model))
    if context is not None:
        context.check(ablated=False)
    if context is not None and (context.base is None or not plain or each_by_itself):
        input_ids, drop, attention_mask, lone = context.whole(input_ids, drop, attention_mask, lone)
        context = None
    if lone is not None and each_by_itself:
        return _each_by_itself(model, input_ids, drop, attention_mask, lone, last)
    present = 0 if skip else int((~drop).sum(1).max())
    size = SweepSize(input_ids.shape[1], present, new=0, places=last)

    done: list[Tensor] = []
    batches = InBatches(input_ids.shape[0], rows_at_once(parts, size))
    for rows in batches:
        given = input_ids[rows], drop[rows], None if attention_mask is None else attention_mask[rows]
        alone = None if lone is None else lone[rows]
        with batches.trying(), evaluating(model):
            if not (skip or exact(model)):
                logits = reference_last_logits(model, *given, last=last)
            elif not plain:
                logits = logits_cut_by_cut(model, *given, last=last, skip=skip)
            else:
                every = logits_of_every_cut(model, parts, *given, last=last, skip=skip, context=context, lone=alone)
                logits = every.transpose(0, 1)
            done.append(logits)
    return done[0] if len(done) == 1 else torch.cat(done, dim=1)


def _each_by_itself(
    model: nn.Module, input_ids: Tensor, drop: Tensor, mask: Tensor | None, lone: Tensor, last: int
) -> Tensor:
    """Logits at the last positions, each read off a prompt that ends there: no masks but those of ordinary cuts."""
    found = []
    for end in range(input_ids.shape[1] - last + 1, input_ids.shape[1] + 1):
        gone = drop[:, :end] | lone[:, :end]
        seen = None if mask is None else mask[:, :end].clone()
        gone[:, -1] = False
        if seen is not None:
            seen[:, -1] = 1  # where padding stands, the logits mean nothing
        found.append(sweep_last_logits(model, input_ids[:, :end], gone, seen, last=1))
    return torch.cat(found, dim=2)


def check_lone(lone: Tensor | None, drop: Tensor, skip: bool) -> None:
    """Refuses, by a PlanError, a mask of lone tokens that does not fit the prompts, or stands beside an early exit."""
    if lone is None:
        return
    if not isinstance(lone, Tensor) or lone.dtype != torch.bool or lone.shape != drop.shape:
        raise PlanError(f"lone is {shown(lone)}; expected a boolean tensor of the shape of drop, {list(drop.shape)}")
    if skip:
        raise PlanError(
            "skip and lone were both given; at an early exit no layer is left in which a token could be lone"
        )


def check_last(last: int, input_ids: Tensor) -> None:
    """Refuses, by a PlanError, a number of last positions that the prompts do not have."""
    if not 1 <= last <= input_ids.shape[1]:
        raise PlanError(f"last={last} is out of range: expected a whole number from 1 to {input_ids.shape[1]}")


def check_masks(
    vocabulary: int | None, input_ids: Tensor, drop: Any, attention_mask: Tensor | None, *, drops: bool = True
) -> None:
    """Refuses `input_ids` that are no prompts, and masks that do not fit them; without `drops` there is no `drop`.

    Raises:
        PlanError: another type or shape, unknown tokens, padding on the right, or a hidden last token.
    """
    for name, given in (("input_ids", input_ids), ("attention_mask", attention_mask)):
        if given is None and name == "attention_mask":
            continue
        if not isinstance(given, Tensor) or given.is_meta or given.layout != torch.strided:
            raise PlanError(f"{name} is {shown(given)}; expected a plain tensor of shape [batch, tokens]")
    if input_ids.ndim != 2 or input_ids.dtype not in (torch.int64, torch.int32) or not input_ids.numel():
        found = f"{input_ids.dtype} of shape {list(input_ids.shape)}"
        raise PlanError(f"input_ids are {found}; expected whole numbers (int64 or int32) of shape [batch, tokens]")
    least, most = int(input_ids.min()), int(input_ids.max())
    if least < 0 or (vocabulary is not None and most >= vocabulary):
        known = "" if vocabulary is None else f" to {vocabulary - 1}"
        raise PlanError(f"input_ids go from {least} to {most}, but the model knows tokens from 0{known}")
    # Shapes first: a mask that is too short ends at another token than the prompt.
    for name, mask in (("drop", drop), ("attention_mask", attention_mask)):
        if isinstance(mask, Tensor) and mask.shape != input_ids.shape:
            raise PlanError(f"{name} has shape {list(mask.shape)}; expected that of input_ids, {list(input_ids.shape)}")
    if drops:
        check_drop(drop)
    if attention_mask is not None and not bool(((attention_mask == 0) | (attention_mask == 1)).all()):
        raise PlanError("attention_mask holds other numbers than 0 and 1; expected 1 for tokens and 0 for padding")
    if attention_mask is not None and not bool(attention_mask[:, -1].all()):
        raise PlanError("attention_mask ends in padding; pad the prompts on the left (tokenizer.padding_side='left')")
