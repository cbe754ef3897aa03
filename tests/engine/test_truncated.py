"""Invariant 1: cutting equals masking, for every family, attention, hole and cut, in prefill and decoding.

Masking is the reference; that masking itself is right is shown against a model from scratch in test_positions.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from families import (
    CASES,
    CUTS,
    FAMILIES,
    LAYERS,
    PROMPTS,
    TOKENS,
    TOLERANCE,
    VOCAB,
    WINDOW,
    Prompt,
    family,
    fresh,
    inputs,
)

from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.models.library import cache_of, replays_calls, with_cache


def prefill(model: Any, prompt: Prompt, **named: Any) -> torch.Tensor:
    """Logits of the kept tokens, one after the other. [kept, vocab]"""
    return model(prompt.input_ids, **inputs(model, prompt.mask), **named).logits[prompt.kept]


def answer(model: Any, prompt: Prompt, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Greedy tokens of `generate` and their logits."""
    settings = {"max_new_tokens": 4, "do_sample": False, "output_logits": True, "return_dict_in_generate": True} | named
    out = model.generate(prompt.input_ids, **prompt.padding, **settings)
    return out.sequences, torch.stack(out.logits)


@pytest.mark.parametrize(("name", "attention"), CASES)
@torch.inference_mode()
def test_logits_of_kept_tokens_equal_masking(name: str, attention: str) -> None:
    model = family(name, attention)
    for hole in ("pieces", "alone", "ragged, rows differ"):
        prompt = PROMPTS[hole]
        for cut in CUTS[:-1]:
            with mask_context(model, cut, prompt.drop):
                masked = prefill(model, prompt, use_cache=False)
            with cut_context(model, cut, prompt.drop):
                gone = prefill(model, prompt, use_cache=cut % 2 == 0)
            assert gone.isfinite().all(), (hole, cut)
            torch.testing.assert_close(gone, masked, atol=TOLERANCE, rtol=0, msg=f"{hole}, cut {cut}")


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_generated_tokens_and_their_logits_equal_masking(name: str, attention: str) -> None:
    model = family(name, attention)
    for hole, cuts in (("pieces", (0, 3)), ("ragged, rows differ", (1, 4))):
        prompt = PROMPTS[hole]
        for cut in cuts:
            with mask_context(model, cut, prompt.drop):
                tokens, logits = answer(model, prompt)
            with cut_context(model, cut, prompt.drop):
                cut_tokens, cut_logits = answer(model, prompt)
            assert torch.equal(cut_tokens, tokens), (hole, cut)
            torch.testing.assert_close(cut_logits, logits, atol=TOLERANCE, rtol=0, msg=f"{hole}, cut {cut}")


@pytest.mark.parametrize("name", FAMILIES)
def test_generating_without_a_cache_gives_the_same_tokens(name: str) -> None:
    model = family(name)
    prompt = PROMPTS["ragged"]
    for cut in (0, 2, LAYERS):
        with cut_context(model, cut, prompt.drop):
            tokens, logits = answer(model, prompt)
            again, logits_again = answer(model, prompt, use_cache=False)
        assert torch.equal(again, tokens), cut
        torch.testing.assert_close(logits_again, logits, atol=TOLERANCE, rtol=0)


def two_turns(model: Any, prompt: Prompt, context: AbstractContextManager[Any]) -> torch.Tensor:
    """Logits of a second turn of several tokens, padded in one row, and of one more token. [B, 6, vocab]"""
    turn = torch.randint(3, VOCAB, (3, 6), generator=torch.Generator().manual_seed(2))
    mask = prompt.mask if prompt.mask is not None else torch.ones_like(prompt.input_ids)
    more = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    if prompt.mask is None:
        more = torch.ones_like(more)
    every = torch.cat([mask, more], dim=1)
    seen = None if prompt.mask is None else every
    with context:
        out = model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=True)
        rows = []
        for start, end in ((0, 5), (5, 6)):
            until = None if seen is None else seen[:, : TOKENS + end]
            named = inputs(model, until, end - start) | with_cache(model, cache_of(out)) | {"use_cache": True}
            out = model(turn[:, start:end], **named)
            rows.append(out.logits)
    return torch.cat(rows, dim=1)[more.bool()]


@pytest.mark.parametrize(("name", "attention"), CASES)
@torch.inference_mode()
def test_a_second_turn_on_the_same_cache_equals_masking(name: str, attention: str) -> None:
    model = family(name, attention)
    for hole in ("middle", "ragged, rows differ"):
        prompt = PROMPTS[hole]
        for cut in CUTS[:-1]:
            masked = two_turns(model, prompt, mask_context(model, cut, prompt.drop))
            gone = two_turns(model, prompt, cut_context(model, cut, prompt.drop))
            torch.testing.assert_close(gone, masked, atol=TOLERANCE, rtol=0, msg=f"{hole}, cut {cut}")


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt_neo", "bloom"])
def test_beams_and_several_answers_a_prompt_equal_masking(name: str) -> None:
    model = family(name)
    prompt = PROMPTS["ragged, rows differ"]
    for settings in ({"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}):
        with mask_context(model, 2, prompt.drop):
            masked = model.generate(prompt.input_ids, **prompt.padding, max_new_tokens=4, do_sample=False, **settings)
        with cut_context(model, 2, prompt.drop):
            gone = model.generate(prompt.input_ids, **prompt.padding, max_new_tokens=4, do_sample=False, **settings)
        assert torch.equal(gone, masked)


def test_sampling_draws_the_same_answers_as_under_masking() -> None:
    model = family("llama")
    prompt = PROMPTS["ragged"]
    drawn = []
    for context in (mask_context, cut_context):
        torch.manual_seed(5)
        with context(model, 1, prompt.drop):
            settings = {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 4}
            drawn.append(model.generate(prompt.input_ids, **prompt.padding, **settings))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_in_training_passes_the_same_gradients_as_under_masking(name: str) -> None:
    model = fresh(name)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    prompt = PROMPTS["ragged"]
    gradients = []
    for context in (mask_context, cut_context):
        model.zero_grad()
        with context(model, 2, prompt.drop):
            prefill(model, prompt).log_softmax(-1)[:, 7].sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert gradients[0].abs().max() > 1e-2
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-3, rtol=1e-3)


def test_gradient_checkpointing_passes_the_same_gradients() -> None:
    model = fresh("llama").train()
    prompt = PROMPTS["ragged"]
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
            if replays_calls(model.model.layers[0]):
                pytest.skip("this version runs whole calls of layers again: refused, see test_training.py")
        model.zero_grad()
        with cut_context(model, 2, prompt.drop):
            prefill(model, prompt, use_cache=False).log_softmax(-1)[:, 7].sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_embeddings_may_be_given_in_the_place_of_tokens() -> None:
    model = family("llama")
    prompt = PROMPTS["ragged"]
    with cut_context(model, 2, prompt.drop):
        logits = prefill(model, prompt)
        embedded = model.get_input_embeddings()(prompt.input_ids)
        again = model(inputs_embeds=embedded, **inputs(model, prompt.mask)).logits[prompt.kept]
    torch.testing.assert_close(again, logits, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
@torch.inference_mode()
def test_half_precision_differs_by_rounding_alone(dtype: torch.dtype, tolerance: float) -> None:
    prompt = PROMPTS["ragged, rows differ"]
    for name in ("llama", "gemma2"):
        model = fresh(name).to(dtype)
        for cut in CUTS[:-1]:
            with mask_context(model, cut, prompt.drop):
                masked = prefill(model, prompt)
            with cut_context(model, cut, prompt.drop):
                gone = prefill(model, prompt)
            assert gone.isfinite().all()
            torch.testing.assert_close(gone, masked, atol=tolerance, rtol=0.05)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom"])
@torch.inference_mode()
def test_layers_that_accelerate_moves_to_another_device_are_cut_alike(name: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    prompt = PROMPTS["ragged, rows differ"]
    model = fresh(name)
    with cut_context(model, 2, prompt.drop):
        here = prefill(model, prompt)
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    with cut_context(model, 2, prompt.drop):
        moved = prefill(model, prompt)
    torch.testing.assert_close(moved, here, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_two_models_cut_at_the_same_time_do_not_meet() -> None:
    """Their prompts, caches and steps are interleaved; each must do what it does alone."""
    models = family("llama"), family("mistral")
    prompts = PROMPTS["pieces"], PROMPTS["ragged, rows differ"]
    cuts = (1, 3)
    alone = []
    for model, prompt, cut in zip(models, prompts, cuts, strict=True):
        with cut_context(model, cut, prompt.drop):
            first = model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=True)
            alone += [first.logits, step(model, prompt, cache_of(first))]
    with cut_context(models[0], cuts[0], prompts[0].drop), cut_context(models[1], cuts[1], prompts[1].drop):
        firsts = [
            model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=True)
            for model, prompt in zip(models, prompts, strict=True)
        ]
        steps = [step(*each) for each in zip(models, prompts, [cache_of(f) for f in firsts], strict=True)]
    together = [firsts[0].logits, steps[0], firsts[1].logits, steps[1]]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


def step(model: Any, prompt: Prompt, cache: Any) -> torch.Tensor:
    mask = None if prompt.mask is None else torch.nn.functional.pad(prompt.mask, (0, 1), value=1)
    return model(torch.full((3, 1), 7), **inputs(model, mask, 1), **with_cache(model, cache)).logits


@pytest.mark.parametrize("cut", [0, 2])
def test_layers_with_a_window_store_no_more_than_it_above_the_cut(cut: int) -> None:
    """The library's cache forgets what lies outside the window; a cut must not make it remember."""
    model, prompt = family("mistral"), PROMPTS["pieces"]
    with cut_context(model, cut, prompt.drop):
        output = model(prompt.input_ids, use_cache=True)
        for token in range(3, 13):
            output = model(torch.full((3, 1), token), **with_cache(model, cache_of(output)), use_cache=True)
    assert {layer.keys.shape[-2] for layer in cache_of(output).layers} == {WINDOW - 1}
