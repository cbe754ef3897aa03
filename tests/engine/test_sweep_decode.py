"""Invariant 5 in decoding: every row is what `generate` writes under that cut alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from families import CASES, CUTS, FAMILIES, LAYERS, PROMPTS, TOKENS, Prompt, family, inputs, inside

from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.every_cut_decode import can_decode_every_cut
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits
from taskpoint.models.anatomy import anatomy

NEW = 4
MANY_ENDS = list(range(5, 45))


def written(model: Any, prompt: Prompt, cut: int, new: int, **named: Any) -> torch.Tensor:
    """What `generate` writes under the cut, filled to `new` tokens."""
    with cut_context(model, cut, prompt.drop):
        out = model.generate(prompt.input_ids, **prompt.padding, max_new_tokens=new, do_sample=False, **named)
    out = out[:, TOKENS:]
    return torch.nn.functional.pad(out, (0, new - out.shape[1]), value=model.generation_config.pad_token_id)


@contextmanager
def settings(model: Any, **named: Any) -> Iterator[None]:
    before = {key: getattr(model.generation_config, key) for key in named}
    for key, value in named.items():
        setattr(model.generation_config, key, value)
    try:
        yield
    finally:
        for key, value in before.items():
            setattr(model.generation_config, key, value)


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_every_row_is_what_generate_writes_under_that_cut(name: str, attention: str) -> None:
    model = family(name, attention)
    for hole, cuts in (("pieces", (0, 2, LAYERS)), ("ragged, rows differ", (1, 3, 4))):
        prompt = PROMPTS[hole]
        swept = sweep_generate(model, prompt.input_ids, prompt.drop, prompt.mask, max_new_tokens=NEW)
        assert swept.shape == (LAYERS + 1, 3, NEW)
        for cut in cuts:
            assert torch.equal(swept[cut], written(model, prompt, cut, NEW)), (hole, cut)


@pytest.mark.parametrize("name", [*FAMILIES, "gpt_neo_wide"])
def test_answers_end_and_are_filled_as_generate_does(name: str) -> None:
    model, prompt = family(name), PROMPTS["ragged, rows differ"]
    ended = sweep_generate(model, prompt.input_ids, prompt.drop, prompt.mask, 8, MANY_ENDS)
    # Otherwise this would test nothing: some answers end early, some places are filled, answers differ by cut.
    assert ended.shape[2] <= 8
    assert (ended == 0).any()
    for cut in (0, 3, LAYERS):
        row = torch.nn.functional.pad(ended[cut], (0, 8 - ended.shape[2]), value=0)
        assert torch.equal(row, written(model, prompt, cut, 8, eos_token_id=MANY_ENDS)), cut


def test_a_family_whose_variants_stand_side_by_side_is_not_decoded_one_by_one() -> None:
    """Otherwise the rows would be right for a reason that costs N + 1 runs."""
    side_by_side = {
        name: can_decode_every_cut(family(name), anatomy(family(name)), TOKENS + NEW * (LAYERS + 1))
        for name in (*FAMILIES, "gpt_neo_wide")
    }
    assert [name for name, can in side_by_side.items() if not can] == ["gpt_neo"]  # its window would be met
    calls: list[int] = []
    prompt = PROMPTS["pieces"]
    with inside(anatomy(family("llama")).decoder, lambda decoder, args, kwargs: calls.append(1)):
        sweep_generate(family("llama"), prompt.input_ids, prompt.drop, max_new_tokens=NEW)
    assert len(calls) == NEW  # one prefill and NEW - 1 steps for all cuts


def test_a_wide_window_by_cache_index_is_not_met_by_variants_side_by_side() -> None:
    model, prompt = family("gpt_neo_wide"), PROMPTS["ragged, rows differ"]
    swept = sweep_generate(model, prompt.input_ids, prompt.drop, prompt.mask, max_new_tokens=7)
    for cut in CUTS:
        assert torch.equal(swept[cut], written(model, prompt, cut, 7)), cut


def test_all_answers_ended_is_the_end() -> None:
    model, prompt = family("llama"), PROMPTS["pieces"]
    every = list(range(99))
    assert sweep_generate(model, prompt.input_ids, prompt.drop, None, 5, every).shape == (LAYERS + 1, 3, 1)


def test_end_and_fill_come_from_the_models_own_settings() -> None:
    model, prompt = family("llama"), PROMPTS["pieces"]
    with settings(model, eos_token_id=MANY_ENDS, pad_token_id=2):
        swept = sweep_generate(model, prompt.input_ids, prompt.drop, None, 8)
        alone = written(model, prompt, 1, 8)[:, : swept.shape[2]]
        assert torch.equal(swept[1], alone)
        assert (swept == 2).any()
    with settings(model, eos_token_id=MANY_ENDS, pad_token_id=None):  # then the first end token fills
        filled = sweep_generate(model, prompt.input_ids, prompt.drop, None, 8)
        assert torch.equal(filled, swept.where(swept != 2, torch.tensor(MANY_ENDS[0])))


@pytest.mark.parametrize("name", ["llama", "gpt_neo"])
def test_penalties_of_the_models_settings_are_not_applied(name: str) -> None:
    model, prompt = family(name), PROMPTS["pieces"]
    arguments = (model, prompt.input_ids, prompt.drop, None, 5)
    plain = sweep_generate(*arguments)
    with settings(model, repetition_penalty=5.0):
        assert torch.equal(sweep_generate(*arguments), plain)


@pytest.mark.parametrize("name", ["llama", "bloom", "gpt2", "gpt_neo", "gemma2"])
@torch.inference_mode()
def test_early_exit_in_decoding_equals_computing_everything_again(name: str) -> None:
    model, prompt = family(name), PROMPTS["ragged"]
    swept = sweep_generate(model, prompt.input_ids, prompt.drop, prompt.mask, NEW, [5, 6, 7], skip=True)
    assert len({tuple(row.flatten().tolist()) for row in swept}) > 1
    for exit_at in CUTS:
        ids, mask, drop = prompt.input_ids, prompt.mask, prompt.drop
        finished = torch.zeros(3, dtype=torch.bool)
        for _ in range(swept.shape[2]):
            logits = sweep_last_logits(model, ids, drop, mask, last=1, skip=True)[exit_at, :, 0]
            token = logits.argmax(-1).masked_fill(finished, 0)
            finished = finished | torch.isin(token, torch.tensor([5, 6, 7]))
            ids = torch.cat([ids, token[:, None]], dim=1)
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)
            drop = torch.nn.functional.pad(drop, (0, 1))
        assert torch.equal(swept[exit_at], ids[:, TOKENS:]), exit_at


@torch.inference_mode()
def test_early_exit_after_the_last_layer_is_the_ordinary_model() -> None:
    for name in FAMILIES:
        model, prompt = family(name), PROMPTS["ragged"]
        swept = sweep_generate(model, prompt.input_ids, prompt.drop, prompt.mask, NEW, skip=True)
        ordinary = model.generate(prompt.input_ids, attention_mask=prompt.mask, max_new_tokens=NEW, do_sample=False)
        assert torch.equal(swept[-1], ordinary[:, TOKENS:])


def test_the_first_token_is_that_of_the_swept_logits() -> None:
    model, prompt = family("llama"), PROMPTS["ragged"]
    tokens = sweep_generate(model, prompt.input_ids, prompt.drop, prompt.mask, 1)
    with torch.inference_mode():
        for cut in CUTS:
            with cut_context(model, cut, prompt.drop):
                logits = model(prompt.input_ids, **inputs(model, prompt.mask)).logits[:, -1]
            assert torch.equal(tokens[cut, :, 0], logits.argmax(-1))
