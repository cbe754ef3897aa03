"""The output projection of attention, found in every family, and layers without their attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import CONFIGS, FEW_LAYERS, VOCAB, family, fresh, snapshot
from torch import Tensor, nn

from taskpoint.engine.calls.projections import output_projections, without_attention
from taskpoint.errors import ModelError

IDS = torch.randint(3, VOCAB, (2, 9), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", CONFIGS)
def test_without_its_projection_no_layer_of_any_family_lets_a_token_see_another(name: str) -> None:
    model = family(name, layers=FEW_LAYERS)
    found = output_projections(model)
    other = IDS.clone()
    other[:, :-1] = other[:, :-1].flip(0)
    with torch.inference_mode(), without_attention(found):
        one, two = (model(ids, use_cache=False).logits[:, -1] for ids in (IDS, other))
    assert [each.heads * each.head_size for each in found] == [model.config.get_text_config().hidden_size] * FEW_LAYERS
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_a_layer_without_attention_is_its_mlp_on_the_residual_stream_of_the_layer_below() -> None:
    model = family("llama", layers=FEW_LAYERS)
    layer, residual = model.model.layers[1], torch.randn(2, 5, 32)
    place = torch.arange(5)[None]
    with torch.inference_mode():
        with without_attention(output_projections(model)[1:2]):
            found = layer(residual, position_embeddings=model.model.rotary_emb(residual, place))
        expected = residual + layer.mlp(layer.post_attention_layernorm(residual))
    torch.testing.assert_close(found, expected)


def test_bloom_keeps_the_residual_stream_that_its_attention_adds() -> None:
    model = family("bloom", layers=FEW_LAYERS)
    with torch.inference_mode(), without_attention(output_projections(model)):
        states = model(IDS, output_hidden_states=True, use_cache=False).hidden_states
    layer = model.transformer.h[0]
    with torch.inference_mode():
        expected = layer.mlp(layer.post_attention_layernorm(states[0]), states[0])
    torch.testing.assert_close(states[1], expected)


def test_adapters_stand_beside_the_projection_that_is_found() -> None:
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(
        fresh("llama"), peft.LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights=False)
    )
    found = output_projections(model)
    assert found[0].name == "model.layers.0.self_attn.o_proj"
    assert found[0].module is model.get_base_model().model.layers[0].self_attn.o_proj  # adapter included


def test_looking_for_projections_leaves_a_model_as_it_was() -> None:
    model = fresh("gpt_neo").train()
    before = snapshot(model)
    output_projections(model)
    assert snapshot(model) == before
    assert model.training


def test_attention_that_has_a_way_around_its_projection_is_refused() -> None:
    class Around(nn.Module):
        """Adds the mean of all tokens after the projection."""

        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            states: Tensor = kwargs["hidden_states"]
            output, *rest = self.inner(*args, **kwargs)
            return output + states.mean(1, keepdim=True), *rest

    model = fresh("llama")
    model.model.layers[0].self_attn = Around(model.model.layers[0].self_attn)
    with pytest.raises(ModelError, match="past the output projection"):
        output_projections(model)


def test_a_layer_without_a_linear_map_in_its_attention_is_refused() -> None:
    model = fresh("llama")

    class Nothing(nn.Module):
        def forward(self, hidden_states: Tensor, **kwargs: Any) -> Any:
            return torch.zeros_like(hidden_states), None

    model.model.layers[2].self_attn = Nothing()
    with pytest.raises(ModelError, match="attention of layer 2"):
        output_projections(model)


def test_heads_that_do_not_divide_what_attention_gives_are_refused() -> None:
    model = fresh("llama")
    model.config.num_attention_heads = 5
    with pytest.raises(ModelError, match="not 5 heads of one size"):
        output_projections(model)
