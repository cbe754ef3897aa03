"""A context that a whole test set shares, read once for every cut.

Layers below a cut see all of it, layers above the kept tokens alone. Where all kept tokens stand before the hidden ones
they never see these, and their keys are the same under every cut; otherwise each cut has its own.

Shapes: B rows, T tokens of the context, P kept ones, L tokens of one call, K key heads, D head size, R cuts with keys
of their own (1 where all agree), N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from taskpoint.engine.paths.shared_keys import CacheState, RoomyLayer, SharedLayer, sharing
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import Cache, accepts, inputs_for, true_positions

Keys = tuple[Tensor, Tensor]
"""Keys and values of one layer. [R, K, tokens, D] each"""


@dataclass(frozen=True, eq=False)
class SweepContext:
    """A context as the sweeps of its queries need it; made by `read_context`.

    Attributes:
        tokens: its tokens.
        drop: True for those that are hidden above a cut.
        base: by layer, keys and values of all tokens; None where rows cannot share them on this model, so that sweeps
            read the context with each row.
        own: by layer, keys and values of the kept tokens under each cut that has begun there. [R, K, P, D] each
        ablated: `own` is of removed attentions instead of cuts.
    """

    tokens: Int[Tensor, " T"]
    drop: Bool[Tensor, " T"]
    base: tuple[Keys, ...] | None
    own: tuple[Keys, ...] | None
    ablated: bool = False

    def check(self, ablated: bool) -> None:
        """Refuses, by a PlanError, a context that was read for another kind of sweep."""
        if self.ablated != ablated:
            kinds = ("cuts", "removed attentions") if ablated else ("removed attentions", "cuts")
            raise PlanError(
                f"the context was read for {kinds[0]}, and this is a sweep of {kinds[1]}; read it by read_context with"
                f"{'' if ablated else 'out'} `removed`"
            )

    @property
    def length(self) -> int:
        """Number of tokens, T."""
        return len(self.tokens)

    @property
    def kept(self) -> Int[Tensor, " P"]:
        """Positions of the kept tokens."""
        return (~self.drop).nonzero()[:, 0]

    def caches(self) -> SweepCaches:
        """New caches for rows that continue the context."""
        state = CacheState(self.length, apart=True)
        base, own = self.base or (), self.own or ()
        return SweepCaches(
            state, [SharedLayer(state, *keys) for keys in base], [SharedLayer(state, *keys) for keys in own]
        )

    def inputs_for(
        self, model: nn.Module, attention_mask: Tensor | None, shape: torch.Size, last: int
    ) -> dict[str, Any]:
        """Arguments of a call, [B, L] = `shape`, that follows the context; others as for the library's `inputs_for`."""
        named = inputs_for(model, None, last)
        if attention_mask is not None:
            named["attention_mask"] = torch.nn.functional.pad(attention_mask, (self.length, 0), value=1)
        if accepts(model, "position_ids"):
            own = torch.arange(shape[1], device=self.tokens.device).expand(shape)
            named["position_ids"] = self.length + (own if attention_mask is None else true_positions(attention_mask))
        return named

    def whole(
        self, input_ids: Tensor, drop: Tensor, attention_mask: Tensor | None, lone: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """The prompts with the context in front of each: padding, context, tokens. [B, T + L] each."""
        rows = input_ids.shape[0]
        ids = torch.cat([self.tokens.expand(rows, -1), input_ids], dim=1)
        gone = torch.cat([self.drop.expand(rows, -1), drop], dim=1)
        alone = None if lone is None else torch.nn.functional.pad(lone, (self.length, 0))
        if attention_mask is None:
            return ids, gone, None, alone
        seen = torch.nn.functional.pad(attention_mask, (self.length, 0), value=1)
        order = seen.argsort(dim=1, stable=True)  # padding first, everything else in its order
        alone = None if alone is None else alone.gather(1, order)
        return ids.gather(1, order), gone.gather(1, order) & seen.gather(1, order).bool(), seen.gather(1, order), alone


class SweepCaches:
    """The caches of one sweep: the ordinary pass's (base), and the one of all variants (own)."""

    def __init__(self, state: CacheState, base_layers: Sequence[RoomyLayer], own_layers: Sequence[RoomyLayer]) -> None:
        self.state = state
        self.base_layers, self.own_layers = tuple(base_layers), tuple(own_layers)
        self.base, self.own = Cache(layers=list(base_layers)), Cache(layers=list(own_layers))

    @contextmanager
    def attention(self, parts: Anatomy) -> Iterator[None]:
        """Lets the layers read a shared context apart for the length of the block, and makes sure that they did."""
        with sharing(parts, self.state):
            yield
        for layer in (*self.base_layers, *self.own_layers):
            layer.check()
