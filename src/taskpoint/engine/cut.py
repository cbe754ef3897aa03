"""The fast path for everything a model can do: `cut_context`.

Shapes: B batch, T tokens of the prompt, N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import Bool
from torch import Tensor, nn

from taskpoint.engine.calls.eager import eager
from taskpoint.engine.calls.forward import under_cut
from taskpoint.engine.calls.training import trainable
from taskpoint.engine.calls.uninterrupted import uninterrupted
from taskpoint.engine.check import exact
from taskpoint.engine.paths.cut_layers import cut_layers
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.plan import CutPlan
from taskpoint.models.anatomy import anatomy


@contextmanager
def cut_context(model: nn.Module, after: int, drop: Bool[Tensor, "B T"]) -> Iterator[nn.Module]:
    """Cuts the dropped tokens out of the layers from `after` on, for everything the model does inside the block.

    The result equals masking those tokens in those layers; but they are not computed there, and not cached. A model
    family that the tests do not cover is first compared with masking on a short prompt (`taskpoint.engine.check`);
    where the two differ a warning says so, and the block masks. With r = N, or where nothing is dropped, the model is
    the ordinary one in everything.

    Args:
        model: any transformers decoder with a language-model head.
        after: the cut r: layers 0 ... r-1 still see the dropped tokens.
        drop: True for the tokens of the prompt that are dropped, one entry for each of `input_ids`; `generate` may
            repeat the rows (beams, several return sequences).

    Yields:
        The same model, cut in every thread until the block ends. Logits at dropped positions are not defined; hidden
        states and attentions that are asked for are zero there above the cut. Of `labels`, those of dropped tokens and
        of padding are left out of the loss, and those right after them, which no token is there to predict. A cache
        that was filled in the block can only be continued in it.

    Raises:
        PlanError: `after` or `drop` do not fit, the model is already under a cut, the cache is not supported (static,
            quantised), rows or last tokens of it would have to be taken back (assisted decoding, contrastive search),
            or the model is in training mode with dropout.
        ModelError: the model's layers are not found or take arguments that are not known, it is compiled, or an
            adapter of peft adds tokens to the prompt.

    Example:
        >>> with cut_context(model, after=4, drop=hidden):  # doctest: +SKIP
        ...     model.generate(input_ids, attention_mask=attention_mask, max_new_tokens=20)
    """
    parts = anatomy(model)
    plan = CutPlan(parts.num_layers, after, drop)
    if after == parts.num_layers or not bool(drop.any()):
        with uninterrupted(under_cut(parts)):
            yield model
    elif exact(model):
        with uninterrupted(eager(model, parts.decoder), trainable(model, parts, plan), cut_layers(parts, plan)):
            yield model
    else:
        with mask_context(model, after, drop):
            yield model
