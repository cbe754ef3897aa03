"""The self-check asks once, and where a model cannot be cut everything falls back to masks, with one warning."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import pytest
import torch
from families import CONFIGS, FAMILIES, FEW_LAYERS, PROMPTS, TOKENS, computing, family, fresh, inputs, untouched
from toys import CountingAttention, LengthAttention, toy
from transformers.models.llama.modeling_llama import LlamaAttention

from taskpoint.engine import check as check_module
from taskpoint.engine.check import CheckResult, check, exact
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context, reference_sweep_logits
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits, sweep_logits
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import anatomy

PROMPT = PROMPTS["ragged, rows differ"]
ARGUMENTS = (PROMPT.input_ids, PROMPT.drop, PROMPT.mask)


def rows_of_last_layer(model: Any) -> list[int]:
    """For how many tokens the last layer is computed in a plain call."""
    seen: list[int] = []
    with computing(anatomy(model).layers[-1], seen), torch.inference_mode():
        model(PROMPT.input_ids, **inputs(model, PROMPT.mask))
    return seen


@pytest.mark.parametrize("name", FAMILIES)
def test_covered_families_are_exact(name: str) -> None:
    result = check(family(name, None, FEW_LAYERS))
    assert result.exact
    assert 0 < result.largest_difference < 1e-5
    assert result.family == name
    assert "\n" not in str(result)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_exact_up_to_its_rounding(dtype: torch.dtype) -> None:
    result = check(fresh("llama", None, FEW_LAYERS).to(dtype))
    assert result.exact
    assert result.largest_difference > 1e-5


def test_dropout_is_off_while_checking() -> None:
    model = fresh("gpt2", None, FEW_LAYERS).train()
    assert check(model).exact
    assert all(module.training for module in model.modules())


def test_families_that_the_tests_cover_pay_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "check", lambda model: pytest.fail("checked"))
    for name in CONFIGS:
        assert exact(family(name, None, FEW_LAYERS)), name


@pytest.mark.parametrize("kind", ["toy_new", "llama"])
def test_an_unknown_family_is_checked_once_and_then_cut(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that borrows the name of a family: it is not the library's code."""
    checked: list[CheckResult] = []
    monkeypatch.setattr(check_module, "check", lambda model: checked.append(check(model)) or checked[-1])
    model = toy(kind, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            sweep_logits(model, *ARGUMENTS)
            with cut_context(model, 2, PROMPT.drop):
                assert rows_of_last_layer(model)[0] < TOKENS
    assert [result.exact for result in checked] == [True]


def test_code_in_the_place_of_the_librarys_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels and the like put their own forward into the library's classes."""
    plain, checked = LlamaAttention.forward, []

    def forward(self: Any, hidden_states: Any, **named: Any) -> Any:
        return plain(self, hidden_states, **named)

    monkeypatch.setattr(check_module, "check", lambda model: checked.append(model) or check(model))
    assert exact(fresh("llama", None, FEW_LAYERS))
    assert not checked
    monkeypatch.setattr(LlamaAttention, "forward", forward)
    assert exact(fresh("llama", None, FEW_LAYERS))
    assert len(checked) == 1


@pytest.mark.parametrize("attention", [CountingAttention, LengthAttention])
def test_what_cannot_be_cut_is_masked_with_one_warning_that_nothing_is_saved(attention: Any) -> None:
    model = toy("toy_broken", attention)
    with untouched(model), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        swept = sweep_logits(model, *ARGUMENTS)
        tokens = sweep_generate(model, *ARGUMENTS, max_new_tokens=3)
        with cut_context(model, 2, PROMPT.drop):
            assert rows_of_last_layer(model) == [TOKENS]
            assert torch.equal(
                model.generate(PROMPT.input_ids, **PROMPT.padding, max_new_tokens=3)[:, TOKENS:], tokens[2]
            )
    (warning,) = (str(each.message) for each in caught)
    assert "toy_broken" in warning
    assert "nothing is saved" in warning
    assert torch.equal(swept, reference_sweep_logits(model, *ARGUMENTS))
    for cut in range(FEW_LAYERS + 1):
        with mask_context(model, cut, PROMPT.drop):
            masked = model.generate(PROMPT.input_ids, **PROMPT.padding, max_new_tokens=3, do_sample=False)
        assert torch.equal(tokens[cut], masked[:, TOKENS:])


def test_early_exit_needs_no_cut_and_is_decoded_again_where_variants_cannot_stand_side_by_side() -> None:
    model = toy("toy_broken", CountingAttention)
    nothing = torch.zeros_like(PROMPT.drop)
    with warnings.catch_warnings(record=True):
        tokens = sweep_generate(model, PROMPT.input_ids, nothing, PROMPT.mask, max_new_tokens=3, skip=True)
        first = sweep_last_logits(model, PROMPT.input_ids, nothing, PROMPT.mask, last=1, skip=True)[:, :, 0].argmax(-1)
    ordinary = model.generate(PROMPT.input_ids, **PROMPT.padding, max_new_tokens=3, do_sample=False)
    assert torch.equal(tokens[-1], ordinary[:, TOKENS:])
    assert torch.equal(tokens[:, :, 0], first)


def test_a_cut_that_changes_nothing_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "check", lambda model: pytest.fail("checked"))
    model = toy("toy_new", None)
    for cut, drop in ((FEW_LAYERS, PROMPT.drop), (0, torch.zeros_like(PROMPT.drop))):
        with cut_context(model, cut, drop):
            rows_of_last_layer(model)


def test_a_verdict_does_not_keep_its_model_alive() -> None:
    model = toy("toy_new", None)
    sweep_logits(model, *ARGUMENTS)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_model_under_a_cut_is_not_checked() -> None:
    model = family("llama")
    with cut_context(model, 2, PROMPT.drop), pytest.raises(PlanError, match="cannot be nested"):
        check(model)


def test_a_model_that_fails_by_itself_is_refused_in_one_line() -> None:
    model = toy("toy_broken", None)
    model.model.layers[1].self_attn.q_proj = torch.nn.Linear(3, 3)
    with pytest.raises(ModelError, match="neither cut nor masked") as caught:
        check(model)
    assert "\n" not in str(caught.value)
