"""A check depends on nothing that ran before it, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import transformers as hf
from families import FEW_LAYERS, VOCAB, family, fresh, randomised, untouched
from pictures import FAMILIES as SEEING
from pictures import fresh_seeing, pictures

from taskpoint.engine.check import check, exact
from taskpoint.engine.paths.shared_keys_check import can_share_keys
from taskpoint.models.library import cache_of, with_cache

_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "num_hidden_layers": FEW_LAYERS,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_THETA = {"rope_theta": 10000.0}
ROTARY: dict[str, Callable[[], Any]] = {
    "dynamic": lambda: hf.LlamaConfig(
        **_SIZES, max_position_embeddings=64, rope_parameters=_THETA | {"rope_type": "dynamic", "factor": 2.0}
    ),
    "yarn": lambda: hf.LlamaConfig(
        **_SIZES,
        max_position_embeddings=64,
        rope_parameters=_THETA | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    ),
    "longrope": lambda: hf.Phi3Config(
        **_SIZES,
        max_position_embeddings=256,
        original_max_position_embeddings=64,
        rope_parameters=_THETA
        | {
            "rope_type": "longrope",
            "original_max_position_embeddings": 64,
            "short_factor": [1.0] * 4,
            "long_factor": [2.0, 3.0, 4.0, 5.0],
        },
    ),
}
"""Positions whose frequencies are others in a long prompt (of more than 64 tokens), or from the start (yarn)."""


def tokens(length: int, rows: int = 1) -> Any:
    return torch.randint(3, VOCAB, (rows, length), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", [name for name in SEEING if name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v")])
def test_a_picture_before_the_check_changes_no_verdict_and_its_distances_stay(name: str) -> None:
    model = fresh_seeing(name)
    with torch.no_grad():
        model(**pictures(name))
    kept = model.model.rope_deltas
    value = kept.clone()
    assert value.any()  # or there would be nothing to forget
    with untouched(model):
        found = check(model)
    assert found.exact
    assert found == check(fresh_seeing(name))  # to the last bit
    assert model.model.rope_deltas is kept
    assert torch.equal(kept, value)


@pytest.mark.parametrize("name", ROTARY)
def test_a_long_prompt_before_the_check_changes_no_verdict_and_its_frequencies_stay(name: str) -> None:
    def build() -> Any:
        torch.manual_seed(0)
        return randomised(hf.AutoModelForCausalLM.from_config(ROTARY[name]()))

    model, twin, long, short = build(), build(), tokens(100), tokens(8)
    with torch.no_grad():
        model(long)
        twin(long)
        moved = not torch.equal(model.model.rotary_emb.inv_freq, build().model.rotary_emb.inv_freq)
        assert moved == (name != "yarn")
        with untouched(model):
            found = check(model)
        assert found.exact
        assert found == check(build())
        for ids in (tokens(70), short, long):  # as if there had been no check
            assert torch.equal(model(ids).logits, twin(ids).logits)


def test_hooks_of_the_user_neither_see_the_check_nor_stop_it() -> None:
    model, seen = fresh("llama", None, FEW_LAYERS), []

    def counts(module: Any, args: Any, output: Any) -> Any:
        seen.append(module)
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.shape[1] != 20:
            raise ValueError("20 tokens, or this hook is lost")
        return None

    parts = [*model.model.layers, model.model.layers[1].mlp, model.model.norm]
    handles = [part.register_forward_hook(counts) for part in parts]
    handles.append(model.model.layers[0].register_forward_pre_hook(lambda module, args: seen.append(module)))
    with untouched(model):
        found = check(model)
    assert not seen
    assert found == check(fresh("llama", None, FEW_LAYERS))
    with torch.no_grad():
        model(tokens(20))
    assert len(seen) == len(handles)
    for handle in handles:  # they are the very hooks that they were
        handle.remove()
    assert not any(vars(module)["_forward_hooks"] for module in model.modules())


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "gradients": torch.enable_grad,
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "nothing": nullcontext,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["gpt2", "mpt"])
def test_whatever_mode_is_on_around_it_the_verdict_is_the_same(name: str, training: bool, mode: str) -> None:
    model = fresh(name, None, FEW_LAYERS).train(training)
    before = torch.random.get_rng_state()
    with untouched(model), MODES[mode]():
        found = check(model)
        assert torch.is_grad_enabled() == (mode not in ("no gradients", "inference"))
        assert torch.is_autocast_enabled("cpu") == (mode == "autocast")
        assert can_share_keys(model) == can_share_keys(family(name, None, FEW_LAYERS))
    assert found.exact
    assert found == check(family(name, None, FEW_LAYERS))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(module.training == training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("name", ["gpt_neo", "llama", "gpt2"])
def test_gradients_flow_through_a_pass_that_was_made_before_the_check(name: str) -> None:
    """Buffers that the graph holds are not written to."""
    model = fresh(name, None, FEW_LAYERS)
    with torch.enable_grad():
        loss = model(tokens(12), labels=tokens(12)).loss
        check(model)
        loss.backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.parameters())


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neo", "qwen2_vl"])
def test_a_check_between_two_turns_changes_no_logits(name: str) -> None:
    seeing = name == "qwen2_vl"

    def second_turn(checked: bool) -> Any:
        model = fresh_seeing(name) if seeing else fresh(name, None, FEW_LAYERS)
        named = {"use_cache": True, "max_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True}
        first = pictures(name) if seeing else {"input_ids": tokens(12), "attention_mask": torch.ones(1, 12).long()}
        output = model.generate(**first, **named)
        if checked:
            assert exact(model)
            assert check(model).exact
        ids = torch.cat([output.sequences, tokens(3, rows=len(output.sequences))], dim=1)
        again = {"attention_mask": torch.ones_like(ids), "output_logits": True}
        output = model.generate(ids, **again, **with_cache(model, cache_of(output)), **named)
        return torch.stack(output.logits)

    with torch.no_grad():
        assert torch.equal(second_turn(checked=True), second_turn(checked=False))
