"""Tiny models that go wrong in a way of their own: what the self-check has to find."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from families import FEW_LAYERS, VOCAB, randomised
from transformers.models.llama.modeling_llama import LlamaAttention

from taskpoint.models.library import cache_in


class CountingAttention(LlamaAttention):
    """A window that counts stored keys, and tells nobody."""

    window = 4

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.reach = self.window

    def forward(self, hidden_states: Any, *, attention_mask: Any = None, **named: Any) -> Any:
        cache = cache_in(named)
        layer = None if cache is None else cache.layers[self.layer_idx]
        shared = layer.context[0].shape[-2] if hasattr(layer, "context") else 0  # of a compiled prompt
        past = shared + (0 if layer is None or layer.keys is None else layer.keys.shape[-2])
        new = hidden_states.shape[1]
        distance = torch.arange(past, past + new)[:, None] - torch.arange(past + new)
        near = (distance >= 0) & (distance < self.reach)
        mask = near[None, None] if attention_mask is None else attention_mask & near
        return super().forward(hidden_states, attention_mask=mask, **named)


class AheadAttention(LlamaAttention):
    """Looks at later tokens of a call, in every other way like its mask."""

    def forward(self, hidden_states: Any, *, attention_mask: Any = None, **named: Any) -> Any:
        if attention_mask is not None:
            attention_mask = attention_mask | attention_mask.any(-2, keepdim=True)
        self.is_causal = False
        return super().forward(hidden_states, attention_mask=attention_mask, **named)


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
