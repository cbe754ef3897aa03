from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.analysis.costs.cost import prefill_cost
from taskpoint.analysis.costs.savings import Saving, paper_saving, saving
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.errors import SettingError

DENSE = ModelShape(num_layers=4, width=8, heads=4, kv_heads=2, head_size=2, mlp=16, vocab=10)


ANY_WINDOW = st.none() | st.integers(1, 60)
NO_WINDOW = st.none()


@st.composite
def shapes(draw, windows=ANY_WINDOW):
    count = draw(st.integers(1, 5))
    kv_heads = draw(st.integers(1, 3))
    # Not the shape itself: the checks of its types draw random numbers, which hypothesis allows in tests only.
    return dict(
        num_layers=count,
        width=draw(st.integers(1, 40)),
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        head_size=draw(st.integers(1, 8)),
        mlp=draw(st.integers(1, 40)),
        vocab=draw(st.integers(1, 90)),
        gated=draw(st.booleans()),
        windows=tuple(draw(st.lists(windows, min_size=count, max_size=count))),
    )


@st.composite
def prompts(draw):
    tokens = draw(st.integers(1, 80))
    return tokens, draw(st.integers(0, tokens - 1))


@pytest.mark.parametrize(
    ("num_layers", "cut", "shots", "share"),
    [
        (32, 14, 5, 0.469),
        (32, 15, 5, 0.443),
        (32, 16, 5, 0.417),
        (32, 18, 5, 0.365),
        (32, 20, 10, 0.341),
        (32, 25, 5, 0.182),
        (32, 5, 5, 0.703),
    ],
)
def test_the_paper_s_worked_values(num_layers, cut, shots, share):
    assert paper_saving(num_layers, cut, shots) == pytest.approx(share, abs=5e-4)


def test_a_small_model_worked_by_hand():
    # A layer: q and o 8 x 8, k and v 8 x 4, three of 8 x 16 in the MLP: 576 weights. Attention: 2 x 8 x rows x keys.
    assert DENSE.projection_weights == 64 + 64 + 32 + 32
    assert DENSE.mlp_weights(0) == 3 * 128
    full, kept = 2 * (5760 + 1600), 2 * (576 * 4 + 16 * 16)
    assert prefill_cost(DENSE, 10).flops == 4 * full + 2 * 80
    saved = saving(DENSE, 10, 6, 1, shots=3)
    assert saved.work == pytest.approx(3 * (full - kept) / (4 * full + 160))
    assert saved.kv == pytest.approx(3 * 6 / 40)
    assert saved.paper == pytest.approx(3 / 4 * 3 / 4)


WINDOWED = dataclasses.replace(DENSE, windows=(None, 3, None, 50))


def test_a_window_bounds_what_a_layer_stores_below_and_above_the_cut():
    assert prefill_cost(WINDOWED, 10, dtype="int8").kv_bytes == 2 * 4 * (10 + 3 + 10 + 10)
    assert prefill_cost(WINDOWED, 10, 8, 1, dtype="int8").kv_bytes == 2 * 4 * (10 + 2 + 2 + 2)
    assert saving(WINDOWED, 10, 1, 1, shots=1).kv == pytest.approx(1 - (10 + 3 + 9 + 9) / 33)


def test_a_mixture_costs_its_router_and_the_experts_of_one_token():
    mixture = dataclasses.replace(
        DENSE,
        num_layers=2,
        experts=6,
        experts_per_token=2,
        expert_mlp=5,
        shared_mlp=7,
        dense_layers=frozenset({0}),
    )
    dense, mixed = 576 + 16, 192 + 3 * 8 * (2 * 5 + 7) + 8 * 6 + 16
    assert prefill_cost(mixture, 1).flops == 2 * (dense + mixed + 80)


@given(shapes(), prompts(), st.data())
def test_shares_grow_with_the_hidden_tokens_and_fall_with_the_cut(sizes, prompt, data):
    shape = ModelShape(**sizes)
    tokens, hidden = prompt
    cut = data.draw(st.integers(0, shape.num_layers))
    saved = saving(shape, tokens, hidden, cut, shots=3)
    if cut:
        earlier = saving(shape, tokens, hidden, cut - 1, shots=3)
        assert earlier.work >= saved.work
        assert earlier.paper > saved.paper
    if hidden:
        fewer = saving(shape, tokens, hidden - 1, cut, shots=3)
        assert fewer.work <= saved.work


@given(shapes(windows=NO_WINDOW), prompts(), st.data())
def test_without_windows_the_saved_cache_grows_and_falls_alike(sizes, prompt, data):
    shape = ModelShape(**sizes)
    tokens, hidden = prompt
    cut = data.draw(st.integers(0, shape.num_layers))
    saved = saving(shape, tokens, hidden, cut, shots=3)
    assert cut == 0 or saving(shape, tokens, hidden, cut - 1, shots=3).kv >= saved.kv
    assert hidden == 0 or saving(shape, tokens, hidden - 1, cut, shots=3).kv <= saved.kv


@given(prompts(), st.integers(0, 4), st.integers(0, 60))
def test_the_papers_estimate_is_exact_for_a_cache_without_windows(prompt, cut, shots):
    size = prompt[0]
    exact = saving(DENSE, (shots + 1) * size, shots * size, cut, shots)
    assert exact.kv == pytest.approx(exact.paper)


@given(shapes(), prompts())
def test_nothing_is_saved_at_the_last_cut_or_with_nothing_hidden(sizes, prompt):
    shape = ModelShape(**sizes)
    tokens, hidden = prompt
    assert saving(shape, tokens, hidden, shape.num_layers, shots=5) == Saving(0.0, 0.0, 0.0)
    assert saving(shape, tokens, 0, 0, shots=0) == Saving(0.0, 0.0, 0.0)


@given(prompts(), st.integers(0, 4))
def test_the_cache_saves_the_hidden_share_of_the_layers_above_the_cut(prompt, cut):
    tokens, hidden = prompt
    assert saving(DENSE, tokens, hidden, cut, shots=1).kv == pytest.approx((4 - cut) / 4 * hidden / tokens)


@pytest.mark.parametrize(
    ("tokens", "hidden", "cut", "shots", "words"),
    [
        (10, 10, 2, 5, "at least one token must be kept"),
        (10, -1, 2, 5, "found -1 hidden of 10"),
        (0, 0, 2, 5, "found 0 hidden of 0"),
        (10, 4, 5, 5, "found 5 of 4"),
        (10, 4, -1, 5, "found -1 of 4"),
        (10, 4, 2, -1, "shots must be at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(tokens, hidden, cut, shots, words):
    with pytest.raises(SettingError, match=words):
        saving(DENSE, tokens, hidden, cut, shots)


def test_a_share_above_one_is_refused():
    with pytest.raises(SettingError, match=r"found kv = 1\.5"):
        Saving(work=0.1, kv=1.5, paper=0.2)
