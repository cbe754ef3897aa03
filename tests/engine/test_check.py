"""The self-check finds a family that counts by itself, and everything falls back to masks, with one warning."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers as hf
from families import (
    CONFIGS,
    FAMILIES,
    FEW_LAYERS,
    PROMPTS,
    TOKENS,
    VOCAB,
    family,
    fresh,
    inputs,
    randomised,
    untouched,
)
from transformers.models.llama.modeling_llama import LlamaAttention

from taskpoint.engine import check as check_module
from taskpoint.engine.check import CheckResult, check, exact
from taskpoint.engine.forward import hooked
from taskpoint.engine.reference import mask_context, reference_sweep_logits
from taskpoint.engine.sweep import sweep_last_logits, sweep_logits
from taskpoint.engine.sweep_decode import sweep_generate
from taskpoint.engine.truncated import cut_context
from taskpoint.errors import ModelError, PlanError
from taskpoint.models import families as families_module
from taskpoint.models.anatomy import anatomy
from taskpoint.models.families import register_family

PROMPT = PROMPTS["ragged, rows differ"]
ARGUMENTS = (PROMPT.input_ids, PROMPT.drop, PROMPT.mask)


class CountingAttention(LlamaAttention):
    """A window that counts stored keys, and tells nobody."""

    window = 4

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.reach = self.window

    def forward(
        self, hidden_states: Any, *, attention_mask: Any = None, past_key_values: Any = None, **named: Any
    ) -> Any:
        stored = None if past_key_values is None else past_key_values.layers[self.layer_idx].keys
        past, new = 0 if stored is None else stored.shape[-2], hidden_states.shape[1]
        distance = torch.arange(past, past + new)[:, None] - torch.arange(past + new)
        near = (distance >= 0) & (distance < self.reach)
        mask = near[None, None] if attention_mask is None else attention_mask & near
        return super().forward(hidden_states, attention_mask=mask, past_key_values=past_key_values, **named)


class FarCountingAttention(CountingAttention):
    """The same, with a window that 12 tokens do not show."""

    window = 100


class DeclaredAttention(CountingAttention):
    """The same, with a window that no short prompt shows, but with a name that says what it is."""

    window = 1500

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.local_window = self.window

    def forward(self, hidden_states: Any, **named: Any) -> Any:
        self.reach = self.local_window
        return super().forward(hidden_states, **named)


class BuiltInAttention(CountingAttention):
    """The same, with a window that was read when the model was built."""

    window = 1500

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.local_window = self.window


class LengthAttention(LlamaAttention):
    """Insists on the length that the first layer had."""

    length = 0

    def forward(self, hidden_states: Any, **named: Any) -> Any:
        if self.layer_idx == 0:
            LengthAttention.length = hidden_states.shape[1]
        return super().forward(hidden_states.view(-1, LengthAttention.length, 32), **named)


class RecurrentAttention(LlamaAttention):
    """Every token also gets what the tokens before it carried on, whatever the mask says."""

    def forward(self, hidden_states: Any, **named: Any) -> Any:
        output, weights = super().forward(hidden_states, **named)
        return output + 0.1 * hidden_states.cumsum(1), weights


class FaintAttention(LlamaAttention):
    """Nearly nothing is read from other tokens."""

    def forward(self, hidden_states: Any, **named: Any) -> Any:
        output, weights = super().forward(hidden_states, **named)
        return output * 1e-6, weights


def toy(kind: str, attention: type[LlamaAttention] | None) -> Any:
    class ToyConfig(hf.LlamaConfig):
        model_type = kind

    class ToyModel(hf.LlamaModel):
        config_class = ToyConfig

    class ToyForCausalLM(hf.LlamaForCausalLM):
        config_class = ToyConfig

    sizes = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": FEW_LAYERS, "num_attention_heads": 4}
    config = ToyConfig(**sizes, intermediate_size=48, num_key_value_heads=2, bos_token_id=None, eos_token_id=None)
    torch.manual_seed(0)
    model = ToyForCausalLM(config)
    model.model = ToyModel(config)
    if attention is not None:
        for index, layer in enumerate(model.model.layers):
            layer.self_attn = attention(config, index)
    return randomised(model)


@pytest.fixture
def own_families() -> Iterator[None]:
    """Forgets what a test registers."""
    before = dict(families_module._FAMILIES)
    yield
    families_module._FAMILIES.clear()
    families_module._FAMILIES.update(before)


def rows_of_last_layer(model: Any) -> list[int]:
    """How many tokens reach the last layer in a plain call."""
    seen: list[int] = []
    last = anatomy(model).layers[-1]
    with hooked(last, before=lambda layer, args, kwargs: seen.append(args[0].shape[1])), torch.inference_mode():
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


def test_a_family_that_counts_by_itself_is_found() -> None:
    result = check(toy("toy_counting", CountingAttention))
    assert not result.exact
    assert result.largest_difference > 1e-2
    assert "at cut" in result.reason


def test_a_window_that_twelve_tokens_do_not_reach_is_found_on_a_long_prompt() -> None:
    result = check(toy("toy_far", FarCountingAttention))
    assert not result.exact
    assert result.reason.endswith("at cut 0 of 160 tokens")


def test_a_declared_length_that_no_prompt_reaches_is_found_by_making_it_small() -> None:
    model = toy("toy_declared", DeclaredAttention)
    with untouched(model):
        result = check(model)
    assert not result.exact
    assert result.reason.endswith("with local_window made small")
    assert {layer.self_attn.local_window for layer in anatomy(model).layers} == {1500}


def test_a_declared_length_comes_back_when_the_check_fails() -> None:
    model = toy("toy_declared", DeclaredAttention)

    def stop(layer: Any, args: Any, kwargs: Any) -> None:
        if layer.self_attn.local_window != 1500:
            raise ZeroDivisionError("while it is small")

    with untouched(model), hooked(anatomy(model).layers[0], before=stop):
        assert not check(model).exact
    with hooked(anatomy(model).layers[0], before=stop):
        model(PROMPT.input_ids)


def test_a_declared_length_that_cannot_be_looked_at_is_not_taken_on_trust(own_families: None) -> None:
    """Unless the family's owner says that masks hold it."""
    model = toy("toy_built_in", BuiltInAttention)
    assert "local_window=1500" in check(model).reason
    with pytest.warns(UserWarning, match="nothing is saved"):
        assert not exact(model)
    register_family("toy_built_in", by_mask=("local_window",))
    assert exact(model)
    register_family("toy_built_in", by_mask=("other",))
    with pytest.warns(UserWarning, match="local_window=1500"):
        assert not exact(model)


def test_windows_of_covered_families_may_be_longer_than_any_prompt_of_the_check() -> None:
    """Making them small is what shows them: they are then found right, not left out."""
    config = CONFIGS["gemma3_text"](FEW_LAYERS)
    config.sliding_window = 100
    model = randomised(hf.AutoModelForCausalLM.from_config(config))
    assert check(model).exact


def test_what_hiding_hardly_changes_proves_nothing() -> None:
    result = check(toy("toy_faint", FaintAttention))
    assert not result.exact
    assert result.largest_difference < 1e-5
    assert "too little to tell" in result.reason


def bert(**named: Any) -> Any:
    sizes = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": FEW_LAYERS, "num_attention_heads": 4}
    torch.manual_seed(0)
    return randomised(hf.BertLMHeadModel(hf.BertConfig(**sizes, intermediate_size=48, **named)))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: toy("toy_unsound", RecurrentAttention), "keeps a state beside attention"),
        (bert, "attends to later tokens"),
    ],
)
def test_where_masks_do_not_hide_the_model_is_refused(model: Any, reason: str) -> None:
    model = model()
    for use in (lambda: check(model), lambda: sweep_logits(model, *ARGUMENTS)):
        with pytest.raises(ModelError, match=f"can be neither cut nor masked: .*{reason}") as caught:
            use()
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=reason), cut_context(model, 1, PROMPT.drop):
        pass


def test_layers_that_lie_deeper_than_what_is_given_the_tokens_are_found() -> None:
    assert check(bert(is_decoder=True)).exact


def test_layers_that_run_twice_are_refused() -> None:
    model = toy("toy_looped", None)

    def again(layer: Any, args: Any, kwargs: Any, output: Any) -> Any:
        return model.model.layers[0](output, **kwargs)

    with hooked(model.model.layers[1], after=again), pytest.raises(ModelError, match=r"ran 0, 1, 0, 2"):
        check(model)


def test_masks_that_are_read_the_other_way_round_are_found(own_families: None) -> None:
    register_family("toy_turned", mask_hides=True)
    with pytest.raises(ModelError, match="reads masks in another way"):
        check(toy("toy_turned", None))


def test_a_family_that_fails_on_fewer_tokens_is_found() -> None:
    result = check(toy("toy_length", LengthAttention))
    assert not result.exact
    assert result.largest_difference == float("inf")
    assert "fewer tokens" in result.reason


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
