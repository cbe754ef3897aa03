"""Queries that continue a compiled context, and how such a context is read.

Shapes: B queries, T tokens of the context, L tokens of one call, K key heads, S stored keys, D head size, N layers, r
cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import LayerCall, Sight, read_call
from taskpoint.engine.calls.forward import hooked, under_cut
from taskpoint.engine.calls.memo import Memo
from taskpoint.engine.paths.cut_layers import cut_layers
from taskpoint.engine.paths.shared_keys import CacheState, SharedLayer, sharing
from taskpoint.engine.paths.shared_keys_check import can_share_keys
from taskpoint.engine.plan import CutPlan, Present
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import Anatomy, anatomy
from taskpoint.models.library import (
    Cache,
    DynamicLayer,
    accepts,
    inputs_for,
    true_positions,
    with_cache,
)
from taskpoint.models.others import hooked_by_others


@dataclass(frozen=True, eq=False)
class CompiledContext:
    """A context that was read once, as queries see it; a PlanError where its parts do not fit each other.

    Attributes:
        after: the cut r.
        tokens: all tokens of the context.
        drop: True for those that layers r ... N-1 do not see.
        keys: keys by layer; all T of them below the cut, those that are not dropped above it. [1, K, S, D] each
        values: values by layer. [1, K, S, D] each
    """

    after: int
    tokens: Int[Tensor, " T"]
    drop: Bool[Tensor, " T"]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 1 or self.drop.shape != self.tokens.shape or self.drop.dtype != torch.bool:
            raise PlanError(
                f"a context has tokens of shape {list(self.tokens.shape)} and drop of shape {list(self.drop.shape)}; "
                "expected one boolean for each token"
            )
        kept = int((~self.drop).sum())
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            stored = len(self.tokens) if layer < self.after else kept
            if keys.shape[0] != 1 or keys.shape[-2] != stored or values.shape[-2] != stored:
                raise PlanError(
                    f"layer {layer} of a context has keys of shape {list(keys.shape)}; expected {stored} tokens"
                )

    @property
    def num_layers(self) -> int:
        """Number of layers, N."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(part.numel() * part.element_size() for part in (*self.keys, *self.values))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> CompiledContext:
        """The same context on another device, or in another precision."""
        move: dict[str, Any] = {"device": device, "dtype": dtype}
        return replace(
            self,
            tokens=self.tokens.to(device=device),
            drop=self.drop.to(device=device),
            keys=tuple(part.to(**move) for part in self.keys),
            values=tuple(part.to(**move) for part in self.values),
        )


def read_compiled(model: nn.Module, tokens: Tensor, drop: Tensor, after: int) -> CompiledContext:
    """What `compile_context` gives, without its checks."""
    parts = anatomy(model)
    # A plan keeps its last token; here that is one more, which no other token sees and whose keys are left out again.
    plan = CutPlan(parts.num_layers, after, torch.nn.functional.pad(drop, (0, 1)))
    cache = Cache(layers=[DynamicLayer() for _ in parts.layers])
    with cut_layers(parts, plan):
        named = inputs_for(model, None, last=1) | with_cache(model, cache) | {"use_cache": True}
        model(torch.cat([tokens, tokens[:, -1:]], dim=1), **named)
    layers: Any = cache.layers
    return CompiledContext(
        after,
        tokens[0],
        drop[0],
        tuple(layer.keys[..., :-1, :].contiguous() for layer in layers),
        tuple(layer.values[..., :-1, :].contiguous() for layer in layers),
    )


class Queries:
    """Queries that are being read and answered: their own keys, beside the shared context."""

    def __init__(
        self, model: nn.Module, context: CompiledContext, input_ids: Tensor, attention_mask: Tensor | None
    ) -> None:
        self._model, self._parts = model, anatomy(model)
        if context.num_layers != self._parts.num_layers:
            raise PlanError(
                f"the context has {context.num_layers} layers, the model {self._parts.num_layers}; compile it anew"
            )
        self._context, self._input_ids, self._own_mask = context, input_ids, attention_mask
        self._tokens = len(context.tokens)
        self._state = CacheState(
            self._tokens, apart=can_share_keys(model) and not hooked_by_others(self._parts.layers.modules())
        )
        pairs = zip(context.keys, context.values, strict=True)
        self._layers = [SharedLayer(self._state, keys, values) for keys, values in pairs]
        self._cache = Cache(layers=list(self._layers))
        self._kept = (~context.drop).nonzero()[:, 0]  # [S]

    def read(self) -> Tensor:
        """Logits after the queries. [B, V]."""
        return self._call(self._input_ids)

    def step(self, tokens: Tensor) -> Tensor:
        """Logits after one more token. [B] -> [B, V]."""
        if self._own_mask is not None:
            self._own_mask = torch.nn.functional.pad(self._own_mask, (0, 1), value=1)
        return self._call(tokens[:, None])

    def keep(self, rows: Tensor) -> bool:
        """Forgets all rows but these."""
        if self._own_mask is not None:
            self._own_mask = self._own_mask.index_select(0, rows)
        for layer in self._layers:
            layer.take_rows(rows)
        return True

    def _call(self, ids: Tensor) -> Tensor:
        named: dict[str, Any] = with_cache(self._model, self._cache) | {"use_cache": True}
        start, length = self._state.length, ids.shape[1]
        if self._own_mask is not None:
            named["attention_mask"] = torch.nn.functional.pad(self._own_mask, (self._tokens, 0), value=1)
        if accepts(self._model, "position_ids"):
            positions = torch.arange(start, start + length, device=ids.device)[None]
            if self._own_mask is not None:
                positions = (self._tokens + true_positions(self._own_mask))[:, -length:]
            named["position_ids"] = positions.expand(ids.shape[0], -1)
        if accepts(self._model, "logits_to_keep"):
            named["logits_to_keep"] = 1
        narrowing = _Narrowing(self._parts, self._context.after, self._kept, self._tokens, start, length)
        with narrowing.hooks(), sharing(self._parts, self._state):
            logits: Tensor = self._model(ids, **named).logits
        for layer in self._layers:
            layer.check()
        self._state.length += length
        return logits[:, -1]


class _Narrowing:
    """The hooks of one call: layers above the cut see fewer keys of the context, so their masks lose those columns."""

    def __init__(self, parts: Anatomy, after: int, kept: Tensor, tokens: int, start: int, length: int) -> None:
        self._parts, self._after = parts, after
        place = torch.arange(length, device=kept.device)[None]
        keys = torch.cat([kept, torch.arange(tokens, start + length, device=kept.device)])[None]  # [1, S]
        self._plain = len(kept) == tokens
        self._sight = Sight(Present(place, None), keys, None, start, length, mask_hides=parts.facts.mask_hides)
        self._narrowed: Memo[dict[str, Any]] = Memo()

    @contextmanager
    def hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(under_cut(self._parts))
            if not self._plain:
                for index in range(self._after, self._parts.num_layers):
                    stack.enter_context(hooked(self._parts.layers[index], before=self._at(index)))
            yield

    def _at(self, index: int) -> Any:
        window = self._parts.index_window(index)

        def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            call = read_call(layer, args, kwargs)
            return (call.hidden,), call.named | self._narrow(call, window)

        return before

    def _narrow(self, call: LayerCall, window: int | None) -> dict[str, Any]:
        return self._narrowed.get(
            call.named.values(), lambda: replace(self._sight, window=window).narrow(call), window, *call.named
        )
