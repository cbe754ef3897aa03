"""The arithmetic against torch's own counter: whole models, eager attention, with and without a cut.

N layers, T tokens of a prompt, H of them hidden, r cut.
"""

from __future__ import annotations

import functools
import warnings
from contextlib import ExitStack

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from taskpoint.analysis.costs.cost import PARTS, Cost, bytes_of, decode_cost, prefill_cost
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.engine.cut import cut_context
from taskpoint.errors import SettingError
from taskpoint.models.library import cache_of, with_cache

LAYERS, TOKENS, HIDDEN, BATCH, WINDOW = 4, 24, 15, 2, 6
ROPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
GPT2 = {"vocab_size": 96, "n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_positions": 128}
WINDOWED = ROPE | {"sliding_window": WINDOW}
MIXTURE = ROPE | {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = ROPE | {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 6,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
}
FAMILIES = {
    "llama": ROPE,
    "mistral": WINDOWED,
    "gemma2": WINDOWED | {"head_dim": 16},
    "gemma3_text": WINDOWED | {"head_dim": 16, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "gpt_oss": WINDOWED | {"head_dim": 16, "num_local_experts": 6, "num_experts_per_tok": 2},
    "mixtral": ROPE | {"num_local_experts": 6, "num_experts_per_tok": 2},
    "qwen2_moe": MIXTURE | {"shared_expert_intermediate_size": 40, "mlp_only_layers": [2]},
    "qwen3_moe": MIXTURE | {"head_dim": 16, "decoder_sparse_step": 2},
    "deepseek_v2": LATENT | {"q_lora_rank": None},
    "deepseek_v3": LATENT | {"q_lora_rank": 12},
    "gpt2": GPT2,
    "gpt_bigcode": GPT2,
    "gpt_neo": {
        "vocab_size": 96,
        "hidden_size": 32,
        "num_layers": LAYERS,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2]],
        "window_size": WINDOW,
    },
    "bloom": {"vocab_size": 96, "hidden_size": 32, "n_layer": LAYERS, "n_head": 4},
}
# Half of the families at every cut would say no more than these.
CUTS = {"llama": range(LAYERS + 1), "gpt_oss": range(LAYERS + 1), "deepseek_v3": range(LAYERS + 1)}
CASES = [(family, cut) for family in FAMILIES for cut in (None, *CUTS.get(family, (1, 3)))]


@functools.cache
def model_of(family):
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **FAMILIES[family])
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    if len([name for name, _ in model.named_modules() if name.endswith("experts")]):
        model.set_experts_implementation("eager")  # the counter does not know grouped products
    return model


def counting():
    return FlopCounterMode(display=False, depth=None)


@functools.cache
def counted(family, cut):
    """Counters of a prefill and of five steps under a cut, and the cache at the end."""
    model = model_of(family)
    ids = torch.randint(3, 96, (BATCH, TOKENS + 5), generator=torch.Generator().manual_seed(1))
    drop = torch.zeros(BATCH, TOKENS, dtype=torch.bool)
    drop[:, 1 : 1 + HIDDEN] = True
    counters = []
    with ExitStack() as stack, torch.inference_mode():
        stack.enter_context(warnings.catch_warnings(action="error"))  # a cut that falls back to masks saves nothing
        if cut is not None:
            stack.enter_context(cut_context(model, cut, drop))
        with counting() as counter:
            output = model(ids[:, :TOKENS], use_cache=True, logits_to_keep=1)
        counters.append(counter)
        cache = cache_of(output)
        for step in range(5):
            with counting() as counter:
                model(ids[:, TOKENS + step, None], **with_cache(model, cache), use_cache=True)
            counters.append(counter)
    return counters, cache


def stored_bytes(layer):
    """What the tensors of a cache layer hold in memory; a slice of a tensor keeps the whole of it."""
    return sum(tensor.untyped_storage().nbytes() for tensor in (layer.keys, layer.values))


@pytest.mark.parametrize(("family", "cut"), CASES)
def test_a_prompt_costs_what_torch_counts(family, cut):
    counters, _ = counted(family, cut)
    shape = ModelShape.from_config(model_of(family).config)
    cost = prefill_cost(shape, TOKENS, HIDDEN, cut, batch=BATCH)
    assert cost.flops == counters[0].get_total_flops()


@pytest.mark.parametrize(("family", "cut"), CASES)
def test_every_further_token_costs_what_torch_counts(family, cut):
    counters, _ = counted(family, cut)
    shape = ModelShape.from_config(model_of(family).config)
    costs = [decode_cost(shape, TOKENS + step, HIDDEN, cut, batch=BATCH).flops for step in range(5)]
    assert costs == [counter.get_total_flops() for counter in counters[1:]]


@pytest.mark.parametrize(("family", "cut"), CASES)
def test_every_layer_of_the_cache_holds_the_bytes_that_are_counted(family, cut):
    _, cache = counted(family, cut)
    shape = ModelShape.from_config(model_of(family).config)
    cost = decode_cost(shape, TOKENS + 4, HIDDEN, cut, batch=BATCH, dtype="float32")
    assert [layer.kv_bytes for layer in cost.layers] == [stored_bytes(layer) for layer in cache.layers]


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "qwen2_moe", "deepseek_v3"])
@pytest.mark.parametrize("step", [0, 3], ids=["prefill", "decoding"])
def test_every_part_of_every_layer_costs_what_torch_counts(family, step):
    cut = 2
    counter = counted(family, cut)[0][step]
    model, shape = model_of(family), ModelShape.from_config(model_of(family).config)
    whole = prefill_cost(shape, TOKENS, HIDDEN, cut, batch=BATCH)
    cost = whole if step == 0 else decode_cost(shape, TOKENS + step - 1, HIDDEN, cut, batch=BATCH)
    root = type(model).__name__
    flops = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}

    def of(name):
        return flops.get(f"{root}.{name}", 0)

    matrices = [
        name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and ".self_attn." in name
    ]
    for one in cost.layers:
        here = f"model.layers.{one.layer}"
        projections = sum(of(name) for name in matrices if name.startswith(f"{here}.self_attn."))
        router = of(f"{here}.mlp.gate") + of(f"{here}.mlp.router") + of(f"{here}.mlp.shared_expert_gate")
        assert one.projections == projections > 0
        assert one.attention == of(f"{here}.self_attn") - projections > 0
        assert one.router == router
        assert one.mlp == of(f"{here}.mlp") - router > 0
    assert cost.head == of("lm_head") > 0


def test_parts_and_table_add_up_to_the_whole():
    shape = ModelShape.from_config(model_of("qwen2_moe").config)
    cost = prefill_cost(shape, TOKENS, HIDDEN, 2)
    assert tuple(cost.parts) == PARTS
    assert sum(cost.parts.values()) == cost.flops
    *layers, head = cost.table()
    assert [line["layer"] for line in layers] == list(range(LAYERS))
    assert [line["rows"] for line in layers] == [24, 24, 9, 9]
    assert all(line["flops"] == sum(line[part] for part in PARTS[:-1]) for line in layers)
    assert sum(line["flops"] for line in (*layers, head)) == cost.flops
    assert sum(line["kv_bytes"] for line in layers) == cost.kv_bytes


def test_bytes_follow_the_data_type_and_the_batch():
    shape = ModelShape.from_config(model_of("llama").config)
    # Keys and values of 2 heads of 8, in 4 layers; a layer's matrices: q, o 32 x 32, k, v 32 x 16, MLP 3 x 32 x 56.
    cost = decode_cost(shape, 9, batch=3, dtype="bfloat16")
    assert cost.kv_bytes == 2 * 3 * 4 * 2 * 2 * 8 * 10
    weights = 4 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 56) + 32 * 96
    assert cost.moved_bytes == cost.kv_bytes + 2 * weights
    assert decode_cost(shape, 9, batch=3, dtype="float32").moved_bytes == 2 * cost.moved_bytes
    assert bytes_of("torch.bfloat16") == torch.bfloat16.itemsize


def test_a_step_reads_the_experts_that_its_batch_can_ask_for():
    shape = ModelShape.from_config(model_of("mixtral").config)
    expert = 4 * 3 * 32 * 56

    def read(batch):
        return decode_cost(shape, 9, batch=batch).layers[0].weight_bytes

    assert read(2) - read(1) == 2 * expert
    assert read(3) - read(1) == read(64) - read(1) == 4 * expert


@given(st.integers(1, 40), st.lists(st.none() | st.integers(1, 50), min_size=1, max_size=3))
def test_without_masked_products_every_pair_that_is_seen_counts_once(tokens, windows):
    shape = ModelShape(
        num_layers=len(windows), width=4, heads=1, kv_heads=1, head_size=4, mlp=4, vocab=4, windows=tuple(windows)
    )
    cost = prefill_cost(shape, tokens, masked=False)
    for one, window in zip(cost.layers, windows, strict=True):
        row, key = torch.arange(tokens)[:, None], torch.arange(tokens)[None]
        seen = (key <= row) & (row - key < (window or tokens))
        assert one.attention == 2 * (4 + 4) * int(seen.sum())


@pytest.mark.parametrize("masked", [True, False])
def test_a_cut_costs_less_the_lower_it_is_and_the_more_it_hides(masked):
    shape = ModelShape.from_config(model_of("gpt_oss").config)

    def flops(hidden, cut):
        return prefill_cost(shape, TOKENS, hidden, cut, masked=masked).flops

    for cut in range(LAYERS):
        assert flops(HIDDEN, cut) < flops(HIDDEN, cut + 1)
        assert flops(HIDDEN + 1, cut) < flops(HIDDEN, cut)
    assert flops(HIDDEN, LAYERS) == flops(0, 0) == flops(0, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tokens": 5, "hidden": 5}, "at least one token must be kept"),
        ({"tokens": 5, "hidden": 1, "cut": 9}, "found 9 of 4"),
        ({"tokens": 5, "batch": 0}, "batch must be at least 1"),
        ({"tokens": 5, "dtype": "float5"}, "dtype is 'float5'; expected one of float64"),
    ],
)
@pytest.mark.parametrize("count", [prefill_cost, decode_cost])
def test_numbers_out_of_range_are_refused_in_one_line(count, arguments, words):
    with pytest.raises(SettingError, match=words) as caught:
        count(ModelShape.from_config(model_of("llama").config), **arguments)
    assert "\n" not in str(caught.value)


def test_a_cost_cannot_be_changed():
    cost = prefill_cost(ModelShape.from_config(model_of("llama").config), 5)
    with pytest.raises(AttributeError):
        cost.head = 0
    assert isinstance(cost, Cost)
