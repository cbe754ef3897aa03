"""Last-token-only: above the cut each token sees the start of the prompt and itself, in prefill and decode alike."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from families import CASES, CUTS, LAYERS, PROMPTS, TOKENS, family, inputs
from torch import Tensor

from taskpoint.engine.context import read_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits

NEW = 4
FEW = ("llama", "gpt2", "gpt_neo", "bloom", "mpt", "gemma2")


def only_the_newest(mask: Tensor, start: int) -> Tensor:
    """Drops all but the first `start` tokens of each row and its last. [B, T]"""
    drop = mask.cumsum(-1) > start
    drop[:, -1] = False
    return drop & mask.bool()


def lone_of(mask: Tensor) -> Tensor:
    lone = torch.zeros_like(mask, dtype=torch.bool)
    lone[:, -1] = True
    return lone


def masked(model: Any, ids: Tensor, mask: Tensor, start: int, cut: int) -> Tensor:
    """Logits of a whole prompt, nothing removed and nothing cached: the definition. [B, vocab]"""
    with mask_context(model, cut, only_the_newest(mask, start)):
        logits: Tensor = model(ids, **inputs(model, mask)).logits[:, -1]
    return logits


@pytest.mark.parametrize(("name", "attention"), CASES)
@torch.inference_mode()
def test_every_token_is_that_of_a_fresh_prompt_of_which_masks_leave_the_newest(name: str, attention: str) -> None:
    model, prompt = family(name, attention), PROMPTS["ragged"]
    assert prompt.mask is not None
    mask, start = prompt.mask, 1
    drop = only_the_newest(mask, start)
    swept = sweep_generate(model, prompt.input_ids, drop, mask, NEW, [], lone=lone_of(mask))
    for cut in (0, 2, LAYERS):
        ids, seen = prompt.input_ids, mask
        for place in range(NEW):
            token = masked(model, ids, seen, start, cut).argmax(-1)
            assert torch.equal(swept[cut, :, place], token), (cut, place)
            ids, seen = torch.cat([ids, token[:, None]], dim=1), torch.nn.functional.pad(seen, (0, 1), value=1)


@pytest.mark.parametrize("name", FEW)
@torch.inference_mode()
def test_an_answer_that_is_given_is_read_as_one_that_is_written(name: str) -> None:
    """The logits at each of its tokens are those of the prompt that ends there."""
    model, prompt = family(name), PROMPTS["ragged"]
    assert prompt.mask is not None
    last, start = 5, 2
    mask = prompt.mask
    lone = torch.arange(TOKENS).expand_as(mask) >= TOKENS - last
    drop = (mask.cumsum(-1) > start) & ~lone & mask.bool()
    swept = sweep_last_logits(model, prompt.input_ids, drop, mask, last=last, lone=lone & mask.bool())
    for cut in CUTS:
        for place in range(last):
            end = TOKENS - last + 1 + place
            alone = masked(model, prompt.input_ids[:, :end], mask[:, :end], start, cut)
            torch.testing.assert_close(swept[cut, :, place], alone, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_without_a_start_a_token_sees_itself_alone() -> None:
    """Two answers that begin alike go on alike at r = 0, whatever the prompt was."""
    model, ids = family("llama"), PROMPTS["pieces"].input_ids
    mask = torch.ones_like(ids)
    swept = sweep_generate(model, ids, only_the_newest(mask, 0), None, NEW, [], lone=lone_of(mask))
    other = torch.cat([ids.flip(0)[:, :-1], ids[:, -1:]], dim=1)
    again = sweep_generate(model, other, only_the_newest(mask, 0), None, NEW, [], lone=lone_of(mask))
    assert torch.equal(swept[0], again[0])
    assert not torch.equal(swept[LAYERS], again[LAYERS])


@pytest.mark.parametrize("name", FEW)
@torch.inference_mode()
def test_a_context_that_is_read_once_changes_nothing(name: str) -> None:
    model, ids = family(name), PROMPTS["pieces"].input_ids
    ids = torch.cat([ids[:1, :8].expand(3, -1), ids[:, 8:]], dim=1)
    mask = torch.ones_like(ids)
    drop, lone = only_the_newest(mask, 1), lone_of(mask)
    whole = sweep_generate(model, ids, drop, None, NEW, [], lone=lone)
    context = read_context(model, ids[:1, :8], drop[:1, :8])
    parted = sweep_generate(model, ids[:, 8:], drop[:, 8:], None, NEW, [], context=context, lone=lone[:, 8:])
    assert torch.equal(whole, parted)
    logits = [
        sweep_last_logits(model, ids, drop, last=1, lone=lone),
        sweep_last_logits(model, ids[:, 8:], drop[:, 8:], last=1, context=context, lone=lone[:, 8:]),
    ]
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_hooked_model_gives_the_same_read_anew_at_every_token() -> None:
    model, prompt = family("llama"), PROMPTS["ragged"]
    assert prompt.mask is not None
    drop, lone = only_the_newest(prompt.mask, 1), lone_of(prompt.mask)
    given = model, prompt.input_ids, drop, prompt.mask
    plain = sweep_generate(*given, NEW, [7, 8, 9], lone=lone), sweep_last_logits(*given, last=3, lone=lone)
    handle = model.model.layers[2].register_forward_hook(lambda module, args, output: None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hooked = sweep_generate(*given, NEW, [7, 8, 9], lone=lone), sweep_last_logits(*given, last=3, lone=lone)
    finally:
        handle.remove()
    assert torch.equal(plain[0], hooked[0])
    torch.testing.assert_close(plain[1][:, :, -1], hooked[1][:, :, -1], atol=1e-4, rtol=1e-4)
