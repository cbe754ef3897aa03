"""All single-layer ablations at once: each row is what the model gives while that one layer's attention is removed."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from families import (
    CASES,
    CONFIGS,
    FAMILIES,
    FEW_LAYERS,
    PROMPTS,
    TOKENS,
    TOLERANCE,
    VOCAB,
    family,
    fresh,
    inputs,
    inside,
    untouched,
)
from torch import Tensor

from taskpoint.engine import sweep_ablations as sweep
from taskpoint.engine.calls.projections import output_projections, without_attention
from taskpoint.engine.context import read_context
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.every_cut_decode import can_decode_every_cut
from taskpoint.engine.sweep_ablations import ablation_generate, ablation_logits
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import anatomy

NEW = 2
ENDS = list(range(5, 45))
RAGGED = PROMPTS["ragged"]


def layer_by_layer(model: Any, ids: Tensor, mask: Tensor | None, last: int) -> Tensor:
    """One pass for each layer, and one with all of them. [N + 1, B, last, V]"""
    rows = []
    for removed in (*((one,) for one in output_projections(model)), ()):
        with torch.inference_mode(), without_attention(removed):
            rows.append(model(ids, **inputs(model, mask), use_cache=False).logits[:, -last:])
    return torch.stack(rows)


def written(model: Any, ids: Tensor, mask: Tensor | None, new: int = NEW, **named: Any) -> Tensor:
    """One `generate` for each layer, and one with all of them, filled to `new` tokens. [N + 1, B, new]"""
    rows = []
    padding = {} if mask is None else {"attention_mask": mask}
    for removed in (*((one,) for one in output_projections(model)), ()):
        with without_attention(removed):
            out = model.generate(ids, **padding, max_new_tokens=new, do_sample=False, **named)[:, ids.shape[1] :]
        rows.append(torch.nn.functional.pad(out, (0, new - out.shape[1])))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("name", "attention"), [*((name, None) for name in CONFIGS), *(case for case in CASES if case.values[1] == "eager")]
)
def test_every_row_is_the_model_without_the_attention_of_that_layer(name: str, attention: str | None) -> None:
    model = family(name, attention, FEW_LAYERS)
    found = ablation_logits(model, RAGGED.input_ids, RAGGED.mask, last=2)
    assert found.shape == (FEW_LAYERS + 1, 3, 2, VOCAB)
    torch.testing.assert_close(found, layer_by_layer(model, RAGGED.input_ids, RAGGED.mask, 2), atol=TOLERANCE, rtol=0)
    # Otherwise the rows would be right for a layer that does nothing.
    assert (found[:-1] - found[-1]).abs().amax((1, 2, 3)).min() > 10 * TOLERANCE


@pytest.mark.parametrize("name", CONFIGS)
def test_every_answer_is_that_of_the_model_without_the_attention_of_that_layer(name: str) -> None:
    model = family(name, layers=FEW_LAYERS)
    found = ablation_generate(model, RAGGED.input_ids, RAGGED.mask, NEW)
    assert torch.equal(found, written(model, RAGGED.input_ids, RAGGED.mask))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_answers_end_each_by_itself(name: str) -> None:
    model = family(name, layers=FEW_LAYERS)
    found = ablation_generate(model, RAGGED.input_ids, RAGGED.mask, 8, ENDS)
    wanted = written(model, RAGGED.input_ids, RAGGED.mask, 8, eos_token_id=ENDS)
    assert torch.equal(found, wanted[..., : found.shape[-1]])
    assert (found == 0).any()


@pytest.mark.parametrize(("name", "mask"), [*((name, RAGGED.mask) for name in FAMILIES), ("llama", None)])
def test_a_context_that_is_read_once_gives_what_whole_prompts_give(name: str, mask: Tensor | None) -> None:
    model = family(name, layers=FEW_LAYERS)
    removed = output_projections(model)
    tokens = torch.randint(3, VOCAB, (1, 14), generator=torch.Generator().manual_seed(5))
    context = read_context(model, tokens, torch.zeros_like(tokens, dtype=torch.bool), removed=removed)
    given = (model, RAGGED.input_ids, mask)
    whole = context.whole(RAGGED.input_ids, torch.zeros_like(RAGGED.drop), mask, None)
    expected = layer_by_layer(model, whole[0], whole[2], 2)
    torch.testing.assert_close(ablation_logits(*given, last=2, context=context), expected, atol=TOLERANCE, rtol=0)
    assert torch.equal(ablation_generate(*given, NEW, context=context), written(model, whole[0], whole[2]))


def test_a_context_that_was_read_for_another_sweep_is_refused() -> None:
    model, nothing = family("llama", layers=FEW_LAYERS), torch.zeros_like(RAGGED.drop)
    removed = output_projections(model)
    tokens, drop = RAGGED.input_ids[:1], nothing[:1]
    cuts, ablated = read_context(model, tokens, drop), read_context(model, tokens, drop, removed=removed)
    for run in (ablation_logits, ablation_generate):
        with pytest.raises(PlanError, match="read for cuts, and this is a sweep of removed attentions"):
            run(model, RAGGED.input_ids, context=cuts)
    for verb in (functools.partial(sweep_last_logits, last=1), sweep_generate):
        with pytest.raises(PlanError, match="read for removed attentions, and this is a sweep of cuts"):
            verb(model, RAGGED.input_ids, nothing, context=ablated)
    with pytest.raises(PlanError, match="some tokens of the context are dropped"):
        read_context(model, tokens, RAGGED.drop[:1], removed=removed)


def test_all_layers_take_one_prefill_and_one_step_a_token() -> None:
    """Otherwise the rows would be right for a reason that costs N + 1 runs."""
    model, calls = family("llama"), []
    projections = output_projections(model)
    assert can_decode_every_cut(model, anatomy(model), 100)
    with inside(anatomy(model).decoder, lambda decoder, args, kwargs: calls.append(1)):
        ablation_generate(model, RAGGED.input_ids, RAGGED.mask, NEW, projections=projections)
        assert len(calls) == NEW
        ablation_logits(model, RAGGED.input_ids, RAGGED.mask, projections=projections)
    assert len(calls) == NEW + 1


def test_a_variant_costs_no_layer_below_the_one_that_it_lacks() -> None:
    model = family("llama")
    rows: list[list[int]] = []
    projections = output_projections(model)
    layers = anatomy(model).layers
    for layer in layers:
        counted: list[int] = []
        rows.append(counted)
        with inside(layer.mlp, lambda module, args, kwargs, counted=counted: counted.append(len(args[0]))):
            ablation_logits(model, RAGGED.input_ids, projections=projections)
    prompts = len(RAGGED.input_ids)
    assert [sum(counted) for counted in rows] == [prompts * (index + 2) for index in range(len(layers))]


def test_prompts_shorter_than_there_are_layers_are_ablated_too() -> None:
    for name in ("llama", "gpt2", "mpt"):
        ids = RAGGED.input_ids[:, -2:]
        found = ablation_logits(family(name), ids)
        torch.testing.assert_close(found, layer_by_layer(family(name), ids, None, 1), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("at_once", [1, 2])
def test_prompts_that_memory_does_not_hold_are_done_in_parts(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    model, given = family("llama"), (RAGGED.input_ids, RAGGED.mask)
    logits, answers = ablation_logits(model, *given), ablation_generate(model, *given, 6, ENDS)
    monkeypatch.setattr(sweep, "rows_at_once", lambda *args: at_once)
    torch.testing.assert_close(ablation_logits(model, *given), logits, atol=1e-5, rtol=0)
    assert torch.equal(ablation_generate(model, *given, 6, ENDS), answers)


def test_hooks_of_others_see_every_layer_by_itself() -> None:
    model, seen = fresh("llama"), []
    handle = anatomy(model).layers[0].register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    with pytest.warns(UserWarning, match="every layer is run by itself"):
        found = ablation_logits(model, RAGGED.input_ids, RAGGED.mask)
    assert seen == [3] * (len(anatomy(model).layers) + 1)
    handle.remove()
    torch.testing.assert_close(found, ablation_logits(model, RAGGED.input_ids, RAGGED.mask), atol=TOLERANCE, rtol=0)


def test_the_model_is_left_bit_for_bit_as_it_was_also_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh("llama").train()
    with untouched(model):
        ablation_logits(model, RAGGED.input_ids, RAGGED.mask)
        ablation_generate(model, RAGGED.input_ids, RAGGED.mask, NEW)
    projections = output_projections(model)

    def failing(module: Any, args: Any, kwargs: Any) -> None:
        if len(args[0]) > 3:
            raise RuntimeError("in the middle")

    for run in (ablation_logits, ablation_generate):
        with inside(model.model.layers[2].mlp, failing), untouched(model), pytest.raises(RuntimeError, match="middle"):
            run(model, RAGGED.input_ids, projections=projections)


def test_what_cannot_be_ablated_is_refused_in_one_line() -> None:
    model, ids = fresh("llama"), RAGGED.input_ids
    with cut_context(model, 2, RAGGED.drop), pytest.raises(PlanError, match="already under a cut"):
        ablation_logits(model, ids)
    with pytest.raises(PlanError, match="last=21"):
        ablation_logits(model, ids, last=TOKENS + 1)
    with pytest.raises(PlanError, match="max_new_tokens=0"):
        ablation_generate(model, ids, max_new_tokens=0)
    with pytest.raises(PlanError, match="ends in padding"):
        ablation_generate(model, ids, torch.zeros_like(ids))
    model.model.layers[2].self_attn = _Nothing()
    with pytest.raises(ModelError, match="no output projection was found in the attention of layer 2"):
        ablation_logits(model, ids)


class _Nothing(torch.nn.Module):
    """Attention that has no linear map."""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> tuple[Tensor, None]:
        return torch.zeros_like(hidden_states), None
