"""The hooks of a decoded sweep: each prompt's variants are the N + 1 "tokens" of one forward call.

Prefill is one call in which the variants ride along. In a step, at layer i, the variants r > i have seen everything
below: they read one copy of the context's keys and values, told apart by a mask over the tokens that each of them has
written. The variants r <= i read their own present tokens only, as rows of a second call of the same layer.

Shapes: B batch, T prompt tokens, P present tokens, C cuts (N + 1), V variants, S stored keys, D width, N layers, r cut.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from taskpoint.engine.arguments import LayerCall, Sight, first_tensor, hide, like_output, read_call
from taskpoint.engine.forward import accepts, hooked, inputs_for, under_cut
from taskpoint.engine.plan import Present, present_tokens
from taskpoint.engine.riding import Repeated, Riding, other_caches, room_for
from taskpoint.models.anatomy import Anatomy


def can_step(model: nn.Module, parts: Anatomy, keys: int) -> bool:
    """Whether variants can stand side by side in the token axis: their places there must not be taken for positions.

    Args:
        model: the model.
        parts: its parts.
        keys: most keys that a layer will hold, which no window by cache index may cut short.
    """
    alibi = "alibi" in inspect.signature(type(parts.layers[0]).forward).parameters
    windows = [w for w in map(parts.index_window, range(parts.num_layers)) if w is not None]
    return (alibi or accepts(model, "position_ids")) and all(keys < window for window in windows)


class _SharedLayer(DynamicLayer):
    """Keys of the prompt once for all variants, and of what each of them has written; reports true lengths."""

    def __init__(self, clock: list[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._clock = clock

    def get_seq_length(self) -> int:
        return self._clock[0]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._clock[0] + query_length, 0


class Stepping:
    """One decoded sweep: a prefill, then steps."""

    def __init__(
        self,
        model: nn.Module,
        parts: Anatomy,
        input_ids: Int[Tensor, "B T"],
        drop: Bool[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None,
        skip: bool,
    ) -> None:
        """Prepares the caches; arguments as for `sweep_generate`."""
        self._model, self._parts, self._skip = model, parts, skip
        self._cuts = parts.num_layers + 1
        self._input_ids, drop, self._mask = room_for(self._cuts, input_ids, drop, attention_mask)
        self._keep = ~drop if self._mask is None else ~drop & self._mask.bool()
        self._clock = [0]
        self._shared = Cache(layers=[_SharedLayer(self._clock) for _ in parts.layers])
        self._own = Cache(layers=[DynamicLayer() for _ in parts.layers])

    def prefill(self) -> Float[Tensor, "B cuts vocab"]:
        """Logits of the first answer token."""
        named = inputs_for(self._model, self._mask, self._cuts)
        named |= {"past_key_values": self._shared, "use_cache": True}
        riding = Riding(self._parts, self._keep, 1, self._skip, {self._shared: self._own})
        with riding.hooks():
            logits: Tensor = self._model(self._input_ids, **named).logits[:, -self._cuts :]
        self._clock[0] = self._input_ids.shape[1]
        return logits

    def step(self, tokens: Int[Tensor, "B cuts"], written: int) -> Float[Tensor, "B cuts vocab"]:
        """Logits after one more token of every variant.

        Args:
            tokens: the newest token of every variant. [B, C]
            written: number of answer tokens before it.

        Returns:
            Logits. [B, C, vocab]
        """
        rows = tokens.shape[0]
        positions = torch.full((rows, 1), self._clock[0], device=tokens.device)
        named: dict[str, Any] = {"past_key_values": self._shared, "use_cache": True}
        if self._mask is not None:
            positions = self._mask.sum(dim=1, keepdim=True) + written
            named["attention_mask"] = torch.nn.functional.pad(self._mask, (0, written + self._cuts), value=1)
        if accepts(self._model, "position_ids"):
            named["position_ids"] = positions.expand(-1, self._cuts)  # all variants write at the same place
        with _Step(self._parts, self._keep, written, self._skip, {self._shared: self._own}).hooks():
            logits: Tensor = self._model(tokens, **named).logits
        self._clock[0] += 1
        return logits


class _Step:
    """The hooks of one decoding step."""

    def __init__(
        self, parts: Anatomy, keep: Bool[Tensor, "B T"], written: int, skip: bool, caches: dict[Any, Any]
    ) -> None:
        self._parts, self._skip, self._caches = parts, skip, caches
        self._tokens, self._written, self._cuts = keep.shape[1], written, parts.num_layers + 1
        self._new = torch.arange(self._tokens, self._tokens + written + 1, device=keep.device)  # [written + 1]
        present = present_tokens(keep)
        keys = torch.cat([present.index, self._new.expand(present.index.shape[0], -1)], dim=1)  # [1|B, P + written + 1]
        filler = None if present.filler is None else torch.nn.functional.pad(present.filler, (0, written + 1))
        self._own_sight = self._sight(1, keys, filler)
        self._own_named: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, Any]]] = {}
        self._repeated = Repeated(parts.num_layers, keep.shape[0])
        self._call: LayerCall | None = None

    def _sight(self, queries: int, keys: Tensor, filler: Tensor | None) -> Sight:
        # Every variant stands where an ordinary decoding step would: at the first place of this call.
        first = Present(torch.zeros(1, queries, dtype=torch.long, device=keys.device), None)
        return Sight(first, keys, filler, self._tokens + self._written, self._cuts)

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
            named = self._sight(variants, keys, None).narrow(call)
            own = torch.eye(variants, dtype=torch.bool, device=keys.device).repeat(1, self._written + 1)
            others = torch.nn.functional.pad(~own, (self._tokens, 0))  # [V, S]
            named["attention_mask"] = hide(named["attention_mask"], others.to(call.hidden.device))
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
                rows = first_tensor(layer(rows, **other_caches(named, self._caches)))
                waiting = rows.view(index + 1, -1, rows.shape[-1]).transpose(0, 1)
            self._call = None
            return like_output(output, torch.cat([waiting, first_tensor(output)], dim=1))  # [B, C, D]

        return after

    def _narrow(self, call: LayerCall) -> dict[str, Any]:
        key = tuple((name, id(value)) for name, value in call.named.items())
        if key not in self._own_named:
            # The arguments are kept beside the result: an id is only unique as long as its object lives.
            self._own_named[key] = (call.named, self._own_sight.narrow(call))
        return self._own_named[key][1]
