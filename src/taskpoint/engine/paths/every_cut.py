"""The hooks of a sweep: every cut in one forward call.

The ordinary pass, the base, runs through all layers inside the model's own forward. At layer i the variant r = i starts
as a copy of its present tokens, and all started variants go through layer i together; after the last layer they come
back in the token axis, so that the model's own norm and head serve all of them. The cost grows with N/2 times the
present tokens, not with N times the prompt.

Shapes: B batch, T tokens, P present tokens, V started variants, C cuts (N + 1), D width, N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import ROWLESS, LayerCall, Sight, first_tensor, like_output, read_call
from taskpoint.engine.calls.forward import hooked, under_cut
from taskpoint.engine.calls.memo import Memo
from taskpoint.engine.paths.sweep_context import SweepContext
from taskpoint.engine.plan import Present, present_tokens
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import Cache, inputs_for, with_cache


def logits_of_every_cut(
    model: nn.Module,
    parts: Anatomy,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None,
    *,
    last: int,
    skip: bool = False,
    context: SweepContext | None = None,
    lone: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B cuts last vocab"]:
    """Every cut in one pass; arguments as for `sweep_last_logits`."""
    cuts = parts.num_layers + 1
    input_ids, drop, attention_mask, lone = room_for(cuts * last, input_ids, drop, attention_mask, lone)
    keep = ~drop if attention_mask is None else ~drop & attention_mask.bool()
    if context is None:
        with EveryCut(parts, keep, last, skip, lone=lone).hooks():
            logits: Tensor = model(input_ids, **inputs_for(model, attention_mask, cuts * last)).logits
    else:
        caches = context.caches()
        every_cut = EveryCut(parts, keep, last, skip, {caches.base: caches.own}, context, lone)
        with every_cut.hooks(), caches.attention(parts):
            named = context.inputs_for(model, attention_mask, input_ids.shape, cuts * last)
            logits = model(input_ids, **named | with_cache(model, caches.base) | {"use_cache": True}).logits
    return logits[:, -cuts * last :].view(logits.shape[0], cuts, last, -1)


def room_for(
    places: int, input_ids: Tensor, drop: Tensor, attention_mask: Tensor | None, lone: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Pads short prompts on the left, because the variants come back in the token axis."""
    lacking = places - input_ids.shape[1]
    if lacking <= 0:
        return input_ids, drop, attention_mask, lone
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)

    def padded(tensor: Tensor) -> Tensor:
        return torch.nn.functional.pad(tensor, (lacking, 0))

    return padded(input_ids), padded(drop), padded(attention_mask), None if lone is None else padded(lone)


def other_caches(named: dict[str, Any], caches: Mapping[Any, Any]) -> dict[str, Any]:
    """The arguments of a layer call with its cache exchanged; families name that argument differently."""
    return {name: caches.get(value, value) if isinstance(value, Cache) else value for name, value in named.items()}


def stored_keys(present: Present, context: SweepContext | None) -> tuple[Tensor, Tensor | None]:
    """Positions of the keys that a cut layer holds after the prompt, and which of them are fillers. [1|B, S] each."""
    if context is None:
        return present.index, present.filler
    index = present.index + context.length  # [1|B, P]
    kept = context.kept.to(index.device).expand(index.shape[0], -1)
    filler = present.filler
    if filler is not None:
        filler = torch.nn.functional.pad(filler, (kept.shape[1], 0))
    return torch.cat([kept, index], dim=1), filler


def lone_keys(present: Present, lone: Tensor | None, context: SweepContext | None) -> Tensor | None:
    """True for those of the stored keys that no later token sees. [1|B, S]."""
    if lone is None:
        return None
    kept = 0 if context is None else len(context.kept)
    return torch.nn.functional.pad(present.take(lone), (kept, 0))


class Repeated:
    """Arguments of one layer call, repeated for the variants; repeated once and sliced, because layers share them."""

    def __init__(self, variants: int, rows: int) -> None:
        self._variants, self._rows = variants, rows
        self._made: Memo[Tensor] = Memo()

    def take(self, named: dict[str, Any], variants: int) -> dict[str, Any]:
        """The arguments for a number of variants, one after the other in the first axis."""
        return {name: value if name in ROWLESS else self._one(value, variants) for name, value in named.items()}

    def _one(self, value: Any, variants: int) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(self._one(part, variants) for part in value)
        if not isinstance(value, Tensor):
            return value
        if value.shape[0] == 1:  # one row serves all, but some families insist on a mask for each
            return value.expand(variants * self._rows, -1, -1, -1) if value.ndim == 4 else value
        repeated = self._made.get((value,), lambda: value.repeat(self._variants, *[1] * (value.ndim - 1)))
        return repeated[: variants * value.shape[0]]


class EveryCut:
    """One forward call that computes all variants."""

    def __init__(
        self,
        parts: Anatomy,
        keep: Bool[Tensor, "B T"],
        last: int,
        skip: bool,
        caches: Mapping[Any, Any] | None = None,
        context: SweepContext | None = None,
        lone: Bool[Tensor, "B T"] | None = None,
    ) -> None:
        """Keeps some tokens of the prompt; the variants come back at the `last` positions (0: nowhere).

        `skip` is early exit instead of a cut; `caches` has the variants' cache by the base's; `context` stands
        before the prompt and was read before; `lone` as for `sweep_generate`.
        """
        self._parts, self._last, self._skip = parts, last, skip
        self._caches = caches or {}
        self._present = present_tokens(keep, parts.rows_share_bias)
        self._tokens = keep.shape[1]
        self._past = context.length if context is not None else 0
        self._keys, self._filler = stored_keys(self._present, context)
        self._lone = lone_keys(self._present, lone, context)
        self._variants: Tensor | None = None  # [V * B, P, D], r = 0 first
        self._repeated = Repeated(parts.num_layers, keep.shape[0])
        self._narrowed: Memo[dict[str, Any]] = Memo()
        self._inside = False

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Hooks the layers for the length of the block."""
        with ExitStack() as stack:
            stack.enter_context(under_cut(self._parts))
            for index, layer in enumerate(self._parts.layers):
                stack.enter_context(hooked(layer, after=self._continue(index)))
            yield

    def _continue(self, index: int) -> Any:
        def after(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            if self._inside:
                return None
            call = read_call(layer, args, kwargs)
            started = call.hidden[:, -self._last :] if self._skip else self._present.take(call.hidden)
            variants = started if self._variants is None else torch.cat([self._variants.to(started.device), started])
            if not self._skip:
                self._inside = True
                try:
                    narrowed = self._narrow(call, self._parts.index_window(index))
                    named = other_caches(call.named | self._repeated.take(narrowed, index + 1), self._caches)
                    variants = first_tensor(layer(variants, **named))  # [V * B, P, D]
                finally:
                    self._inside = False
            self._variants = variants
            ends = self._last > 0 and index == self._parts.num_layers - 1
            return self._give_back(output) if ends else None

        return after

    def _narrow(self, call: LayerCall, window: int | None) -> dict[str, Any]:
        def narrow() -> dict[str, Any]:
            hides = self._parts.facts.mask_hides
            sight = Sight(self._present, self._keys, self._filler, self._past, self._tokens, window, hides, self._lone)
            return sight.narrow(call)

        return self._narrowed.get(call.named.values(), narrow, window, *call.named)

    def _give_back(self, output: Any) -> Any:
        """The last hidden states of all variants in the last places of the base's token axis."""
        base = first_tensor(output)  # [B, T, D]
        variants = self._variants
        if variants is None:
            raise PlanError("the model ran no layer; a sweep needs at least one")
        if not self._skip:
            variants = self._present.put_back_last(variants, self._tokens, self._last)
        ends = torch.cat([variants.to(base.device), base[:, -self._last :]])  # [C * B, last, D]
        ends = ends.unflatten(0, (-1, base.shape[0])).transpose(0, 1).flatten(1, 2)  # [B, C * last, D]
        return like_output(output, torch.cat([base[:, : -ends.shape[1]], ends], dim=1))
