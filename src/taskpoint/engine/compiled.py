"""Compiled prompts: a context is read once under a cut, and any number of queries continue it without copying it.

Shapes: B queries, T tokens of the context, L tokens of one call, r cut.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from taskpoint.engine.calls.pristine import evaluating
from taskpoint.engine.check import exact
from taskpoint.engine.paths.greedy import Ending, check_new, write
from taskpoint.engine.paths.queries import CompiledContext as CompiledContext
from taskpoint.engine.paths.queries import Queries, read_compiled
from taskpoint.engine.paths.shared_keys_check import can_share_keys
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.heads import check_head
from taskpoint.models.library import if_untested


@torch.inference_mode()
def compile_context(
    model: nn.Module, tokens: Int[Tensor, "1 T"], drop: Bool[Tensor, "1 T"], after: int
) -> CompiledContext:
    """Reads a context once under a cut, and keeps what queries will need of it.

    Args:
        model: any transformers decoder with a language-model head.
        tokens: the context: everything that comes before the query.
        drop: True for the tokens that layers r ... N-1 do not see; all of them may be dropped.
        after: the cut r; r = N keeps everything.

    Raises:
        PlanError: `after` or `drop` do not fit, or the model is under a cut.
        ModelError: the model cannot be cut exactly.
    """
    check_head(model)
    parts = anatomy(model)
    if tokens.shape != drop.shape or tokens.shape[0] != 1 or not tokens.numel():
        raise PlanError(
            f"tokens have shape {list(tokens.shape)} and drop {list(drop.shape)}; expected one row of the same length"
        )
    if not exact(model):
        raise ModelError(
            f"models of type {parts.family!r} cannot be cut exactly, so no prompt can be compiled for them"
            f"{if_untested()}"
        )
    with evaluating(model):
        return read_compiled(model, tokens, drop, after)


@torch.inference_mode()
def prefix_generate(
    model: nn.Module,
    context: CompiledContext,
    input_ids: Int[Tensor, "B L"],
    attention_mask: Int[Tensor, "B L"] | None = None,
    max_new_tokens: int = 50,
    eos_token_id: int | list[int] | None = None,
) -> Int[Tensor, "B new"]:
    """Greedy answers to queries that continue a compiled context, which is not copied for any of them.

    Equal to the new tokens of `model.generate(..., do_sample=False)` under `cut_context` on context and query together.

    Args:
        model: the model that the context was compiled with.
        context: the context.
        input_ids: the queries, left-padded.
        attention_mask: 1 for tokens, 0 for padding; None when there is none.
        max_new_tokens: longest answer in tokens.
        eos_token_id: token or tokens that end an answer; None takes the model's own.

    Returns:
        Token ids, filled with the model's padding token after the end. [B, new], `new` being the longest answer

    Raises:
        PlanError: the context is of another model's shape, the mask or `max_new_tokens` do not fit.
    """
    check_new(max_new_tokens)
    ending = Ending(model, eos_token_id)

    def answers(ids: Tensor, mask: Tensor | None) -> Tensor:
        queries = Queries(model, context, ids, mask)
        return write(queries.read().argmax(-1), queries, max_new_tokens, ending)

    return by_length(model, input_ids, attention_mask, answers, fill=ending.pad)


def by_length(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    run: Callable[[Tensor, Tensor | None], Tensor],
    fill: int,
) -> Tensor:
    """Runs all queries at once, or those of one length at a time where padding cannot stand after a context.

    There a family would measure distances across the padding (windows by cache index). Answers are filled with `fill`.
    """
    _check_queries(input_ids, attention_mask)
    with evaluating(model):
        if attention_mask is None or can_share_keys(model):
            return run(input_ids, attention_mask)
        return _grouped(input_ids, attention_mask, run, fill)


def _grouped(
    input_ids: Tensor, attention_mask: Tensor, run: Callable[[Tensor, Tensor | None], Tensor], fill: int
) -> Tensor:
    lengths = attention_mask.sum(1)  # [B]
    groups = [(lengths == length).nonzero()[:, 0] for length in lengths.unique()]
    parts = [run(input_ids[rows, -int(lengths[rows[0]]) :], None) for rows in groups]
    longest = max(part.shape[1] for part in parts)
    padded = [torch.nn.functional.pad(part, (0, longest - part.shape[1]), value=fill) for part in parts]
    return torch.cat(padded)[torch.cat(groups).argsort()]


def _check_queries(input_ids: Tensor, attention_mask: Tensor | None) -> None:
    """Refuses a mask of another shape than the queries, and padding on the right, by a PlanError."""
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        raise PlanError(
            f"attention_mask has shape {list(attention_mask.shape)}; the queries have {list(input_ids.shape)}"
        )
    if attention_mask is not None and not bool(attention_mask[:, -1].all()):
        raise PlanError("attention_mask ends in padding; pad the queries on the left (tokenizer.padding_side='left')")
