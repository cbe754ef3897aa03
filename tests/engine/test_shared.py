"""Attention to shared and own keys is attention to both joined, whatever the heads, masks, caps and sinks.

Shapes: B rows, R contexts, H heads, K key heads, L queries, S shared keys, O own keys, D head size.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import family
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.cache_utils import Cache

from taskpoint.engine.paths import shared_keys as shared
from taskpoint.engine.paths.shared_keys import ATTENTION, CacheState, RoomyLayer, SharedLayer, shared_attention, sharing
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import with_cache

D = 4


def joined_attention(
    query: Tensor, keys: Tensor, values: Tensor, seen: Tensor, softcap: float | None, sinks: Tensor | None
) -> Tensor:
    """The definition, head by head, on keys that were repeated and joined before. [B, L, H, D]"""
    out = torch.empty_like(query)
    group = query.shape[1] // keys.shape[1]
    for head in range(query.shape[1]):
        scores = query[:, head] @ keys[:, head // group].transpose(1, 2) / D**0.5  # [B, L, S + O]
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        scores = scores.masked_fill(~seen[:, 0], float("-inf"))
        if sinks is not None:
            scores = torch.cat([scores, sinks[head].expand(*scores.shape[:2], 1)], dim=-1)
        weights = scores.softmax(-1)[..., : keys.shape[2]]
        out[:, head] = weights @ values[:, head // group]
    return out.transpose(1, 2)


@settings(max_examples=60, deadline=None)
@given(
    contexts=st.integers(1, 3),
    rows=st.integers(1, 3),
    group=st.integers(1, 3),
    shared_keys=st.integers(0, 5),
    before=st.integers(0, 3),
    length=st.integers(1, 4),
    softcap=st.sampled_from([None, 2.0]),
    sinks=st.booleans(),
    additive=st.booleans(),
    all_seen=st.booleans(),
    most=st.sampled_from([1, 40, 2**26]),
    seed=st.integers(0, 99),
)
def test_shared_keys_read_apart_equal_joined_ones(
    contexts: int,
    rows: int,
    group: int,
    shared_keys: int,
    before: int,
    length: int,
    softcap: float | None,
    sinks: bool,
    additive: bool,
    all_seen: bool,
    most: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    batch, heads, own = contexts * rows, 2 * group, before + length
    query = torch.randn(batch, heads, length, D)
    context = [torch.randn(contexts, 2, shared_keys, D) for _ in range(2)]
    added = [torch.randn(batch, 2, own, D) for _ in range(2)]
    sink = torch.randn(heads) if sinks else None
    seen = torch.rand(batch, 1, length, shared_keys + own) < 0.6
    if all_seen:
        seen[..., :shared_keys] = True
    seen[..., -length:] &= torch.ones(length, length, dtype=torch.bool).tril()
    seen[..., -length:] |= torch.eye(length, dtype=torch.bool)  # a token always sees itself
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min) if additive else seen

    layer = SharedLayer(CacheState(shared_keys, apart=True), context[0], context[1])
    keys, values = layer.update(added[0], added[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "_MOST_SCORES", most)  # rows in one part, or each in its own
        read, weights = shared_attention(
            nn.Module(), query, keys, values, mask, D**-0.5, softcap=softcap, s_aux=sink, sliding_window=3
        )
    everything = [torch.cat([c.repeat_interleave(rows, 0), a], 2) for c, a in zip(context, added, strict=True)]
    assert weights is None
    assert torch.allclose(read, joined_attention(query, *everything, seen, softcap, sink), atol=1e-5)


def test_without_a_mask_shared_keys_are_seen_and_own_ones_causally() -> None:
    torch.manual_seed(0)
    query, context, own = torch.randn(2, 2, 3, D), torch.randn(2, 1, 2, 4, D), torch.randn(2, 2, 2, 5, D)
    keys, values = SharedLayer(CacheState(4, apart=True), *context).update(*own)
    read, _ = shared_attention(nn.Module(), query, keys, values, None)
    seen = torch.ones(2, 1, 3, 9, dtype=torch.bool).tril(6)
    everything = [torch.cat([c.expand(2, -1, -1, -1), a], 2) for c, a in zip(context, own, strict=True)]
    assert torch.allclose(read, joined_attention(query, *everything, seen, None, None), atol=1e-5)


@given(calls=st.lists(st.integers(1, 40), min_size=1, max_size=8), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_roomy_layer_holds_what_was_added_also_after_rows_left(calls: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    layer, held = RoomyLayer(CacheState()), torch.empty(3, 2, 0, D)
    for length in calls:
        new = torch.randn(len(held), 2, length, D)
        held = torch.cat([held, new], dim=2)
        keys, values = layer.update(new, -new)
        assert torch.equal(keys, held)
        assert torch.equal(values, -held)
        if length > 30 and len(held) > 1:
            layer.take_rows(torch.tensor([1, 0]))
            held = held[[1, 0]]
            assert torch.equal(layer.keys, held)


def test_a_layer_whose_attention_passed_the_context_over_is_found_out() -> None:
    layer = SharedLayer(CacheState(4, apart=True), torch.randn(1, 2, 4, D), torch.randn(1, 2, 4, D))
    layer.update(torch.randn(1, 2, 1, D), torch.randn(1, 2, 1, D))
    with pytest.raises(ModelError, match="passed the shared context over"):
        layer.check()
    with pytest.raises(ModelError, match="passed the shared context over"):
        layer.update(torch.randn(1, 2, 1, D), torch.randn(1, 2, 1, D))


def test_a_bias_on_positions_is_refused() -> None:
    with pytest.raises(ModelError, match="bias on positions"):
        shared_attention(nn.Module(), *torch.randn(3, 1, 1, 1, D), None, position_bias=torch.zeros(1))


def test_the_attention_of_the_model_is_put_back_also_after_an_exception() -> None:
    parts = anatomy(family("llama"))
    before = parts.config._attn_implementation

    def fail(name: str) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError), sharing(parts, CacheState(apart=True)):
        fail(parts.config._attn_implementation)
    assert parts.config._attn_implementation == before
    with sharing(parts, CacheState(apart=True)):
        assert parts.config._attn_implementation == ATTENTION


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_padding_between_context_and_query_moves_no_window(name: str) -> None:
    """A window counted by cache index would reach less far into the context for padded rows."""
    model: Any = family(name)
    parts = anatomy(model)
    torch.manual_seed(0)
    ids = torch.randint(3, 90, (1, 12))
    with torch.inference_mode():
        expected = model(ids).logits[0, -1]
        plain: list[Any] = [RoomyLayer(CacheState()) for _ in parts.layers]
        model(ids[:, :8], **with_cache(model, Cache(layers=list(plain))), use_cache=True)
        state = CacheState(8, apart=True)
        layers = [SharedLayer(state, layer.keys, layer.values) for layer in plain]
        padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids[:, 8:]], dim=1)
        with sharing(parts, state):
            read = model(
                padded,
                attention_mask=torch.tensor([[1] * 8 + [0] * 3 + [1] * 4]),
                position_ids=torch.tensor([[8, 8, 8, 8, 9, 10, 11]]),
                **with_cache(model, Cache(layers=list(layers))),
                use_cache=True,
            ).logits[0, -1]
    assert (read - expected).abs().max() <= 1e-4
