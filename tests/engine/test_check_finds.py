"""What the self-check finds: windows in stored keys, states beside attention, masks that do not hide."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as hf
from families import CONFIGS, FEW_LAYERS, PROMPTS, VOCAB, inside, randomised, untouched
from toys import (
    AheadAttention,
    BuiltInAttention,
    CountingAttention,
    DeclaredAttention,
    FaintAttention,
    FarCountingAttention,
    LengthAttention,
    RecurrentAttention,
    toy,
)

from taskpoint.engine.check import check, exact
from taskpoint.engine.cut import cut_context
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.families import register_family

PROMPT = PROMPTS["ragged, rows differ"]
ARGUMENTS = (PROMPT.input_ids, PROMPT.drop, PROMPT.mask)


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

    with inside(anatomy(model).layers[0], stop), untouched(model):
        assert not check(model).exact
    with inside(anatomy(model).layers[0], stop):
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
        (lambda: toy("toy_ahead", AheadAttention), "attends to later tokens"),
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


def test_layers_that_run_twice_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy("toy_looped", None)
    first, second = model.model.layers[:2]
    forward = second.forward
    monkeypatch.setattr(second, "forward", lambda x, **named: first(forward(x, **named), **named))
    with pytest.raises(ModelError, match=r"ran 0, 1, 0, 2"):
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
