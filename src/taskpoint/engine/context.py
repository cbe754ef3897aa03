"""Reads a context that a test set shares: once, for all cuts.

Shapes: T tokens of the context, P kept ones, K key heads, D head size, R cuts with keys of their own, N layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from taskpoint.engine.calls.forward import under_cut
from taskpoint.engine.calls.pristine import evaluating
from taskpoint.engine.calls.projections import OutputProjection
from taskpoint.engine.check import exact
from taskpoint.engine.paths.every_cut import EveryCut
from taskpoint.engine.paths.shared_keys_check import can_share_keys
from taskpoint.engine.paths.sweep_context import Keys, SweepContext
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.heads import check_head
from taskpoint.models.library import Cache, DynamicLayer, inputs_for, with_cache
from taskpoint.models.others import hooked_by_others


@torch.inference_mode()
def read_context(
    model: nn.Module,
    tokens: Int[Tensor, "1 T"],
    drop: Bool[Tensor, "1 T"],
    *,
    removed: Sequence[OutputProjection] = (),
) -> SweepContext:
    """Reads a context once, for `sweep_last_logits` and `sweep_generate` over many prompts that begin with it.

    All of its tokens may be hidden. With the projections of all layers in `removed` it is for `ablation_logits` and
    `ablation_generate`, and none may be. Errors as for `sweep_logits`.
    """
    check_head(model)
    parts = anatomy(model)
    if tokens.shape != drop.shape or tokens.shape[0] != 1 or not tokens.numel():
        raise PlanError(
            f"tokens have shape {list(tokens.shape)} and drop {list(drop.shape)}; expected one row of the same length"
        )
    if removed and bool(drop.any()):
        raise PlanError("some tokens of the context are dropped; expected none where attentions are removed")
    if hooked_by_others(model.modules()) or not (exact(model) and can_share_keys(model)):
        return SweepContext(tokens[0], drop[0], None, None, bool(removed))
    base: list[Any] = [DynamicLayer() for _ in parts.layers]
    cache = Cache(layers=list(base))
    named = inputs_for(model, None, last=1) | with_cache(model, cache) | {"use_cache": True}
    kept = ~drop[0]
    if not removed and not bool((drop[0].cumsum(0) > 0)[kept].any()):
        with evaluating(model), under_cut(parts):
            model(tokens, **named)
        places = kept.nonzero()[:, 0]
        all_keys = tuple((layer.keys, layer.values) for layer in base)
        return SweepContext(tokens[0], drop[0], all_keys, tuple(_at(keys, places) for keys in all_keys))
    own: list[Any] = [DynamicLayer() for _ in parts.layers]
    every_cut = EveryCut(parts, kept[None], 0, False, {cache: Cache(layers=list(own))}, removed=removed)
    with evaluating(model), every_cut.hooks():
        model(tokens, **named)
    return SweepContext(
        tokens[0],
        drop[0],
        tuple((layer.keys, layer.values) for layer in base),
        tuple((layer.keys, layer.values) for layer in own),
        bool(removed),
    )


def _at(keys: Keys, places: Tensor) -> Keys:
    return tuple(part.index_select(-2, places.to(part.device)) for part in keys)  # type: ignore[return-value]
