"""Does attention to shared keys apart equal attention to joined ones on this model? Asked once of a model object.

Shapes: B rows, S shared keys, L tokens.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.pristine import FAILURES, pristine
from taskpoint.engine.paths.shared_keys import CacheState, SharedLayer, sharing
from taskpoint.models.anatomy import Anatomy, anatomy
from taskpoint.models.library import Cache, DynamicLayer, accepts, uses_attention_interface, with_cache

_SHARED, _OWN = 5, 3

# What was found, for as long as the model lives; beside it, because the model must stay bit for bit as it is.
_VERDICTS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def can_share_keys(model: nn.Module) -> bool:
    """Whether this model's attention can read shared keys apart; where it cannot, rows get copies of them.

    Both ways run on a context of 5 tokens, which 2 rows of 3 tokens share.
    """
    if model not in _VERDICTS:
        parts = anatomy(model)
        _VERDICTS[model] = uses_attention_interface(parts.decoder) and _agree(model, parts)
    return _VERDICTS[model]


@torch.inference_mode()
def _agree(model: nn.Module, parts: Anatomy) -> bool:
    try:
        with pristine(model):
            apart, joined = _read(model, parts, apart=True), _read(model, parts, apart=False)
    except torch.OutOfMemoryError:
        raise
    except FAILURES:
        return False
    largest = max(1.0, float(joined.abs().max()))
    return bool((apart - joined).abs().max() <= largest * max(1e-4, 16 * torch.finfo(apart.dtype).eps))


def _read(model: nn.Module, parts: Anatomy, apart: bool) -> Tensor:
    embedding: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    weight: Tensor = embedding.weight  # type: ignore[assignment]
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(weight.shape[0], (3, _SHARED), generator=random).to(weight.device)
    context: list[Any] = [DynamicLayer() for _ in parts.layers]
    model(ids[:1], **with_cache(model, Cache(layers=context)), use_cache=True)
    state = CacheState(_SHARED, apart)
    shared = [SharedLayer(state, layer.keys, layer.values) for layer in context]
    named = {"position_ids": torch.arange(_SHARED, _SHARED + _OWN, device=ids.device).expand(2, -1)}
    with sharing(parts, state):
        read: Tensor = model(
            ids[1:, :_OWN],
            **with_cache(model, Cache(layers=list(shared))),
            use_cache=True,
            **named if accepts(model, "position_ids") else {},
        ).logits
    for layer in shared:
        layer.check()
    return read
