"""The hooks of a decoded sweep: each prompt's variants are the N + 1 "tokens" of one forward call.

Prefill computes all variants in one call. In a step, at layer i, the variants r > i have seen everything below: they
read one copy of the context's keys and values, told apart by a mask over the tokens that each of them has written. The
variants r <= i read their own present tokens only, as rows of a second call of the same layer.

Shapes: B batch, T prompt tokens, P present tokens, C cuts (N + 1), V variants, S stored keys, D width, N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import LayerCall, Sight, first_tensor, hide, like_output, read_call
from taskpoint.engine.calls.forward import hooked, under_cut
from taskpoint.engine.calls.memo import Memo
from taskpoint.engine.calls.projections import OutputProjection
from taskpoint.engine.paths.every_cut import (
    EveryCut,
    Repeated,
    lone_keys,
    newest_without,
    other_caches,
    room_for,
    stored_keys,
)
from taskpoint.engine.paths.shared_keys import CacheState, RoomyLayer
from taskpoint.engine.paths.sweep_context import SweepCaches, SweepContext
from taskpoint.engine.plan import Present, present_tokens
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import accepts, inputs_for, with_cache


def can_decode_every_cut(model: nn.Module, parts: Anatomy, keys: int) -> bool:
    """Whether variants can stand side by side in the token axis: their places there must not be taken for positions.

    No window by cache index may cut short the `keys` that a layer will hold at most.
    """
    told = parts.layers_take("alibi") or parts.rows_share_bias
    windows = [w for w in map(parts.index_window, range(parts.num_layers)) if w is not None]
    return (told or accepts(model, "position_ids")) and all(keys < window for window in windows)


@dataclass(frozen=True, eq=False)
class Stored:
    """What the layers above a cut hold after the prompt.

    Attributes:
        keys: position of every stored key. [1|B, P]
        filler: True for keys that only fill a row; None when there are none. [B, P]
        rows: rows of the batch, B.
        tokens: tokens of context and prompt, hidden ones counted.
        lone: True for keys that no later token sees, as no token of the answer is seen then. [1|B, P]
    """

    keys: Tensor
    filler: Tensor | None
    rows: int
    tokens: int
    lone: Tensor | None

    @classmethod
    def after(cls, present: Present, context: SweepContext | None, shape: torch.Size, lone: Tensor | None) -> Stored:
        """After a prompt of which some tokens are present, and a context that was read before."""
        keys, filler = stored_keys(present, context)
        tokens = shape[1] + (context.length if context is not None else 0)
        return cls(keys, filler, shape[0], tokens, lone_keys(present, lone, context))

    def take(self, rows: Tensor) -> Stored:
        """The same for some rows of the batch."""
        keys = self.keys if self.keys.shape[0] == 1 else self.keys.index_select(0, rows)
        filler = None if self.filler is None else self.filler.index_select(0, rows)
        lone = None if self.lone is None else self.lone.index_select(0, rows)
        return replace(self, keys=keys, filler=filler, rows=len(rows), lone=lone)


class EveryCutDecode:
    """One decoded sweep: a prefill, then steps."""

    def __init__(
        self,
        model: nn.Module,
        parts: Anatomy,
        input_ids: Int[Tensor, "B T"],
        drop: Bool[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None,
        skip: bool,
        context: SweepContext | None = None,
        *,
        lone: Bool[Tensor, "B T"] | None = None,
        removed: Sequence[OutputProjection] = (),
    ) -> None:
        """Prepares the caches; arguments as for `sweep_generate`, and `removed` as for `EveryCut`."""
        self._model, self._parts, self._skip, self._context = model, parts, skip, context
        self._removed = removed
        self._cuts = parts.num_layers + 1
        self._input_ids, drop, self._mask, self._lone = room_for(self._cuts, input_ids, drop, attention_mask, lone)
        self._keep = ~drop if self._mask is None else ~drop & self._mask.bool()
        present = present_tokens(self._keep, parts.rows_share_bias)
        self._stored = Stored.after(present, context, self._input_ids.shape, self._lone)
        self._written = 0
        self._caches = context.caches() if context is not None else _caches(parts)

    def prefill(self) -> Float[Tensor, "B cuts vocab"]:
        """Logits of the first answer token."""
        caches = {self._caches.base: self._caches.own}
        every_cut = EveryCut(
            self._parts, self._keep, 1, self._skip, caches, self._context, lone=self._lone, removed=self._removed
        )
        if self._context is None:
            named = inputs_for(self._model, self._mask, self._cuts)
        else:
            named = self._context.inputs_for(self._model, self._mask, self._input_ids.shape, self._cuts)
        with every_cut.hooks(), self._caches.attention(self._parts):
            logits: Tensor = self._model(self._input_ids, **named | self._cached()).logits
        self._caches.state.length += self._input_ids.shape[1]
        return logits[:, -self._cuts :]

    def step(self, tokens: Int[Tensor, "B cuts"]) -> Float[Tensor, "B cuts vocab"]:
        """Logits after one more token of every variant, its newest."""
        rows, length = tokens.shape[0], self._caches.state.length
        positions = torch.full((rows, 1), length, device=tokens.device)
        named: dict[str, Any] = {}
        if self._mask is not None:
            before = length - self._written - self._mask.shape[1]  # a context is not padded
            positions = before + self._mask.sum(dim=1, keepdim=True) + self._written
            mask = torch.nn.functional.pad(self._mask, (before, self._written + self._cuts), value=1)
            named["attention_mask"] = mask
        if accepts(self._model, "position_ids"):
            named["position_ids"] = positions.expand(-1, self._cuts)  # all variants write at the same place
        caches = {self._caches.base: self._caches.own}
        step = _Step(self._parts, self._stored, self._written, self._skip, caches, self._removed)
        with step.hooks(), self._caches.attention(self._parts):
            logits: Tensor = self._model(tokens, **named | self._cached()).logits
        self._caches.state.length += 1
        self._written += 1
        return logits

    def keep(self, rows: Int[Tensor, " kept"]) -> bool:
        """Forgets all rows of the batch but these, each with all its variants."""
        before = self._stored.rows
        self._stored = self._stored.take(rows)
        if self._mask is not None:
            self._mask = self._mask.index_select(0, rows)
        for layer in self._caches.base_layers:
            layer.take_rows(rows)
        for index, layer in enumerate(self._caches.own_layers):
            variants = torch.arange(index + 1, device=rows.device)[:, None] * before  # r = 0 first
            layer.take_rows((variants + rows).flatten())
        return True

    def _cached(self) -> dict[str, Any]:
        return with_cache(self._model, self._caches.base) | {"use_cache": True}


def _caches(parts: Anatomy) -> SweepCaches:
    """Caches of a sweep without a context that was read before."""
    state = CacheState()
    base, own = ([RoomyLayer(state) for _ in parts.layers] for _ in range(2))
    return SweepCaches(state, base, own)


class _Step:
    """The hooks of one decoding step."""

    def __init__(
        self,
        parts: Anatomy,
        stored: Stored,
        written: int,
        skip: bool,
        caches: dict[Any, Any],
        removed: Sequence[OutputProjection],
    ) -> None:
        self._parts, self._skip, self._caches, self._removed = parts, skip, caches, removed
        self._tokens, self._written, self._cuts = stored.tokens, written, parts.num_layers + 1
        self._new = torch.arange(self._tokens, self._tokens + written + 1, device=stored.keys.device)  # [written + 1]
        keys = stored.keys  # [1|B, P]
        filler = stored.filler
        keys = torch.cat([keys, self._new.expand(keys.shape[0], -1)], dim=1)  # [1|B, P + written + 1]
        filler = None if filler is None else torch.nn.functional.pad(filler, (0, written + 1))
        lone = stored.lone
        lone = None if lone is None else torch.nn.functional.pad(lone, (0, written + 1), value=True)
        self._own_sight = self._sight(1, keys, filler, lone)
        self._narrowed: Memo[dict[str, Any]] = Memo()
        self._repeated = Repeated(parts.num_layers, stored.rows)
        self._call: LayerCall | None = None

    def _sight(self, queries: int, keys: Tensor, filler: Tensor | None = None, lone: Tensor | None = None) -> Sight:
        # Every variant stands where an ordinary decoding step would: at the first place of this call.
        first = Present(torch.zeros(1, queries, dtype=torch.long, device=keys.device), None)
        hides = self._parts.facts.mask_hides
        past = self._tokens + self._written
        return Sight(first, keys, filler, past, self._cuts, mask_hides=hides, lone=lone)

    @contextmanager
    def hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(under_cut(self._parts))
            for index, layer in enumerate(self._parts.layers):
                stack.enter_context(hooked(layer, before=self._share(index), after=self._join(index)))
            yield

    def _share(self, index: int) -> Any:
        def before(
            layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[Any, dict[str, Any]] | None:
            if self._call is not None:
                return None
            self._call = call = read_call(layer, args, kwargs)
            variants = self._parts.num_layers - index
            context = torch.arange(self._tokens, device=self._new.device)
            keys = torch.cat([context, self._new.repeat_interleave(variants)])[None]  # [1, S]
            named = self._sight(variants, keys).narrow(call)
            own = torch.eye(variants, dtype=torch.bool, device=keys.device).repeat(1, self._written + 1)
            others = torch.nn.functional.pad(~own, (self._tokens, 0))  # [V, S]
            others = others.to(call.hidden.device)
            named["attention_mask"] = hide(named["attention_mask"], others, self._parts.facts.mask_hides)
            return (call.hidden[:, index + 1 :],), call.named | named

        return before

    def _join(self, index: int) -> Any:
        def after(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            call = self._call
            if call is None or call.hidden.shape[1] != self._cuts:
                return None
            waiting = call.hidden[:, : index + 1]  # [B, V, D]
            if not self._skip:
                named = call.named | self._repeated.take(self._narrow(call), index + 1)
                rows = waiting.transpose(0, 1).flatten(0, 1)[:, None]  # [V * B, 1, D]
                self._call = call.with_(call.hidden[:, :0])  # the layer is called again from here: hooks stand aside
                with newest_without(self._removed, index, call.hidden.shape[0]):
                    rows = first_tensor(layer(rows, **other_caches(named, self._caches)))
                waiting = rows.view(index + 1, -1, rows.shape[-1]).transpose(0, 1)
            self._call = None
            return like_output(output, torch.cat([waiting, first_tensor(output)], dim=1))  # [B, C, D]

        return after

    def _narrow(self, call: LayerCall) -> dict[str, Any]:
        return self._narrowed.get(call.named.values(), lambda: self._own_sight.narrow(call), *call.named)
