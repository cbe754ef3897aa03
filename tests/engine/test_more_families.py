"""Families that the library has beside the covered ones: the self-check lets their models be cut, and it is right.

Tiny models with wide random weights; windows and chunks are shorter than the prompts. A type that the installed version
of the library lacks is skipped. `python -m pytest -s` prints the largest differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers as hf
from families import FEW_LAYERS, PROMPTS, TOLERANCE, VOCAB, WINDOW, randomised, untouched

from taskpoint.engine.check import check
from taskpoint.engine.paths.every_cut import logits_of_every_cut
from taskpoint.engine.paths.reference import reference_sweep_logits
from taskpoint.models.anatomy import anatomy

PROMPT = PROMPTS["ragged, rows differ"]

_LOCAL = ["sliding_attention", "full_attention", "sliding_attention"]
_WINDOW = {"sliding_window": WINDOW, "layer_types": _LOCAL}
_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
_SHARED_EXPERTS = {"n_routed_experts": 4, "n_shared_experts": 1, "n_group": 2, "topk_group": 1}

_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": FEW_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_EIGHT = _SIZES | {"head_dim": 8}
_MOE = _SIZES | _EXPERTS

CONFIGS: dict[str, dict[str, Any]] = {
    "apertus": _SIZES,
    "arcee": _SIZES,
    "bitnet": _SIZES,
    "cohere2": _SIZES | _WINDOW | {"logit_scale": 1.0},
    "diffllama": _SIZES,
    "dots1": _EIGHT | _EXPERTS | _SHARED_EXPERTS,
    "ernie4_5": _EIGHT,
    "exaone4": _SIZES | _WINDOW,
    "gemma4_text": _EIGHT
    | _WINDOW
    | {"global_head_dim": 8, "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 8, "layer_types": _LOCAL[::-1]},
    "glm": _EIGHT,
    "glm4": _EIGHT,
    "glm4_moe": _EIGHT | _EXPERTS | _SHARED_EXPERTS | {"first_k_dense_replace": 1},
    "granitemoe": _MOE,
    "helium": _EIGHT,
    "hunyuan_v1_dense": _EIGHT | {"pad_token_id": 0},
    "jetmoe": _MOE | {"kv_channels": 8},
    "llama4_text": _EIGHT
    | {
        "attention_chunk_size": WINDOW,
        "intermediate_size_mlp": 48,
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "no_rope_layers": [1, 1, 0],
        "moe_layers": [1],
    },
    "minimax_m2": _EIGHT | _EXPERTS,
    "ministral": _EIGHT | _WINDOW,
    "nemotron": _SIZES,
    "olmoe": _MOE,
    "persimmon": _SIZES | {"num_key_value_heads": 4},
    "phimoe": _SIZES | _ROPE | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "seed_oss": _EIGHT,
    "smollm3": _SIZES | {"no_rope_layer_interval": 2},
    "stablelm": _SIZES,
    "vaultgemma": _EIGHT | _WINDOW,
}
"""What the config of each model type is given; entries that it does not know are left out."""


def built(name: str) -> Any:
    kind = hf.CONFIG_MAPPING[name]
    torch.manual_seed(0)
    with torch.inference_mode(False):
        return randomised(hf.AutoModelForCausalLM.from_config(kind(**CONFIGS[name])))


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[list[str]]:
    rows: list[str] = []
    yield rows
    print("", *rows, sep="\n")


@torch.inference_mode()
@pytest.mark.parametrize("name", CONFIGS)
def test_the_self_check_lets_the_family_be_cut_and_a_sweep_of_it_equals_masks(name: str, table: list[str]) -> None:
    if name not in hf.CONFIG_MAPPING:
        pytest.skip(f"transformers {hf.__version__} has no {name}")
    model = built(name)
    with untouched(model):
        found = check(model)
        assert found.exact, found
        assert found.largest_difference < 1e-5
        arguments = (PROMPT.input_ids, PROMPT.drop, PROMPT.mask)
        swept = logits_of_every_cut(model, anatomy(model), *arguments, last=1).transpose(0, 1)[:, :, 0]
        masked = reference_sweep_logits(model, *arguments)
    torch.testing.assert_close(swept, masked, atol=TOLERANCE, rtol=0)
    assert (swept[0] - swept[-1]).abs().max() > 0.1  # hiding tells
    table.append(f"{name} {found.largest_difference:.1e} {float((swept - masked).abs().max()):.1e}")


def test_llama4_that_scales_queries_by_their_place_in_the_call_is_not_cut() -> None:
    """From 8192 tokens on; a model of fewer positions never comes there."""
    if "llama4_text" not in hf.CONFIG_MAPPING:
        pytest.skip(f"transformers {hf.__version__} has no llama4_text")
    torch.manual_seed(0)
    config = hf.CONFIG_MAPPING["llama4_text"](**CONFIGS["llama4_text"] | {"max_position_embeddings": 16384})
    found = check(randomised(hf.AutoModelForCausalLM.from_config(config)))
    assert not found.exact
    assert "floor_scale" in found.reason
