"""A model without the attention of one layer, for every layer at once (paper A, experiment 2).

Without the attention of layer l a model is the ordinary one below l. So that variant starts at layer l and rides along
from there, as the cuts of a sweep do (paths/every_cut.py), with nothing dropped: N + 1 settings cost about (N + 3) / 2
passes.

Shapes: B batch, T prompt tokens, S settings (N + 1), N layers, l layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.forward import check_free
from taskpoint.engine.calls.pristine import evaluating
from taskpoint.engine.calls.projections import OutputProjection, output_projections, without_attention
from taskpoint.engine.check import exact
from taskpoint.engine.cut_by_cut import follows_hooks
from taskpoint.engine.paths.batch_sizes import InBatches, SweepSize, rows_at_once, rows_in_cache
from taskpoint.engine.paths.every_cut import logits_of_every_cut
from taskpoint.engine.paths.every_cut_decode import EveryCutDecode, can_decode_every_cut
from taskpoint.engine.paths.greedy import Ending, check_new, greedy, joined, write
from taskpoint.engine.paths.sweep_context import SweepContext
from taskpoint.engine.sweep_logits import check_last, check_masks
from taskpoint.models.anatomy import Anatomy, anatomy
from taskpoint.models.heads import check_head
from taskpoint.models.library import inputs_for


@torch.inference_mode()
def ablation_logits(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
    *,
    last: int = 1,
    context: SweepContext | None = None,
    projections: Sequence[OutputProjection] | None = None,
) -> Float[Tensor, "settings B last vocab"]:
    """Logits at the last positions without the attention of each layer in turn, in one pass.

    Row l equals what the model gives under `without_attention` of layer l; row N is the ordinary model. Prompts that
    free memory does not hold at once are done one part after the other. Dropout is off.

    Args:
        model: any transformers decoder with a language-model head.
        input_ids: the prompts, left-padded.
        attention_mask: 1 for tokens, 0 for padding; None when there is none.
        last: how many positions, counted from the end.
        context: what all prompts begin with, read by `read_context` with `removed`; `input_ids` are then what follows.
        projections: what `output_projections` finds; None has it look.

    Raises:
        PlanError: the mask does not fit the prompts, or the model is under a cut.
        ModelError: a layer has no output projection, or layers are not found or take arguments that are not known.
    """
    asked = _asked(model, input_ids, attention_mask, context, projections)
    check_last(last, input_ids)
    done: list[Tensor] = []
    batches = asked.batches(new=0, places=last)
    for rows in batches:
        ids, drop, mask = asked.rows(rows)
        with batches.trying(), evaluating(model):
            if asked.together:
                every = logits_of_every_cut(
                    model, asked.parts, ids, drop, mask, last=last, context=asked.context, removed=asked.removed
                ).transpose(0, 1)
            else:
                named = inputs_for(model, mask, last)
                every = torch.stack(asked.in_turn(lambda: model(ids, **named).logits[:, -last:]))  # noqa: B023
            done.append(every)
    return done[0] if len(done) == 1 else torch.cat(done, dim=1)


@torch.inference_mode()
def ablation_generate(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
    max_new_tokens: int = 50,
    eos_token_id: int | list[int] | None = None,
    *,
    context: SweepContext | None = None,
    projections: Sequence[OutputProjection] | None = None,
) -> Int[Tensor, "settings B new"]:
    """Greedy answers without the attention of each layer in turn, computed together.

    Row l equals the new tokens of `model.generate(input_ids, do_sample=False)` under `without_attention` of layer l;
    row N those of the ordinary model. What is said of `sweep_generate` holds here too; other arguments and errors as
    for `ablation_logits`.

    Returns:
        Token ids. [N + 1, B, new], new <= max_new_tokens being the longest answer
    """
    asked = _asked(model, input_ids, attention_mask, context, projections)
    check_new(max_new_tokens)
    ending = Ending(model, eos_token_id)
    before = asked.context.length if asked.context is not None else 0
    settings = asked.parts.num_layers + 1
    keys = before + asked.input_ids.shape[1] + max_new_tokens * settings
    if asked.together and not can_decode_every_cut(model, asked.parts, keys):
        asked = asked.apart()
    answers: list[Tensor] = []
    batches = asked.batches(new=max_new_tokens, places=1)
    for rows in batches:
        ids, drop, mask = asked.rows(rows)
        decode: EveryCutDecode | None = None
        with batches.trying(), evaluating(model):
            if asked.together:
                decode = EveryCutDecode(
                    model, asked.parts, ids, drop, mask, False, asked.context, removed=asked.removed
                )
                written = write(decode.prefill().argmax(-1), decode, max_new_tokens, ending).transpose(0, 1)
            else:
                found = asked.in_turn(lambda: greedy(model, ids, mask, max_new_tokens, ending))  # noqa: B023
                written = joined(found, ending)
            answers.append(written)
        del decode  # its caches, before fewer rows are tried
    return joined(answers, ending, dim=1)


@dataclass(frozen=True, eq=False)
class _Asked:
    """Prompts of one call, and how they are run.

    Attributes:
        together: all settings in one pass; otherwise each by itself, because hooks of others count rows, or because
            the model's layers do not allow it.
    """

    parts: Anatomy
    removed: Sequence[OutputProjection]
    input_ids: Tensor  # [B, T]
    mask: Tensor | None  # [B, T]
    context: SweepContext | None
    together: bool

    def apart(self) -> _Asked:
        """The same with each setting by itself: whole prompts."""
        ids, mask = self.input_ids, self.mask
        if self.context is not None:
            ids, _, mask, _ = self.context.whole(ids, torch.zeros_like(ids, dtype=torch.bool), mask, None)
        return _Asked(self.parts, self.removed, ids, mask, None, together=False)

    def batches(self, new: int, places: int) -> InBatches:
        """Prompts in parts, when `new` tokens are written and logits are wanted at some places."""
        tokens = self.input_ids.shape[1]
        most = rows_at_once(self.parts, SweepSize(tokens, tokens, new, places))
        # Steps of decoding are short, so that many rows at once are what makes them fast.
        fast = rows_in_cache(self.parts, tokens * self.parts.num_layers) if self.together and not new else None
        return InBatches(self.input_ids.shape[0], most if fast is None else min(most, fast))

    def rows(self, rows: slice) -> tuple[Tensor, Tensor, Tensor | None]:
        """Tokens, which of them are dropped (none), and mask of some prompts."""
        ids = self.input_ids[rows]
        return ids, torch.zeros_like(ids, dtype=torch.bool), None if self.mask is None else self.mask[rows]

    def in_turn(self, run: Callable[[], Tensor]) -> list[Tensor]:
        """What a run gives without the attention of each layer in turn, and at last with all of it."""
        found = []
        for removed in (*((one,) for one in self.removed), ()):
            with without_attention(removed):
                found.append(run())
        return found


def _asked(
    model: nn.Module,
    input_ids: Tensor,
    mask: Tensor | None,
    context: SweepContext | None,
    projections: Sequence[OutputProjection] | None,
) -> _Asked:
    check_head(model)
    parts = anatomy(model)
    check_masks(parts.vocabulary, input_ids, None, mask, drops=False)
    check_free(parts)
    if context is not None:
        context.check(ablated=True)
    removed = output_projections(model) if projections is None else projections
    asked = _Asked(parts, removed, input_ids, mask, context, together=True)
    plain = follows_hooks(model, "layer")
    if not plain or not exact(model):
        return asked.apart()
    if context is not None and context.base is None:
        ids, _, whole, _ = context.whole(input_ids, torch.zeros_like(input_ids, dtype=torch.bool), mask, None)
        return _Asked(parts, removed, ids, whole, None, together=True)
    return asked
