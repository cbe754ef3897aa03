"""A model of one's own, whose layers lie where nobody would look, is cut after one line of registration."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import PROMPTS, TOKENS, TOLERANCE, VOCAB, inputs, randomised, untouched
from torch import Tensor, nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from taskpoint import register_family
from taskpoint.engine.check import check
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context, reference_sweep_logits
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of

CELLS = 3
PROMPT = PROMPTS["ragged, rows differ"]

pytestmark = pytest.mark.usefixtures("own_families")


class CellConfig(PretrainedConfig):
    model_type = "cells"
    vocab_size = VOCAB
    hidden_size = 16
    depth = CELLS
    reach = 0
    """Window in stored keys; 0 for none."""
    use_cache = True


class Cell(nn.Module):
    """One head; no part is called attention."""

    def __init__(self, config: CellConfig, index: int) -> None:
        super().__init__()
        self.index, self.reach = index, config.reach
        self.mix = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: Tensor, attention_mask: Tensor | None = None, past_key_values: Any = None, **named: Any
    ) -> Tensor:
        query, key, value = (part[:, None] for part in self.mix(x).chunk(3, dim=-1))  # [B, 1, L, D]
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.index)
        score = query @ key.transpose(-1, -2)
        if attention_mask is not None:
            score = score + attention_mask
        if self.reach:
            place = torch.arange(key.shape[2])
            far = place[-query.shape[2] :, None] - place >= self.reach
            score = score.masked_fill(far, torch.finfo(score.dtype).min)
        return x + torch.tanh(self.out((score.softmax(-1) @ value)[:, 0]))


class Trunk(nn.Module):
    def __init__(self, config: CellConfig) -> None:
        super().__init__()
        self.cells = nn.Sequential(*(Cell(config, index) for index in range(config.depth)))

    def forward(self, x: Tensor, mask: Tensor, cache: Any) -> Tensor:
        for cell in self.cells:
            x = cell(x, attention_mask=mask, past_key_values=cache)
        return x


class CellModel(PreTrainedModel):
    config_class = CellConfig

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.places = nn.Embedding(64, config.hidden_size)
        self.trunk = Trunk(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        use_cache: Any = None,
        **named: Any,
    ) -> BaseModelOutputWithPast:
        if past_key_values is None and use_cache:
            past_key_values = DynamicCache()
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        if position_ids is None:
            position_ids = torch.arange(past, past + input_ids.shape[1])[None]
        words = self.words(input_ids)
        mask = create_causal_mask(self.config, words, attention_mask, past_key_values)
        hidden = self.trunk(words + self.places(position_ids), mask, past_key_values)
        return BaseModelOutputWithPast(hidden, past_key_values)


class CellForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = CellConfig

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        self.inner = CellModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.inner.words

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        use_cache: Any = None,
        cache: Any = None,  # what generate calls it since transformers 5.24
        **named: Any,
    ) -> CausalLMOutputWithPast:
        cache = past_key_values if cache is None else cache
        out = self.inner(input_ids, attention_mask, position_ids, cache, use_cache)
        return CausalLMOutputWithPast(None, self.head(out.last_hidden_state), cache_of(out))


def cells(**named: Any) -> Any:
    torch.manual_seed(0)
    config = CellConfig(num_hidden_layers=CELLS, **named)
    config._attn_implementation = "eager"
    model = randomised(CellForCausalLM(config))
    for weights in model.parameters():
        weights.data.mul_(2)  # one narrow head without a norm
    return model


def test_layers_that_are_not_found_are_asked_for() -> None:
    with pytest.raises(ModelError, match=r"no list of 3 attending layers.*taskpoint\.register_family") as caught:
        anatomy(cells())
    assert "\n" not in str(caught.value)


@torch.inference_mode()
def test_registered_layers_are_cut_and_swept() -> None:
    register_family("cells", layers="inner.trunk.cells")
    model = cells()
    assert check(model).exact
    parts = anatomy(model)
    assert parts.num_layers == CELLS
    assert parts.decoder is model.inner  # what is given the tokens, around what holds the layers
    arguments = (PROMPT.input_ids, PROMPT.drop, PROMPT.mask)
    with untouched(model):
        swept = sweep_logits(model, *arguments)
        torch.testing.assert_close(swept, reference_sweep_logits(model, *arguments), atol=TOLERANCE, rtol=0)
        answers = sweep_generate(model, *arguments, max_new_tokens=3)
        for cut in range(CELLS + 1):
            with mask_context(model, cut, PROMPT.drop):
                masked = model.generate(PROMPT.input_ids, **PROMPT.padding, max_new_tokens=3, do_sample=False)
            with cut_context(model, cut, PROMPT.drop):
                gone = model.generate(PROMPT.input_ids, **PROMPT.padding, max_new_tokens=3, do_sample=False)
                logits = model(PROMPT.input_ids, **inputs(model, PROMPT.mask)).logits[:, -1]
            assert torch.equal(gone, masked)
            assert torch.equal(answers[cut], masked[:, TOKENS:])
            torch.testing.assert_close(logits, swept[cut], atol=TOLERANCE, rtol=0)
    assert (swept[0] - swept[-1]).abs().max() > 0.1


def test_a_window_in_stored_keys_is_exact_once_it_is_registered_and_masked_before() -> None:
    model = cells(reach=6)
    register_family("cells", layers="inner.trunk.cells")
    assert not check(model).exact
    register_family("cells", layers="inner.trunk.cells", index_window="reach")
    assert check(model).exact
    swept = sweep_logits(model, PROMPT.input_ids, PROMPT.drop, PROMPT.mask)
    masked = reference_sweep_logits(model, PROMPT.input_ids, PROMPT.drop, PROMPT.mask)
    torch.testing.assert_close(swept, masked, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"layers": "inner.cells"}, "has no layers at 'inner.cells'"),
        ({"layers": "inner.words"}, "is a Embedding; register_family needs the path of a ModuleList"),
        ({"layers": "inner.trunk.cells", "index_window": "span"}, "has no entry 'span'"),
        ({"layers": "inner.trunk.cells", "index_window": "depth", "index_window_types": "kinds"}, "no entry 'kinds'"),
    ],
)
def test_a_row_that_does_not_fit_the_model_is_refused_in_one_line(named: dict[str, str], expected: str) -> None:
    register_family("cells", **named)
    with pytest.raises(ModelError) as caught:
        anatomy(cells())
    assert expected in str(caught.value)
    assert "register_family" in str(caught.value)
    assert "\n" not in str(caught.value)
