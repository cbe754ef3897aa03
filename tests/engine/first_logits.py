"""The logits of which `prefix_generate` takes the largest first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from taskpoint.engine.compiled import CompiledContext, by_length
from taskpoint.engine.paths.queries import Queries


@torch.inference_mode()
def prefix_logits(
    model: nn.Module, context: CompiledContext, input_ids: Tensor, attention_mask: Tensor | None = None
) -> Tensor:
    """Logits at the last position of queries that continue a compiled context. [B, vocab]"""
    return by_length(model, input_ids, attention_mask, lambda *some: Queries(model, context, *some).read(), fill=0)
