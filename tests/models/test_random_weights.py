from __future__ import annotations

import pytest
import torch

from taskpoint.errors import SettingError
from taskpoint.models.random_weights import random_decoder


def test_sizes_that_are_left_out_are_those_of_the_llama_models():
    config = random_decoder("llama:1x512,vocab=64").config
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (1, 512, 64)
    assert (config.num_attention_heads, config.num_key_value_heads, config.intermediate_size) == (8, 8, 1536)


def test_named_sizes_are_taken():
    model = random_decoder("llama:2x64, heads=8, kv=2, mlp=40, vocab=30", dtype="bfloat16")
    layer = model.model.layers[1]
    assert layer.self_attn.k_proj.weight.shape == (16, 64)
    assert layer.mlp.up_proj.weight.shape == (40, 64)
    assert model.lm_head.weight.shape == (30, 64)
    assert model.dtype == torch.bfloat16
    assert not model.training


def test_weights_are_the_same_each_time_and_leave_the_callers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first, second = (random_decoder("llama:1x64,vocab=30") for _ in range(2))
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)
    assert first.lm_head.weight.std() > 0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gpt2:2x64", "expected llama:LAYERSxWIDTH"),
        ("llama:2x64,heads", "expected llama:LAYERSxWIDTH"),
        ("llama:2x64,depth=3", "names depth; its sizes are heads, kv, mlp, vocab"),
        ("llama:0x64", "has a size of 0"),
        ("llama:2x64,kv=0", "has a size of 0"),
        ("llama:2x64,heads=3", "has 3 heads"),
        ("llama:2x64,heads=4,kv=3", "kv=3"),
        ("llama:2x64,heads=64", "even sizes"),
    ],
)
def test_another_form_is_refused_in_one_line(spec, words):
    with pytest.raises(SettingError, match=words) as caught:
        random_decoder(spec)
    assert "\n" not in str(caught.value)


def test_an_unknown_dtype_or_device_is_refused():
    with pytest.raises(SettingError, match="dtype is 'float5'"):
        random_decoder("llama:1x64", dtype="float5")
    with pytest.raises(SettingError, match="toaster"):
        random_decoder("llama:1x64", device="toaster")
