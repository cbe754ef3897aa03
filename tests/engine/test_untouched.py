"""Invariants 2 and 4: what a cut must leave as it is: the model itself, the layers below, the masks of others."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch
from families import (
    CUTS,
    FAMILIES,
    LAYERS,
    PROMPTS,
    TOKENS,
    WINDOW,
    Prompt,
    computing,
    family,
    inputs,
    inside,
    untouched,
)

from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.check import check
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of


class Stop(Exception):
    pass


def generate(model: Any, prompt: Prompt) -> torch.Tensor:
    return model.generate(prompt.input_ids, **prompt.padding, max_new_tokens=4, do_sample=False)


def record(model: Any, prompt: Prompt, after: bool = False) -> list[torch.Tensor]:
    """What goes into (or comes out of) every layer of a plain call."""
    seen: list[torch.Tensor] = []

    def before(layer: Any, args: Any, kwargs: Any) -> None:
        seen.append(args[0])

    def behind(layer: Any, args: Any, kwargs: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        for layer in anatomy(model).layers:
            stack.enter_context(hooked(layer, *((None, behind) if after else (before, None))))
        model(prompt.input_ids, **inputs(model, prompt.mask))
    return seen


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_cut_is_the_ordinary_model_token_for_token(name: str) -> None:
    model = family(name)
    for hole in ("pieces", "ragged"):
        prompt = PROMPTS[hole]
        tokens = generate(model, prompt)
        logits = model(prompt.input_ids, **inputs(model, prompt.mask)).logits
        for drop, cut in ((prompt.drop, LAYERS), (torch.zeros_like(prompt.drop), 0)):
            with cut_context(model, cut, drop):
                assert torch.equal(generate(model, prompt), tokens)
                assert torch.equal(model(prompt.input_ids, **inputs(model, prompt.mask)).logits, logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_model_is_bit_for_bit_as_before_after_every_use(name: str) -> None:
    model = family(name)
    prompt = PROMPTS["ragged, rows differ"]
    arguments = (prompt.input_ids, prompt.drop, prompt.mask)
    generate(model, prompt)  # whatever the library sets up once
    before = model(prompt.input_ids, **inputs(model, prompt.mask)).logits
    with untouched(model):
        for context in (cut_context, mask_context):
            with context(model, 2, prompt.drop):
                generate(model, prompt)
        sweep_logits(model, *arguments)
        sweep_generate(model, *arguments, max_new_tokens=2)
        sweep_generate(model, *arguments, max_new_tokens=2, skip=True)
        if name in ("mistral", "mpt"):  # windows that the check makes small for a moment, and none
            check(model)
    assert torch.equal(model(prompt.input_ids, **inputs(model, prompt.mask)).logits, before)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom"])
def test_the_model_is_bit_for_bit_as_before_after_an_exception(name: str) -> None:
    model = family(name)
    prompt = PROMPTS["ragged, rows differ"]
    arguments = (prompt.input_ids, prompt.drop, prompt.mask)

    def stop(*_: Any) -> None:
        raise Stop

    with untouched(model):
        for context in (cut_context, mask_context):
            with pytest.raises(Stop), context(model, 2, prompt.drop):  # in the block
                raise Stop
        for index in (0, 3):  # in the middle of a forward call
            for use in (sweep_logits, sweep_generate):
                with pytest.raises(Stop), hooked(anatomy(model).layers[index], before=stop):
                    use(model, *arguments)
            with pytest.raises(Stop), cut_context(model, 2, prompt.drop), hooked(anatomy(model).layers[index], stop):
                generate(model, prompt)
        with pytest.raises(Stop), inside(anatomy(model).layers[3], stop):
            check(model)


@torch.inference_mode()
def test_a_block_goes_on_after_an_exception_inside_it() -> None:
    model, prompt = family("llama"), PROMPTS["pieces"]

    def stop(*_: Any) -> None:
        raise Stop

    with cut_context(model, 2, prompt.drop):
        expected = model(prompt.input_ids).logits
        with pytest.raises(Stop), hooked(anatomy(model).layers[3], before=stop):
            model(prompt.input_ids)
        assert torch.equal(model(prompt.input_ids).logits, expected)


@pytest.mark.parametrize("training", [False, True])
def test_training_flags_stay_as_they_are_module_by_module(training: bool) -> None:
    model = family("gpt2")
    prompt = PROMPTS["pieces"]
    try:
        model.train(training)
        anatomy(model).layers[1].train(not training)
        with untouched(model):
            check(model)
            sweep_logits(model, prompt.input_ids, prompt.drop)
    finally:
        model.eval()


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_layers_below_the_cut_compute_what_they_always_do(name: str) -> None:
    model = family(name)
    prompt = PROMPTS["ragged, rows differ"]
    ordinary = record(model, prompt, after=True)
    for context in (cut_context, mask_context):
        for cut in CUTS[1:]:
            with context(model, cut, prompt.drop):
                below = record(model, prompt, after=True)[:cut]
            assert all(torch.equal(a, b) for a, b in zip(below, ordinary[:cut], strict=True)), cut


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_hidden_tokens_are_gone_above_the_cut_and_their_keys_are_not_stored(name: str) -> None:
    model = family(name)
    prompt = PROMPTS["pieces"]
    kept = int(prompt.kept[0].sum())
    for cut in CUTS[:-1]:
        lengths: list[int] = []
        with ExitStack() as stack:
            for layer in anatomy(model).layers:
                stack.enter_context(computing(layer, lengths))
            stack.enter_context(cut_context(model, cut, prompt.drop))
            cache = cache_of(model(prompt.input_ids, use_cache=True))
        assert lengths == [TOKENS] * cut + [kept] * (LAYERS - cut)
        stored = [layer.keys.shape[-2] for layer in cache.layers[cut:]]
        assert stored == [min(kept, WINDOW - 1) if layer.is_sliding else kept for layer in cache.layers[cut:]]


@torch.inference_mode()
def test_the_seed_of_the_caller_is_not_used_up() -> None:
    model, prompt = family("llama"), PROMPTS["pieces"]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    check(model)
    sweep_generate(model, prompt.input_ids, prompt.drop, max_new_tokens=2)
    with cut_context(model, 2, prompt.drop):
        generate(model, prompt)
    assert torch.equal(torch.rand(4), expected)
