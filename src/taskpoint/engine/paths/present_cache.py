"""Cache layers that hold present tokens only, and still tell the library the true lengths.

Shapes: B batch, S stored keys, P present tokens of one call, H heads, D head size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from taskpoint.engine.plan import Present
from taskpoint.errors import PlanError
from taskpoint.models.library import Cache, DynamicLayer, DynamicSlidingWindowLayer


@dataclass
class PresentKeys:
    """Which keys the cut layers of one cache hold; one for all of them, because one cut treats them alike.

    Attributes:
        seen: tokens that the cache has seen, hidden ones counted.
        positions: of every stored key in the text. [1|B, S]
        filler: True for stored keys that only fill a row; None when there are none. [B, S]
    """

    seen: int = 0
    positions: Tensor = field(default_factory=lambda: torch.zeros(1, 0, dtype=torch.long))
    filler: Tensor | None = None

    def after(self, call: Present, length: int) -> PresentKeys:
        """The keys that are held once a call of `length` tokens, some of them present, has been stored."""
        index = call.index + self.seen  # [1|B, P]
        positions, index = _same_rows(self.positions.to(index.device), index)
        filler = None
        if self.filler is not None or call.filler is not None:
            rows = (self.filler if self.filler is not None else call.filler).shape[0]  # type: ignore[union-attr]
            filler = torch.cat([_filler(self.filler, rows, positions), _filler(call.filler, rows, index)], dim=1)
        return PresentKeys(self.seen + length, torch.cat([positions, index], dim=1), filler)


def _same_rows(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    rows = max(a.shape[0], b.shape[0])
    return a.expand(rows, -1), b.expand(rows, -1)


def _filler(filler: Tensor | None, rows: int, like: Tensor) -> Tensor:
    if filler is not None:
        return filler.to(like.device)
    return torch.zeros(rows, like.shape[1], dtype=torch.bool, device=like.device)


@dataclass(eq=False)
class CutCacheState:
    """What all cut layers of one cache share.

    Attributes:
        keys: what they hold.
        open: a call under the cut is running; without one nothing may be stored, because it would not be narrowed.
        storing: the tokens to store of a layer that runs for all of them; None while layers run for these alone.
    """

    keys: PresentKeys = field(default_factory=PresentKeys)
    open: bool = False
    storing: Present | None = None


class PresentLayer(DynamicLayer):
    """A cache layer above the cut: stores present tokens, reports the lengths that it would have without the cut.

    The true lengths keep positions and masks right, also when this is layer 0, of which the library asks them.
    """

    is_croppable = False

    def __init__(self, state: CutCacheState, window: int | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.state = state
        # The library chooses the mask of a layer type by this flag; the mask itself then holds the window.
        self.is_sliding = window is not None
        # Counted in present tokens, these reach at least as far as the window does in positions.
        self._remembered = None if window is None else max(0, window - 1)

    def remembers(self, keys: int) -> int:
        """How many of the keys before a call it still holds; no more than a window, as the library's own layer."""
        return keys if self._remembered is None else min(keys, self._remembered)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Stores the present tokens of the running call; a PlanError where the cut is over."""
        if not self.state.open:
            raise PlanError("the cache was filled under a cut that is over; continue inside cut_context, or anew")
        keys, values = super().update(key_states, value_states, *args, **kwargs)
        stored = keys, values
        if self.state.storing is not None:
            stored = self._some(keys, key_states.shape[-2]), self._some(values, key_states.shape[-2])
        first = stored[0].shape[-2] - self.remembers(stored[0].shape[-2])
        if first or self.state.storing is not None:
            self.keys, self.values = (part[..., first:, :] for part in stored)
        return keys, values

    def _some(self, states: Tensor, length: int) -> Tensor:
        """Of the last `length` tokens those that are to be stored, behind all earlier ones. [B, H, S, D]."""
        before, new = states[..., :-length, :], states[..., -length:, :].transpose(1, 2)
        present = self.state.storing
        return states if present is None else torch.cat([before, present.take(new).transpose(1, 2)], dim=-2)

    def get_seq_length(self) -> int:
        """Tokens seen before the running call, hidden ones counted."""
        return self.state.keys.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys, hidden ones counted, and the position of the first."""
        return self.get_seq_length() + query_length, 0

    def reset(self) -> None:
        """Forgets everything."""
        # Not the library's reset, which in older versions writes zeros over the keys and keeps their number.
        self.keys = self.values = None
        self.is_initialized = False
        self.state.keys = PresentKeys()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Moves the beams of a prompt; they share the prompt's row of the plan, so the positions stay as they are."""
        if self.is_initialized:  # some families' upper layers read the keys of lower ones and store none
            super().reorder_cache(beam_idx)  # type: ignore[arg-type]

    def crop(self, tokens_to_remove: Any) -> None:
        """Refused: which stored keys belong to the last tokens depends on the cut."""
        raise PlanError(
            "a cache under a cut cannot be cropped (assisted decoding is not supported); generate without it"
        )

    def batch_select_indices(self, indices: Tensor) -> None:
        """Refused: the plan's rows would no longer be the batch's rows."""
        raise PlanError("rows of a cache under a cut cannot be selected; generate without contrastive search")

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Refused: the plan's rows would no longer be the batch's rows."""
        raise PlanError("rows of a cache under a cut cannot be repeated; repeat those of the prompt and of drop")


def check_cache(cache: Any) -> None:
    """Refuses, by a PlanError, caches of others, and layers that do more than to keep what they are given."""
    if cache is None:
        return
    known = (DynamicLayer, DynamicSlidingWindowLayer, PresentLayer)
    other = [type(layer).__name__ for layer in getattr(cache, "layers", ()) if type(layer) not in known]
    if not isinstance(cache, Cache) or other:
        raise PlanError(
            f"a cache of type {type(cache).__name__}{f' with layers {other[0]}' if other else ''} is not supported "
            "under a cut; use the default dynamic cache (cache_implementation=None) of a model whose layers all attend"
        )


def prepare_cache(cache: Any, num_layers: int, after: int) -> CutCacheState:
    """Replaces the layers of a cache from `after` on by present layers, at its first use; gives what these share.

    Raises:
        PlanError: the cache is not supported, holds tokens that came in outside the cut, or belongs to another cut.
    """
    check_cache(cache)
    held = [(index, layer) for index, layer in enumerate(cache.layers) if isinstance(layer, PresentLayer)]
    if held:
        first, layer = held[0]
        if first != after:
            raise PlanError(
                f"the cache was filled under a cut after layer {first}, not {after}; start with a new cache"
            )
        return layer.state
    check_empty(cache)
    state = CutCacheState()
    while len(cache.layers) < num_layers:
        cache.layers.append(DynamicLayer())
    for index in range(after, num_layers):
        cache.layers[index] = PresentLayer(state, getattr(cache.layers[index], "sliding_window", None))
    return state


def check_empty(cache: Cache) -> None:
    """Refuses, by a PlanError, a cache that holds tokens, where a cut would have to start with it."""
    if cache.get_seq_length() > 0:
        raise PlanError("the cache already holds tokens that were read outside this cut; start with a new cache")
