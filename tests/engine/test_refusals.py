"""What cannot be cut is refused in one line that says what was found and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jaxtyping
import pytest
import torch
import transformers as hf
from families import LAYERS, PROMPTS, TOKENS, family, fresh, inputs, untouched

from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.present_cache import prepare_cache
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits, sweep_logits
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of, with_cache

PROMPT = PROMPTS["pieces"]
CONTEXTS = pytest.mark.parametrize("context", [cut_context, mask_context])


@pytest.fixture(autouse=True)
def _shapes_are_not_checked_for_users() -> Iterator[None]:
    """The tests' own type checks would come first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def one_line(caught: pytest.ExceptionInfo[Exception]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


@CONTEXTS
@pytest.mark.parametrize("after", [-1, LAYERS + 1, 2.0, True, "2", None])
def test_a_cut_that_is_no_layer(context: Any, after: Any) -> None:
    with pytest.raises(PlanError, match=f"0 to {LAYERS}") as caught, context(family("llama"), after, PROMPT.drop):
        pass
    one_line(caught)


@CONTEXTS
@pytest.mark.parametrize(
    ("drop", "found"),
    [
        (PROMPT.drop.int(), "int32"),
        (PROMPT.drop.float(), "float32"),
        (PROMPT.drop[0], "shape"),
        (PROMPT.drop[None], "shape"),
        (torch.zeros(0, 20, dtype=torch.bool), "shape"),
        ([True, False], "list"),
        (None, "NoneType"),
    ],
)
def test_a_drop_mask_of_another_form(context: Any, drop: Any, found: str) -> None:
    with pytest.raises(PlanError, match=found) as caught, context(family("llama"), 2, drop):
        pass
    assert "boolean tensor of shape" in one_line(caught)


@CONTEXTS
def test_a_drop_mask_without_values(context: Any) -> None:
    with (
        pytest.raises(PlanError, match=r"meta device.*device of input_ids") as caught,
        context(family("llama"), 2, PROMPT.drop.to("meta")),
    ):
        pass
    one_line(caught)


@CONTEXTS
def test_everything_dropped(context: Any) -> None:
    drop = PROMPT.drop.clone()
    drop[1] = True
    with pytest.raises(PlanError, match="every token of row 1"), context(family("llama"), 2, drop):
        pass


@CONTEXTS
def test_the_last_token_dropped(context: Any) -> None:
    drop = PROMPT.drop.clone()
    drop[2, -1] = True
    with pytest.raises(PlanError, match=r"drop\[2, -1\] = False"), context(family("llama"), 2, drop):
        pass


@CONTEXTS
@pytest.mark.parametrize("tokens", [TOKENS - 3, TOKENS + 3])
def test_a_drop_mask_that_is_longer_or_shorter_than_the_prompt(context: Any, tokens: int) -> None:
    model = family("llama")
    ids = torch.full((3, tokens), 5)
    for call in (model, lambda ids: model.generate(ids, max_new_tokens=2), lambda ids: model(ids, use_cache=False)):
        with (
            context(model, 2, PROMPT.drop),
            pytest.raises(PlanError, match="one entry for each of input_ids") as caught,
        ):
            call(ids)
        assert f"prompt has {tokens} tokens" in one_line(caught)


@CONTEXTS
def test_a_batch_with_other_rows(context: Any) -> None:
    model = family("llama")
    with context(model, 2, PROMPT.drop), pytest.raises(PlanError, match="batch has 2 rows, but drop has 3"):
        model(PROMPT.input_ids[:2])


@pytest.mark.parametrize("outer", [cut_context, mask_context])
@pytest.mark.parametrize("cut", [2, LAYERS])
def test_a_cut_inside_a_cut(outer: Any, cut: int) -> None:
    model = family("llama")
    arguments = (model, PROMPT.input_ids, PROMPT.drop)
    with untouched(model), outer(model, cut, PROMPT.drop):
        for inner in (cut_context, mask_context):
            with pytest.raises(PlanError, match="cannot be nested"), inner(model, 1, PROMPT.drop):
                pass
        for use in (sweep_logits, sweep_generate):
            with pytest.raises(PlanError, match="cannot be nested"):
                use(*arguments)


@CONTEXTS
def test_a_static_cache(context: Any) -> None:
    model = family("llama")
    with context(model, 2, PROMPT.drop), pytest.raises(PlanError, match="StaticLayer") as caught:
        model.generate(PROMPT.input_ids, max_new_tokens=2, cache_implementation="static")
    assert "cache_implementation=None" in one_line(caught)


@CONTEXTS
def test_a_cache_that_was_filled_before(context: Any) -> None:
    model = family("llama")
    cache = cache_of(model(PROMPT.input_ids, use_cache=True))
    with context(model, 2, PROMPT.drop), pytest.raises(PlanError, match="start with a new cache"):
        model(PROMPT.input_ids[:, :1], **with_cache(model, cache))


def test_a_cache_of_another_cut() -> None:
    model = family("llama")
    with cut_context(model, 2, PROMPT.drop):
        cache = cache_of(model(PROMPT.input_ids, use_cache=True))
    with cut_context(model, 3, PROMPT.drop), pytest.raises(PlanError, match="after layer 2, not 3"):
        model(PROMPT.input_ids[:, :1], **with_cache(model, cache))


def test_a_cache_of_a_cut_that_is_over() -> None:
    """Outside, nobody would tell its layers which keys they store; the answers would be wrong without a word."""
    model = family("llama")
    with cut_context(model, 2, PROMPT.drop):
        cache = cache_of(model(PROMPT.input_ids, use_cache=True))
    with pytest.raises(PlanError, match="cut that is over"):
        model(PROMPT.input_ids[:, :1], **with_cache(model, cache))


def test_a_cache_of_a_call_that_failed_and_of_a_cut_that_is_over() -> None:
    model, cache = family("llama"), hf.DynamicCache()

    def stop(*_: Any) -> None:
        raise ZeroDivisionError

    with cut_context(model, 2, PROMPT.drop):
        with pytest.raises(ZeroDivisionError), hooked(anatomy(model).layers[4], before=stop):
            model(PROMPT.input_ids, **with_cache(model, cache))
        model(PROMPT.input_ids)
    with pytest.raises(PlanError, match="cut that is over"):
        model(PROMPT.input_ids[:, :1], **with_cache(model, cache))


def test_a_cache_is_forgotten_when_it_is_reset() -> None:
    model = family("llama")
    with cut_context(model, 2, PROMPT.drop):
        out = model(PROMPT.input_ids, use_cache=True)
        for layer in cache_of(out).layers:
            layer.reset()
        if cache_of(out).layers[0].get_seq_length():
            pytest.skip("this version's own layers write zeros instead of forgetting")
        again = model(PROMPT.input_ids, **with_cache(model, cache_of(out)))
    assert torch.equal(again.logits, out.logits)


def test_assisted_decoding() -> None:
    model = family("llama")
    ids, drop = PROMPT.input_ids[:1], PROMPT.drop[:1]
    refusal = "assisted decoding is not supported|requires a cache that can be cropped"  # ours, or the library's
    with cut_context(model, 2, drop), pytest.raises((PlanError, ValueError), match=refusal):
        model.generate(ids, max_new_tokens=6, do_sample=False, prompt_lookup_num_tokens=2)


def test_rows_of_a_cache_cannot_be_selected() -> None:
    cache = hf.DynamicCache()
    prepare_cache(cache, LAYERS, 2)
    with pytest.raises(PlanError, match="cannot be selected"):
        cache.layers[2].batch_select_indices(torch.tensor([0]))


@pytest.mark.parametrize("use", [sweep_logits, sweep_generate])
def test_masks_of_a_sweep_that_do_not_fit(use: Any) -> None:
    model, ids, drop = family("llama"), PROMPT.input_ids, PROMPT.drop
    with pytest.raises(PlanError, match=r"drop has shape \[3, 19\].*\[3, 20\]"):
        use(model, ids, drop[:, 1:])
    with pytest.raises(PlanError, match=r"attention_mask has shape \[2, 20\]"):
        use(model, ids, drop, torch.ones_like(ids)[:2])
    right = torch.ones_like(ids)
    right[0, -2:] = 0
    with pytest.raises(PlanError, match="pad the prompts on the left"):
        use(model, ids, drop, right)
    hidden = drop.clone()
    hidden[0, -1] = True
    with pytest.raises(PlanError, match="last token of row 0"):
        use(model, ids, hidden)


@pytest.mark.parametrize("last", [0, TOKENS + 1])
def test_more_last_positions_than_the_prompt_has(last: int) -> None:
    with pytest.raises(PlanError, match=f"from 1 to {TOKENS}"):
        sweep_last_logits(family("llama"), PROMPT.input_ids, PROMPT.drop, last=last)


@pytest.mark.parametrize("new", [0, -1, 2.5, True])
def test_an_answer_of_no_tokens(new: Any) -> None:
    with pytest.raises(PlanError, match="at least 1"):
        sweep_generate(family("llama"), PROMPT.input_ids, PROMPT.drop, None, new)


@pytest.mark.parametrize("attention", ["flex_attention", "flash_attention_2", "my_kernel"])
def test_attention_that_counts_by_cache_index_or_takes_no_mask(attention: str) -> None:
    model = fresh("llama")
    model.config._attn_implementation_internal = attention
    for context in (cut_context, mask_context):
        with pytest.raises(ModelError, match=attention) as caught, context(model, 2, PROMPT.drop):
            pass
        assert "attn_implementation='sdpa'" in one_line(caught)
    with pytest.raises(ModelError, match=attention):
        sweep_logits(model, PROMPT.input_ids, PROMPT.drop)


@CONTEXTS
def test_an_attention_mask_of_four_axes(context: Any) -> None:
    model = family("llama")
    mask = torch.ones(3, 1, TOKENS, TOKENS, dtype=torch.bool).tril()
    with context(model, 2, PROMPT.drop), pytest.raises(ModelError, match=r"\[3, 1, 20, 20\]") as caught:
        model(PROMPT.input_ids, attention_mask=mask)
    assert "[batch, tokens]" in one_line(caught)


@CONTEXTS
def test_an_encoder_decoder(context: Any) -> None:
    sizes = {"d_model": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 16}
    model = hf.T5ForConditionalGeneration(hf.T5Config(vocab_size=20, **sizes))
    with pytest.raises(ModelError, match="encoder-decoder") as caught, context(model, 1, PROMPT.drop):
        pass
    assert "decoder-only" in one_line(caught)


def mamba() -> Any:
    return hf.MambaForCausalLM(hf.MambaConfig(vocab_size=20, hidden_size=16, num_hidden_layers=2, state_size=4))


def rwkv() -> Any:
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "attention_hidden_size": 16}
    return hf.RwkvForCausalLM(hf.RwkvConfig(**sizes, intermediate_size=16))


def llama_whose_config_says(**named: Any) -> Any:
    model = fresh("llama", None, 2)
    for name, value in named.items():
        setattr(model.config, name, value)
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (mamba, "linear_attention: their state has already read the context"),
        (rwkv, "take no attention_mask, so no token can be hidden"),
        (lambda: llama_whose_config_says(layer_types=["conv", "full_attention"]), "layers of type conv"),
        (lambda: llama_whose_config_says(layer_types=["hybrid", "full_attention"]), "layers of type hybrid"),
        (lambda: llama_whose_config_says(layer_types=["full_attention", "indexed_attention"]), "choose among keys"),
        (lambda: llama_whose_config_says(num_kv_shared_layers=1), "share keys between layers"),
        (lambda: llama_whose_config_says(use_bidirectional_attention=True), "attends to later tokens too"),
        (lambda: llama_whose_config_says(num_hidden_layers=3), "no list of 3 attending layers"),
    ],
)
def test_layers_that_cannot_be_cut(model: Any, reason: str) -> None:
    model = model()
    for context in (cut_context, mask_context):
        with pytest.raises(ModelError, match=reason) as caught, context(model, 1, PROMPT.drop):
            pass
        assert "; pass a" in one_line(caught)
    for use in (sweep_logits, sweep_generate):
        with pytest.raises(ModelError, match=reason):
            use(model, PROMPT.input_ids, PROMPT.drop)


@CONTEXTS
def test_a_module_that_is_no_transformers_model(context: Any) -> None:
    with pytest.raises(ModelError, match="pass a transformers decoder"), context(torch.nn.Linear(2, 2), 1, PROMPT.drop):
        pass


def test_right_padding_is_no_harm_where_no_answer_is_read_from_it() -> None:
    """A plain forward call under a cut takes it, as the library does; only sweeps and answers need the last token."""
    model, prompt = family("llama"), PROMPTS["pieces"]
    mask = torch.ones_like(prompt.input_ids)
    mask[1, -3:] = 0
    with torch.inference_mode():
        with mask_context(model, 2, prompt.drop):
            masked = model(prompt.input_ids, **inputs(model, mask)).logits
        with cut_context(model, 2, prompt.drop):
            gone = model(prompt.input_ids, **inputs(model, mask)).logits
    kept = prompt.kept & mask.bool()
    torch.testing.assert_close(gone[kept], masked[kept], atol=1e-4, rtol=0)


def test_a_mask_of_lone_tokens_that_does_not_fit_is_refused() -> None:
    model, lone = family("llama"), torch.zeros_like(PROMPT.drop)
    for given in (lone[:, 1:], lone.int(), [[True]]):
        with pytest.raises(PlanError, match="expected a boolean tensor of the shape of drop") as caught:
            sweep_generate(model, PROMPT.input_ids, PROMPT.drop, None, 2, lone=given)  # type: ignore[arg-type]
        one_line(caught)
    with pytest.raises(PlanError, match="skip and lone"):
        sweep_generate(model, PROMPT.input_ids, PROMPT.drop, None, 2, skip=True, lone=lone)
