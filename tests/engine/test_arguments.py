"""Arguments with a token axis are taken by name, never by size, and never changed in place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from families import FAMILIES, PROMPTS, TOKENS, TOLERANCE, VOCAB, computing, family, inputs

from taskpoint.engine.calls.arguments import LayerCall, Sight, hide, read_call
from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.plan import present_tokens
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy

KEEP = torch.tensor([[True, False, True, True], [False, False, True, True]])


def sight(keep: torch.Tensor = KEEP) -> Sight:
    present = present_tokens(keep)
    return Sight(present, present.index, present.filler, 0, keep.shape[1])


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_a_prompt_as_long_as_another_axis_is_wide_is_cut_alike(name: str) -> None:
    """Batch 3, heads 4, layers 5, head size 8 or 16, width 32, MLP 48."""
    model = family(name)
    for tokens in (3, 4, 5, 8, 16, 32, 48):
        ids = torch.randint(3, VOCAB, (3, tokens), generator=torch.Generator().manual_seed(tokens))
        drop = torch.arange(tokens).expand(3, -1) % 3 == 1
        drop = drop & (torch.arange(tokens) < tokens - 1)
        with mask_context(model, 2, drop):
            masked = model(ids).logits
        with cut_context(model, 2, drop):
            gone = model(ids).logits
        torch.testing.assert_close(gone[~drop], masked[~drop], atol=TOLERANCE, rtol=0)


def test_an_unknown_argument_with_a_token_axis_is_refused_by_name() -> None:
    prompt = PROMPTS["pieces"]
    with cut_context(family("llama"), 2, prompt.drop):
        for extra in (torch.ones(3, TOKENS), torch.ones(TOKENS), torch.ones(1, 1, TOKENS, 2)):
            with pytest.raises(ModelError, match=r"'per_token'.*cannot be cut") as caught:
                family("llama")(prompt.input_ids, per_token=extra)
            assert "\n" not in str(caught.value)
        family("llama")(prompt.input_ids, per_channel=torch.ones(7))  # no token axis, no matter


def test_a_family_without_an_attention_mask_is_refused() -> None:
    with pytest.raises(ModelError, match="no argument 'attention_mask'"):
        sight().narrow(LayerCall(torch.zeros(2, 4, 8), {"bias": None}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position_ids", torch.zeros(3, 2, 4)),
        ("position_embeddings", (torch.zeros(2, 5, 8), torch.zeros(2, 5, 8))),
        ("alibi", torch.zeros(2, 3)),
        ("attention_mask", torch.ones(2, 4)),
        ("attention_mask", {"full": None}),
    ],
)
def test_a_known_argument_of_an_unknown_form_is_refused(name: str, value: Any) -> None:
    named = {"attention_mask": None} | {name: value}
    with pytest.raises(ModelError, match=r"not known|not supported") as caught:
        sight().narrow(LayerCall(torch.zeros(2, 4, 8), named))
    assert "\n" not in str(caught.value)


def test_every_known_argument_is_taken_at_the_present_tokens() -> None:
    """GPT-J looks its rotations up by position_ids in every layer; Gemma 4 adds to every layer what is its own."""
    place = torch.arange(4.0)
    named = {
        "attention_mask": None,
        "position_ids": torch.arange(4)[None],
        "position_embeddings": (place.view(1, 4, 1), place.view(1, 4, 1)),
        "position_embeddings_local": place.view(1, 4, 1),
        "per_layer_input": place.view(1, 4, 1),
        "alibi": place.view(1, 1, 4).expand(4, 1, 4),  # two rows of two heads
        "use_cache": False,
    }
    narrowed = sight().narrow(LayerCall(torch.zeros(2, 4, 8), named))
    for name in ("position_ids", "position_embeddings_local", "per_layer_input"):
        assert narrowed[name].view(2, 3).tolist() == [[0, 2, 3], [1, 2, 3]]
    assert all(part.view(2, 3).tolist() == [[0, 2, 3], [1, 2, 3]] for part in narrowed["position_embeddings"])
    assert narrowed["alibi"].view(4, 3).tolist() == [[0, 2, 3], [0, 2, 3], [1, 2, 3], [1, 2, 3]]
    assert "use_cache" not in narrowed  # nothing to take


def test_a_bias_that_all_rows_share_is_taken_at_the_last_columns_which_the_call_has() -> None:
    """MPT makes it for as many keys as the model has positions, and the newest token must get the last one."""
    bias = torch.arange(-9, 1).view(1, 1, 10)
    narrowed = sight(KEEP[:1]).narrow(LayerCall(torch.zeros(2, 4, 8), {"attention_mask": None, "position_bias": bias}))
    assert narrowed["position_bias"].tolist() == [[[-3, -1, 0]]]
    for unfit in (bias[..., :3], bias[None], bias.expand(1, 4, 10)):
        with pytest.raises(ModelError, match="'position_bias'"):
            sight(KEEP[:1]).narrow(LayerCall(torch.zeros(2, 4, 8), {"attention_mask": None, "position_bias": unfit}))
    with pytest.raises(ModelError, match="'position_bias'"):  # it cannot tell rows apart
        sight().narrow(LayerCall(torch.zeros(2, 4, 8), {"attention_mask": None, "position_bias": bias}))


def test_padding_leaves_also_where_a_module_around_the_decoder_makes_the_masks() -> None:
    """Gemma 3 with its tower hands its decoder masks of four axes, by layer type."""
    model, prompt = family("gemma3", None, 3), PROMPTS["ragged, rows differ"]
    seen: list[int] = []
    with (
        torch.inference_mode(),
        computing(anatomy(model).layers[2], seen),
        cut_context(model, 1, prompt.drop),
    ):
        model(prompt.input_ids, **inputs(model, prompt.mask))
    assert seen == [int(prompt.kept.sum(1).max())]


def test_masks_that_hide_where_they_are_true_are_narrowed_alike() -> None:
    hides = torch.ones(4, 4, dtype=torch.bool).triu(1).expand(2, 1, 4, 4)
    shows = sight().mask(~hides, torch.zeros(2, 4, 8))
    turned = replace(sight(), mask_hides=True).mask(hides, torch.zeros(2, 4, 8))
    assert shows is not None
    assert turned is not None
    assert torch.equal(turned, ~shows)
    none = replace(sight(), mask_hides=True).mask(None, torch.zeros(2, 4, 8))
    assert none is not None
    assert torch.equal(none, turned)


def test_arguments_by_position_are_read_by_name() -> None:
    class Layer(torch.nn.Module):
        def forward(
            self, hidden_states: Any, past_key_values: Any = None, attention_mask: Any = None, **more: Any
        ) -> Any:
            return hidden_states

    x, mask = torch.zeros(1, 2, 3), torch.ones(1)
    for args, kwargs in (
        ((x, None, mask), {}),
        ((x,), {"attention_mask": mask}),
        ((), {"hidden_states": x, "other": 1}),
    ):
        call = read_call(Layer(), args, kwargs)
        assert call.hidden is x
        if "other" not in kwargs:
            assert call.named["attention_mask"] is mask
    assert call.named == {"other": 1}


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.float16])
def test_a_narrowed_mask_hides_fillers_and_lets_a_filler_see_itself_alone(dtype: torch.dtype) -> None:
    lowest = False if dtype == torch.bool else torch.finfo(dtype).min
    causal = torch.ones(4, 4, dtype=torch.bool).tril().expand(2, 1, 4, 4)
    mask = causal if dtype == torch.bool else torch.zeros(2, 1, 4, 4, dtype=dtype).masked_fill(~causal, lowest)
    before = mask.clone()
    narrowed = sight().mask(mask, torch.zeros(2, 4, 8))
    assert narrowed is not None
    assert torch.equal(mask, before)
    seen = narrowed if dtype == torch.bool else narrowed == 0
    assert seen[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert seen[1, 0].int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]  # the first is a filler


def test_no_mask_stays_no_mask_where_causality_is_all_there_is() -> None:
    """A mask would keep sdpa from its fast kernels."""
    whole = sight(KEEP[:1])
    assert whole.filler is None
    assert whole.mask(None, torch.zeros(1, 4, 8)) is None


def test_several_tokens_after_a_past_get_a_causal_mask_of_true_positions_where_the_library_gives_none() -> None:
    """Plain causality would count stored keys, of which there are fewer than positions."""
    queries = present_tokens(torch.ones(1, 2, dtype=torch.bool))
    keys = torch.tensor([[0, 3, 4, 5]])  # two of four tokens were kept, then two came
    mask = Sight(queries, keys, None, 4, 2).mask(None, torch.zeros(1, 2, 8))
    assert mask is not None
    assert mask[0, 0].int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    step = Sight(present_tokens(torch.ones(1, 1, dtype=torch.bool)), keys, None, 5, 1)
    assert step.mask(None, torch.zeros(1, 1, 8)) is None  # one token sees all that is stored


def test_hiding_leaves_the_given_mask_alone() -> None:
    mask = torch.ones(2, 2, dtype=torch.bool)
    assert not hide(mask, torch.eye(2, dtype=torch.bool)).diagonal().any()
    assert mask.all()


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_masks_do_not_leak_from_one_layer_to_the_next(name: str) -> None:
    """Every layer below the cut gets the very mask that the library made, unchanged, also in the next call."""
    model, prompt = family(name), PROMPTS["ragged, rows differ"]

    def masks(context: Any = None, cut: int = 0) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []

        def note(layer: Any, args: Any, kwargs: Any) -> None:
            seen.append(read_call(layer, args, kwargs).named["attention_mask"])

        def run() -> None:
            model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=False)

        handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in anatomy(model).layers]
        try:
            if context is None:
                run()
            else:
                with context(model, cut, prompt.drop):
                    run()
        finally:
            for handle in handles:
                handle.remove()
        return seen

    ordinary = [mask.clone() for mask in masks()]
    for context in (cut_context, mask_context):
        # These hooks run before those of the cut: all layers are offered what the library made, and nothing else.
        for offered in (masks(context, 2), masks()):
            assert all(torch.equal(a, b) for a, b in zip(offered, ordinary, strict=True))


def test_hooks_come_off_also_when_the_block_raises() -> None:
    module = torch.nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), hooked(module, before=lambda *_: None, after=lambda *_: None):
        1 / 0  # noqa: B018
    assert not module._forward_hooks
    assert not module._forward_pre_hooks
