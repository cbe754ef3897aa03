"""Keys and values of a context that many rows share, attended to without a copy for each row.

A cache layer holds the shared keys once, and beside them what each row adds. Attention multiplies the shared keys with
the queries of all rows in one product, every row's own keys with that row's queries, and merges the two under one
softmax by their log-sum-exp. Families that do not call the library's attention interface get both joined instead: the
same result, with a copy of the context for each row while a layer runs.

Shapes: B rows, R contexts (the B / R rows of one context are neighbours), H heads, K key heads, L tokens of one call,
S shared keys, O own keys, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from taskpoint.engine.calls.memo import Memo
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicLayer,
    attending_as,
    sdpa_mask,
)

ATTENTION = "taskpoint_shared"
"""The name under which the library's attention interface knows `shared_attention`."""

# Scores that are held at once; more rows are done one part after the other (256 MiB in float32).
_MOST_SCORES = 2**26


@dataclass(eq=False)
class CacheState:
    """What the layers of one cache share.

    Attributes:
        length: tokens before the running call, hidden ones counted.
        apart: attention takes shared and own keys apart (`sharing`); otherwise they are joined.
    """

    length: int = 0
    apart: bool = False

    def __post_init__(self) -> None:
        self._all_seen: Memo[bool] = Memo()

    def all_seen(self, mask: Tensor, keys: int) -> bool:
        """Whether every query sees each of the first `keys` keys; asked once of a mask that layers share."""
        return self._all_seen.get((mask,), lambda: bool(_is_seen(mask[..., :keys]).all()), keys)


class RoomyLayer(DynamicLayer):
    """A cache layer with room for what comes: nothing is copied when a token is added.

    The library's layer copies everything at every token; a decoded sweep would pay that for each variant.
    """

    def __init__(self, state: CacheState) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.state = state
        self._room: tuple[Tensor, Tensor] | None = None
        self._used = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Adds a call's keys and values; gives back all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used = self._used + key_states.shape[-2]
        if self._room is None or used > self._room[0].shape[-2]:
            self._room = (self._grown(0, key_states, used), self._grown(1, value_states, used))
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[..., self._used : used, :] = states
        self._used = used
        self.keys, self.values = (room[..., :used, :] for room in self._room)
        return self.keys, self.values

    def _grown(self, which: int, states: Tensor, used: int) -> Tensor:
        # The first call is the prompt; decoding then adds a token at a time.
        capacity = used if self._room is None else used + max(32, used // 2)
        grown = states.new_empty(*states.shape[:-2], capacity, states.shape[-1])
        if self._room is not None:
            grown[..., : self._used, :] = self._room[which][..., : self._used, :]
        return grown

    def take_rows(self, rows: Tensor) -> None:
        """Keeps some rows of the batch alone."""
        if self._room is not None:
            room = self._room
            self._room = (room[0].index_select(0, rows), room[1].index_select(0, rows))
            self.keys, self.values = (part[..., : self._used, :] for part in self._room)

    def check(self) -> None:
        """Does nothing: no keys stand apart, so none can be passed over."""

    def get_seq_length(self) -> int:
        """Tokens seen before the running call, hidden ones counted."""
        return self.state.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys, hidden ones counted, and the position of the first."""
        return self.state.length + query_length, 0


class SharedLayer(RoomyLayer):
    """A cache layer whose rows share a context: its keys and values. [R, K, S, D] each."""

    def __init__(self, state: CacheState, keys: Tensor, values: Tensor) -> None:
        super().__init__(state)
        self.context = (keys, values)
        self.waiting = False

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Adds a call's keys and values; gives back the own ones, marked, or all of them joined."""
        self.check()
        own = super().update(key_states, value_states)
        if self.state.apart:
            own[0].taskpoint_shared = self  # type: ignore[attr-defined]
            self.waiting = True
            return own
        rows = own[0].shape[0]
        joined = [
            torch.cat([context.repeat_interleave(rows // context.shape[0], 0), states], dim=-2)
            for context, states in zip(self.context, own, strict=True)
        ]
        return joined[0], joined[1]

    def check(self) -> None:
        """Refuses, by a ModelError, attention that read own keys alone."""
        if self.waiting:
            raise ModelError("a layer's attention passed the shared context over; this family cannot share a context")


@contextmanager
def sharing(parts: Anatomy, state: CacheState) -> Iterator[None]:
    """Lets the layers attend to shared keys apart, for the length of the block, where the cache says so."""
    if not state.apart:
        yield
        return
    AttentionInterface.register(ATTENTION, shared_attention)
    AttentionMaskInterface.register(ATTENTION, _mask)
    with attending_as(ATTENTION, parts.config, parts.layers.modules()):
        yield


def _mask(
    *args: Any, mask_function: Callable[..., Tensor], attention_mask: Tensor | None = None, **kwargs: Any
) -> Tensor | None:
    """The library's boolean mask, always written out, with distances that padding does not stretch.

    Padding stands between a shared context and a shorter query; a window must not be measured across it.
    """
    if attention_mask is not None:
        positions = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)  # [B, S + O]
        by_index = mask_function

        def mask_function(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return by_index(batch, head, positions[batch, query], positions[batch, key]) & (key <= query)

    named = kwargs | {"mask_function": mask_function, "attention_mask": attention_mask, "allow_is_causal_skip": False}
    mask: Tensor | None = sdpa_mask(*args, **named)
    return mask


def shared_attention(
    module: nn.Module,
    query: Float[Tensor, "B H L D"],
    key: Float[Tensor, "B K O D"],
    value: Float[Tensor, "B K O E"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "B L H E"], None]:
    """Attention in the form of the library's interface, over shared and own keys; gives no weights.

    `key` is marked with the cache layer that holds the shared keys. The mask, boolean or additive, is over these, then
    over own keys [1|B, 1|H, L, S + O]; with None all shared keys are seen, own ones causally. `scaling` is by default
    one over the root of D; `softcap` bounds scores (Gemma 2); `s_aux` has by head the score for attending to nothing
    (GPT-OSS). Windows are in the mask already.

    Raises:
        ModelError: a bias on positions is passed, which is not supported.
    """
    if kwargs.get("position_bias") is not None:
        raise ModelError("attention with a bias on positions cannot share a context")
    layer: SharedLayer | None = getattr(key, "taskpoint_shared", None)
    attention = SharedAttention(scaling if scaling is not None else query.shape[-1] ** -0.5, softcap, s_aux)
    if layer is None:
        read = attention.read(query, key, value, attention_mask)
    else:
        layer.waiting = False
        read = attention.read_shared(query, key, value, attention_mask, layer)
    return read.transpose(1, 2), None


@dataclass(frozen=True, eq=False)
class SharedAttention:
    """How queries and keys become weights; attributes as for `shared_attention`."""

    scaling: float
    softcap: float | None
    sinks: Tensor | None

    def read(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention to own keys alone. -> [B, H, L, E]."""
        mask = _causal(query, key.shape[2]) if mask is None and query.shape[2] > 1 else mask
        if self.softcap is None and self.sinks is None:
            grouped = query.shape[1] != key.shape[1]
            return torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, scale=self.scaling, enable_gqa=grouped
            )
        read, lse = self._part(query, key, value, mask)
        return self._with_sinks(read, lse).to(query.dtype)

    def read_shared(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, layer: SharedLayer) -> Tensor:
        """Attention to shared and own keys. -> [B, H, L, E]."""
        keys, values = (part.to(query.device) for part in layer.context)  # [R, K, S, D]
        contexts, shared = keys.shape[0], keys.shape[2]
        if not shared:
            return self.read(query, key, value, mask)
        rows = query.shape[0] // contexts
        hidden = None
        own = _causal(query, key.shape[2]) if mask is None and query.shape[2] > 1 else None
        if mask is not None:
            own = mask[..., shared:]
            hidden = None if layer.state.all_seen(mask, shared) else mask[..., :shared]
        read, lse = self._part(query, key, value, own)
        together = query.unflatten(0, (contexts, rows)).transpose(1, 2)  # [R, H, B/R, L, D]
        if hidden is not None:
            hidden = hidden.expand(query.shape[0], -1, -1, -1).unflatten(0, (contexts, rows)).transpose(1, 2)
        step = max(1, _MOST_SCORES // max(1, contexts * query.shape[1] * query.shape[2] * shared))
        reads, sums = [], []
        for start in range(0, rows, step):
            some = together[:, :, start : start + step]
            seen = None if hidden is None else hidden[:, :, start : start + step].flatten(2, 3)
            part, log = self._part(some.flatten(2, 3), keys, values, seen)  # [R, H, rows * L, E]
            reads.append(part.unflatten(2, some.shape[2:4]))
            sums.append(log.unflatten(2, some.shape[2:4]))
        other = torch.cat(reads, 2).transpose(1, 2).flatten(0, 1)  # [B, H, L, E]
        other_lse = torch.cat(sums, 2).transpose(1, 2).flatten(0, 1)
        merged = torch.lerp(read, other, torch.sigmoid(other_lse - lse))
        return self._with_sinks(merged, torch.logaddexp(lse, other_lse)).to(query.dtype)

    def _with_sinks(self, read: Tensor, lse: Tensor) -> Tensor:
        if self.sinks is None:
            return read
        return read * torch.sigmoid(lse - self.sinks.float().view(1, -1, 1, 1))

    def _part(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the queries read from some keys, in float32, and the log-sum-exp of their scores.

        In place, because it is 3 to 4 times faster than softmax over joined scores (400 shared keys, 2 cores).
        """
        heads, groups = query.shape[1], query.shape[1] // key.shape[1]
        length = query.shape[2]
        if groups > 1:
            query = query.unflatten(1, (-1, groups)).flatten(2, 3)  # [B, K, G * L, D]
        scores = torch.matmul(query * self.scaling, key.transpose(-1, -2)).float()  # [B, K, G * L, keys]
        scores = scores.reshape(scores.shape[0], heads, length, scores.shape[-1])
        if self.softcap is not None:
            scores = scores.div_(self.softcap).tanh_().mul_(self.softcap)
        if mask is not None:
            # A lowest number and not infinity: a part of which a query sees nothing then weighs nothing when merged.
            low = torch.finfo(torch.float32).min / 2
            scores = scores.masked_fill_(~mask, low) if mask.dtype == torch.bool else scores.add_(mask).clamp_(low)
        largest = scores.amax(-1, keepdim=True)
        weights = scores.sub_(largest).exp_()
        total = weights.sum(-1, keepdim=True)
        weights = weights.to(value.dtype).reshape(weights.shape[0], key.shape[1], groups * length, weights.shape[-1])
        read = torch.matmul(weights, value).reshape(weights.shape[0], heads, length, value.shape[-1])
        return read.float().div_(total), largest.add_(total.log_())


def _causal(query: Tensor, keys: int) -> Tensor:
    length = query.shape[2]
    own = torch.ones(length, keys, dtype=torch.bool, device=query.device)
    return own.tril(keys - length)[None, None]


def _is_seen(mask: Tensor) -> Tensor:
    return mask if mask.dtype == torch.bool else mask == 0
