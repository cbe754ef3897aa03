"""A model that computes NaN or infinity is told by the place where it begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from families import CONFIGS, family
from transformers import LlamaConfig, LlamaForCausalLM

from taskpoint.engine.finite import check_finite, finite_logits, watching
from taskpoint.errors import ModelError

LAYERS = 5
NAN, INF = float("nan"), float("inf")


def llama(dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        num_hidden_layers=LAYERS,
        hidden_size=32,
        num_attention_heads=2,
        intermediate_size=48,
        vocab_size=40,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).to(dtype).eval()


def nan_in_layer_three(model: LlamaForCausalLM) -> None:
    model.model.layers[3].mlp.up_proj.weight.data.fill_(NAN)


def infinity_in_the_embeddings(model: LlamaForCausalLM) -> None:
    model.model.embed_tokens.weight.data[:, 5] = INF


def nan_in_the_norm(model: LlamaForCausalLM) -> None:
    model.model.norm.weight.data[0] = NAN


def nan_in_the_head(model: LlamaForCausalLM) -> None:
    model.lm_head.weight.data[3, 4] = NAN


def large_weights(model: LlamaForCausalLM) -> None:
    """Finite also in float16, but their products in layer 2 are not: 1000 * 1000 is more than 65504."""
    model.model.layers[2].mlp.up_proj.weight.data.fill_(1000)
    model.model.layers[2].mlp.down_proj.weight.data.fill_(1000)
    model.model.layers[2].post_attention_layernorm.weight.data.fill_(100)


@pytest.mark.parametrize(
    ("break_it", "dtype", "place", "mend"),
    [
        (nan_in_layer_three, torch.float32, "NaN, first in layer 3 ", "'model.layers.3.mlp.up_proj.weight' holds NaN"),
        (nan_in_layer_three, torch.float16, "NaN, first in layer 3 ", "'model.layers.3.mlp.up_proj.weight' holds NaN"),
        (infinity_in_the_embeddings, torch.float32, "infinity, first in the embeddings;", "embed_tokens.weight'"),
        (nan_in_the_norm, torch.float32, "NaN, first in the final norm;", "'model.norm.weight' holds NaN"),
        (nan_in_the_head, torch.bfloat16, "NaN, first in the head;", "'lm_head.weight' holds NaN"),
        (large_weights, torch.float16, "first in layer 2 ", "dtype 'bfloat16' or 'float32'"),
    ],
)
def test_the_first_place_and_what_mends_it_are_told_in_one_line(
    break_it: Callable[[LlamaForCausalLM], None], dtype: torch.dtype, place: str, mend: str
) -> None:
    model = llama(dtype)
    check_finite(model)
    break_it(model)
    with pytest.raises(ModelError) as told:
        check_finite(model, torch.arange(1, 9)[None])
    assert place in str(told.value)
    assert mend in str(told.value)
    assert "\n" not in str(told.value)


def test_what_overflows_in_half_precision_is_sound_in_the_precision_that_is_named() -> None:
    model = llama()
    large_weights(model)
    for dtype in (torch.float32, torch.bfloat16):
        check_finite(model.to(dtype))
    with pytest.raises(ModelError, match="float16 holds no number above 65504"):
        check_finite(model.to(torch.float16))


def test_a_weight_too_large_for_float16_is_mended_by_another_precision() -> None:
    model = llama()
    model.model.layers[1].self_attn.o_proj.weight.data[0, 0] = 1e6
    with pytest.raises(ModelError, match=r"o_proj\.weight' holds infinity: float16 holds no number above 65504"):
        check_finite(model.to(torch.float16))


def test_padding_may_hold_anything() -> None:
    model = llama()
    ids, mask = torch.tensor([[0, 0, 3, 4], [5, 6, 7, 8]]), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    padding = (mask == 0)[..., None]
    model.model.layers[-1].register_forward_hook(lambda module, args, output: output.masked_fill(padding, NAN))
    check_finite(model, ids, mask)
    with pytest.raises(ModelError, match="layer 4"):
        check_finite(model, ids)


def test_a_token_that_is_never_written_is_no_fault() -> None:
    logits = torch.zeros(2, 3)
    logits[0, 1] = -INF
    assert finite_logits(logits)
    for bad in (NAN, INF):
        wrong = logits.clone()
        wrong[1, 2] = bad
        assert not finite_logits(wrong)
    logits[1] = -INF
    assert not finite_logits(logits)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_sound_model_is_refused_and_none_keeps_a_hook(name: str) -> None:
    model = family(name)
    ids = torch.randint(3, 20, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    check_finite(model)
    check_finite(model, ids, mask)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_watching_stops_at_the_first_call_and_lets_the_reason_be_told() -> None:
    model, ids = llama(), torch.arange(1, 5)[None]
    with watching(model, lambda: pytest.fail("nothing to explain")):
        model(ids)
    nan_in_layer_three(model)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(ModelError, match="layer 3"), watching(model, lambda: check_finite(model, ids)):
        model(ids)
    assert len(calls) == 2, "one call, and one to see where"
    with pytest.raises(ModelError, match="while it writes an answer"), watching(model, lambda: None):
        model(ids)
