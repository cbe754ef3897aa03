from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.errors import ModelError, SettingError

MODERN = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2 = {"vocab_size": 96, "n_embd": 32, "n_layer": 4, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
LATENT = {
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 6,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
}
# Family, its configuration, and what else the configuration must say of windows.
FAMILIES = {
    "llama": MODERN,
    "mistral": {**MODERN, "sliding_window": 8},
    "qwen3": {**MODERN, "head_dim": 16},
    "gemma2": {**MODERN, "head_dim": 16, "sliding_window": 8},
    "gpt2": GPT2,
    "gpt2 with n_inner": {**GPT2, "n_inner": 40},
    "gpt_neox": {name: value for name, value in MODERN.items() if name != "num_key_value_heads"},
    "gpt_neo": {
        "vocab_size": 96,
        "hidden_size": 32,
        "num_layers": 4,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2]],
        "window_size": 8,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "bloom": {"vocab_size": 96, "hidden_size": 32, "n_layer": 4, "n_head": 4},
    "opt": {
        "vocab_size": 96,
        "hidden_size": 32,
        "ffn_dim": 40,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
    },
    "starcoder2": {**MODERN, "sliding_window": 8},
    "mixtral": {**MODERN, "num_local_experts": 6, "num_experts_per_tok": 2},
    "qwen3_moe": {
        **MODERN,
        "head_dim": 16,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "mlp_only_layers": [1],
    },
    "qwen3_moe with every second layer dense": {
        **MODERN,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "decoder_sparse_step": 2,
    },
    "qwen2_moe": {
        **MODERN,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 40,
    },
    "deepseek_v3": {**MODERN, **LATENT, "q_lora_rank": 12},
    "deepseek_v2": {**MODERN, **LATENT, "q_lora_rank": None},
    "glm4_moe": {
        **MODERN,
        "head_dim": 16,
        "n_routed_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "n_shared_experts": 2,
        "first_k_dense_replace": 2,
    },
    "gpt_oss": {**MODERN, "head_dim": 16, "num_local_experts": 6, "num_experts_per_tok": 2, "sliding_window": 8},
    "falcon": {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4},
    "gpt_bigcode": GPT2,
    "mpt": {"vocab_size": 96, "d_model": 32, "n_layers": 4, "n_heads": 4, "expansion_ratio": 3},
}


def config_of(family):
    return AutoConfig.for_model(family.split()[0], **FAMILIES[family])


def weights(shape, layer):
    """Elements of all matrices of a layer: attention, MLP or all experts, and their router."""
    attention = shape.projection_weights + shape.expansion_weights
    return attention + shape.mlp_weights(layer, shape.experts) + shape.router_weights(layer)


def weights_by_layer(model):
    """Elements of the parameters with at least two axes in each decoder layer: the matrices, without biases."""
    count = Counter()
    for name, parameter in model.named_parameters():
        place = re.search(r"\.(?:layers|h|blocks)\.(\d+)\.", name)
        if place and parameter.dim() >= 2 and not name.endswith("bias"):
            count[int(place[1])] += parameter.numel()
    return count


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_those_of_a_real_model(family):
    config = config_of(family)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shape = ModelShape.from_config(config)
    real = weights_by_layer(model)
    assert len(real) == shape.num_layers
    assert {layer: weights(shape, layer) for layer in range(shape.num_layers)} == real
    assert model.get_output_embeddings().weight.shape == (shape.vocab, shape.width)


@pytest.mark.parametrize(
    ("family", "windows"),
    [
        ("llama", ()),
        ("mistral", (8, 8, 8, 8)),
        ("qwen3", (None, None, None, None)),
        ("gemma2", (8, None, 8, None)),
        ("gpt_neo", (None, 8, None, 8)),
        ("starcoder2", (8, 8, 8, 8)),
        ("gpt_oss", (8, None, 8, None)),
    ],
)
def test_windows_are_those_of_each_layer(family, windows):
    shape = ModelShape.from_config(config_of(family))
    assert [shape.window(layer) for layer in range(4)] == list(windows or (None,) * 4)


def test_a_token_passes_only_through_the_experts_that_are_chosen_for_it():
    shape = ModelShape.from_config(config_of("mixtral"))
    assert shape.mlp_weights(0, shape.experts) - shape.mlp_weights(0) == 4 * 3 * 32 * 56
    mixed = ModelShape.from_config(config_of("qwen3_moe"))
    assert mixed.mlp_weights(1, mixed.experts) == mixed.mlp_weights(1)
    assert mixed.mlp_weights(0, mixed.experts) > mixed.mlp_weights(0)


def test_a_model_of_text_and_images_is_described_by_its_text_part():
    text = config_of("llama")
    assert ModelShape.from_config(SimpleNamespace(get_text_config=lambda: text)) == ModelShape.from_config(text)


def test_whether_there_is_a_gate_can_be_said():
    sizes = SimpleNamespace(**MODERN)
    assert ModelShape.from_config(sizes).gated
    assert not ModelShape.from_config(sizes, gated=False).gated


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("longcat_flash", "latent attention"),
        ("qwen3_next", "layers of type linear_attention"),
        ("gemma3n_text", "share keys and values"),
        ("jamba", "layers without attention"),
        ("ctrl", "of another kind"),
        ("musicgen", "one language model"),
        ("bart", "of another kind"),
    ],
)
def test_layers_of_another_kind_are_refused_in_one_line(family, words):
    with pytest.raises(ModelError, match=words) as caught:
        ModelShape.from_config(AutoConfig.for_model(family))
    assert "\n" not in str(caught.value)


def test_embeddings_of_another_size_are_refused():
    sizes = {**FAMILIES["opt"], "word_embed_proj_dim": 16}
    with pytest.raises(ModelError, match="word_embed_proj_dim"):
        ModelShape.from_config(AutoConfig.for_model("opt", **sizes))


@pytest.mark.parametrize("family", ["gemma2", "glm4_moe", "deepseek_v3"])
def test_a_shape_comes_back_from_a_file_as_it_was(family):
    shape = ModelShape.from_config(config_of(family))
    written = json.dumps(dataclasses.asdict(shape), default=sorted)
    assert ModelShape.from_json(json.loads(written)) == shape


def test_a_missing_size_or_one_that_differs_by_layer_is_refused():
    sizes = dict(MODERN)
    del sizes["hidden_size"]
    with pytest.raises(ModelError, match="names none of hidden_size, n_embd, d_model"):
        ModelShape.from_config(SimpleNamespace(**sizes))
    with pytest.raises(ModelError, match="one whole number for intermediate_size"):
        ModelShape.from_config(SimpleNamespace(**{**MODERN, "intermediate_size": [56, 48, 56, 48]}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"kv_heads": 3},
        {"windows": (8,)},
        {"windows": (8, 0)},
        {"experts": 4},
        {"value_size": -1},
        {"kv_rank": 8, "rope_size": 2},
        {"experts": 4, "experts_per_token": 5, "expert_mlp": 8},
    ],
)
def test_sizes_that_contradict_each_other_are_refused(wrong):
    sizes = {"num_layers": 2, "width": 8, "heads": 4, "kv_heads": 2, "head_size": 2, "mlp": 16, "vocab": 10}
    with pytest.raises(SettingError):
        ModelShape(**{**sizes, **wrong})
