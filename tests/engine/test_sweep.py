"""Invariant 5: every row of a sweep is what a run at that cut alone gives; and early exit is the model's own head."""

from __future__ import annotations

import functools

import pytest
import torch
from families import CASES, CUTS, FAMILIES, LAYERS, PROMPTS, TOKENS, TOLERANCE, VOCAB, family, fresh, inputs, inside

from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import reference_last_logits, reference_sweep_logits
from taskpoint.engine.sweep_logits import sweep_last_logits, sweep_logits
from taskpoint.models.anatomy import anatomy


@pytest.mark.parametrize(("name", "attention"), CASES)
@torch.inference_mode()
def test_every_row_is_what_a_run_at_that_cut_alone_gives(name: str, attention: str) -> None:
    model = family(name, attention)
    for hole in ("pieces", "alone", "ragged, rows differ"):
        prompt = PROMPTS[hole]
        swept = sweep_logits(model, prompt.input_ids, prompt.drop, prompt.mask)
        assert swept.shape == (LAYERS + 1, 3, VOCAB)
        for cut in CUTS:
            with cut_context(model, cut, prompt.drop):
                alone = model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=False).logits[:, -1]
            torch.testing.assert_close(swept[cut], alone, atol=TOLERANCE, rtol=0, msg=f"{hole}, cut {cut}")


@pytest.mark.parametrize("name", FAMILIES)
def test_several_last_positions_equal_masking_also_where_some_of_them_are_hidden(name: str) -> None:
    model = family(name)
    for hole in ("pieces", "alone", "ragged, rows differ"):
        prompt = PROMPTS[hole]
        for last in (3, TOKENS):
            arguments = (model, prompt.input_ids, prompt.drop, prompt.mask)
            swept = sweep_last_logits(*arguments, last=last)
            masked = reference_last_logits(*arguments, last=last)
            kept = prompt.kept[:, -last:]
            torch.testing.assert_close(swept[:, kept], masked[:, kept], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_with_fewer_tokens_than_there_are_cuts_is_swept_too(name: str) -> None:
    model = family(name)
    for hole, length in (("pieces", 3), ("rows differ", 4), ("rows differ", 1)):
        prompt = PROMPTS[hole]
        ids, drop = prompt.input_ids[:, -length:], prompt.drop[:, -length:]
        swept = sweep_logits(model, ids, drop)
        torch.testing.assert_close(swept, reference_sweep_logits(model, ids, drop), atol=TOLERANCE, rtol=0)


def test_one_prompt_alone_is_swept_as_in_a_batch() -> None:
    for name in FAMILIES:
        prompt = PROMPTS["ragged, rows differ"]
        together = sweep_logits(family(name), prompt.input_ids, prompt.drop, prompt.mask)
        for row in range(3):
            mask = prompt.mask[row : row + 1] if prompt.mask is not None else None
            alone = sweep_logits(family(name), prompt.input_ids[row : row + 1], prompt.drop[row : row + 1], mask)
            torch.testing.assert_close(alone[:, 0], together[:, row], atol=TOLERANCE, rtol=0)


def test_the_whole_prompt_passes_each_layer_once() -> None:
    """One pass, not one a cut: every other call of a layer has the present tokens alone."""
    model, prompt = family("llama"), PROMPTS["pieces"]
    calls: list[tuple[int, int]] = []
    layers = anatomy(model).layers
    kept = int(prompt.kept[0].sum())

    def count(layer: object, args: tuple[torch.Tensor, ...], kwargs: object) -> None:
        calls.append((args[0].shape[0], args[0].shape[1]))

    for layer in layers:
        with inside(layer, count):
            sweep_logits(model, prompt.input_ids, prompt.drop)
    # At layer i there are i + 1 variants, each with the rows of the batch.
    assert calls == [call for index in range(LAYERS) for call in ((3, TOKENS), (3 * (index + 1), kept))]


@torch.inference_mode()
def test_early_exit_is_the_models_own_norm_and_head_on_each_hidden_state() -> None:
    for name in ("llama", "gpt_neox", "gpt2"):
        model, prompt = family(name), PROMPTS["ragged"]
        swept = sweep_last_logits(model, prompt.input_ids, prompt.drop, prompt.mask, last=2, skip=True)
        states: list[torch.Tensor] = []
        note = functools.partial(record, states)
        for layer in anatomy(model).layers:
            with hooked(layer, before=note):
                ordinary = model(prompt.input_ids, **inputs(model, prompt.mask)).logits[:, -2:]
        last_norm = {"llama": "model.norm", "gpt_neox": "gpt_neox.final_layer_norm", "gpt2": "transformer.ln_f"}[name]
        for cut, state in enumerate(states):
            logits = model.get_output_embeddings()(model.get_submodule(last_norm)(state[:, -2:]))
            torch.testing.assert_close(swept[cut], logits, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(swept[-1], ordinary, atol=TOLERANCE, rtol=0)


@torch.inference_mode()
def test_early_exit_does_not_depend_on_what_is_hidden() -> None:
    for name in FAMILIES:
        prompt = PROMPTS["ragged, rows differ"]
        arguments = (family(name), prompt.input_ids)
        hidden = sweep_last_logits(*arguments, prompt.drop, prompt.mask, last=1, skip=True)
        nothing = sweep_last_logits(*arguments, torch.zeros_like(prompt.drop), prompt.mask, last=1, skip=True)
        assert torch.equal(hidden, nothing)


def record(states: list[torch.Tensor], layer: object, args: tuple[torch.Tensor, ...], kwargs: object) -> None:
    states.append(args[0])


def test_a_wrapper_that_passes_its_arguments_on_is_swept_like_its_model() -> None:
    """As peft wraps: its own forward names neither positions nor the logits to keep."""

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = family("llama")
            self.config, self.generation_config = self.base.config, self.base.generation_config

        def get_base_model(self) -> torch.nn.Module:
            return self.base

        def forward(self, input_ids: torch.Tensor, **kwargs: object) -> object:
            return self.base(input_ids, **kwargs)

    prompt = PROMPTS["ragged, rows differ"]
    arguments = (prompt.input_ids, prompt.drop, prompt.mask)
    assert torch.equal(sweep_logits(Wrapper(), *arguments), sweep_logits(family("llama"), *arguments))


def test_a_sweep_of_a_model_in_training_mode_is_that_of_evaluation() -> None:
    """Dropout would make every row another random number."""
    prompt = PROMPTS["pieces"]
    model = fresh("gpt2").train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    swept = sweep_logits(model, prompt.input_ids, prompt.drop)
    assert model.training
    assert torch.equal(swept, sweep_logits(model.eval(), prompt.input_ids, prompt.drop))
