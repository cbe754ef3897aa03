"""Sizes read from a Hugging Face configuration, under whichever name a family keeps them.

Everything is read by attribute name, so that no model library is imported. What would make the arithmetic wrong is
refused: a size that differs by layer, or layers of another kind than a plain decoder's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from taskpoint.errors import ModelError

# Configurations do not say whether an MLP has a gate. These families have none; nearly all others have one.
_UNGATED = frozenset([
    "apertus", "arcee", "biogpt", "bloom", "codegen", "falcon", "gpt-sw3", "gpt2", "gpt_bigcode", "gpt_neo",
    "gpt_neox", "gpt_neox_japanese", "gptj", "jais2", "mpt", "nanochat", "nemotron", "openai-gpt", "opt",
    "persimmon", "phi", "starcoder2", "xglm",
])  # fmt: skip
# Families whose layers hold other matrices than the attribute names below let one expect.
_UNLIKE = frozenset([
    "afmoe", "beam", "cpmant", "ctrl", "doge", "ernie4_5_moe", "granitemoeshared", "hunyuan_v1_moe", "hy_v3",
    "jetmoe", "laguna", "lfm2", "lfm2_moe", "mimo_v2_flash", "minimax_m3_vl_text", "moshi", "xlstm",
])  # fmt: skip
# Families whose latent attention is the plain one of DeepSeek-V2 (2024), as the tests count it.
_LATENT = frozenset(["deepseek_v2", "deepseek_v3"])
# Families whose shared expert has a gate of its own, one number per token.
_SHARED_GATE = frozenset(["qwen2_moe"])
# Names under which families keep a size, the usual one first.
NUM_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
WIDTH = ("hidden_size", "n_embd", "d_model")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
MLP = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
EXPERTS_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_k")
# What makes layers unlike a plain decoder's, with the words for the message.
_UNKNOWN = {
    "kv_lora_rank": "latent attention of its own kind",
    "num_kv_shared_layers": "layers that share keys and values",
    "attn_layer_period": "layers without attention",
    "ssm_cfg": "layers without attention",
    "mamba_d_state": "layers without attention",
    "ffn_config": "a nested MLP configuration",
    "interleave_moe_layer_step": "interleaved mixtures of another size",
    "hidden_size_per_layer_input": "per-layer inputs",
}


def text_config(config: object) -> object:
    """The part of a configuration that describes the language model; a ModelError where it describes several."""
    inner = getattr(config, "get_text_config", None)
    if not callable(inner):
        return config
    try:
        return cast(object, inner())
    except ValueError as error:
        raise ModelError(
            f"savings need a configuration with one language model: {' '.join(str(error).split())}"
        ) from None


def family_of(config: object) -> str:
    """The model type, empty where there is none; a ModelError for a family with layers of another kind."""
    family = str(read(config, "model_type") or "")
    if family in _UNLIKE or read(config, "is_encoder_decoder"):
        raise ModelError(f"savings are not known for {family or 'an encoder-decoder'}: its layers are of another kind")
    for name, words in _UNKNOWN.items():
        if read(config, name) and not (name == "kv_lora_rank" and family in _LATENT):
            raise ModelError(f"savings are not known for {family or 'a model'} with {words} ({name})")
    embedding = read(config, "word_embed_proj_dim")
    if embedding is not None and embedding != size(config, WIDTH):
        raise ModelError(f"savings are not known for {family} with embeddings of another size (word_embed_proj_dim)")
    return family


def is_gated(family: str) -> bool:
    """Whether the MLPs of a family have three matrices (gate, up, down) and not two."""
    return family not in _UNGATED


def has_shared_gate(family: str) -> bool:
    """Whether a family's shared expert has a gate of its own."""
    return family in _SHARED_GATE


def read(config: object, name: str) -> object:
    """A value of the configuration, None when it has none; a ModelError where it differs by layer."""
    try:
        return cast(object, getattr(config, name, None))
    except Exception as error:  # transformers refuses, with an error of its own, what differs by layer
        raise ModelError(f"savings need one {name} for all layers: {' '.join(str(error).split())}") from None


def size(config: object, names: Sequence[str], default: int | None = None) -> int:
    """The first of `names` that `config` has a number for.

    Raises:
        ModelError: None of them, and there is no default; or what stands there is no whole number.
    """
    for name in names:
        value = read(config, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if value is not None:
            raise ModelError(f"savings need one whole number for {name}, the configuration has {value!r:.60}")
    if default is None:
        raise ModelError(f"the model's configuration names none of {', '.join(names)}: savings cannot be computed")
    return default


def kv_heads(config: object, heads: int) -> int:
    """Number of key and value heads; Falcon and BigCode say it by flags."""
    if read(config, "new_decoder_architecture"):
        return size(config, ("num_kv_heads",), heads)
    if read(config, "multi_query"):
        return 1
    return size(config, ("num_key_value_heads",), heads)


def windows(config: object, num_layers: int) -> tuple[int | None, ...]:
    """The window of each layer, empty when every layer sees everything; a ModelError for layers of a third kind."""
    local = read(config, "attention_layers")
    if isinstance(local, Sequence):
        width = size(config, ("window_size",))
        return tuple(width if kind == "local" else None for kind in local)
    kinds = read(config, "layer_types")
    named = [str(kind) for kind in kinds] if isinstance(kinds, Sequence) else None
    if named is not None and (other := set(named) - {"full_attention", "sliding_attention"}):
        raise ModelError(f"savings are not known for layers of type {', '.join(sorted(other))}")
    window = size(config, ("sliding_window",), 0)
    if not window or read(config, "use_sliding_window") is False:
        return ()
    if named is None:
        return (window,) * num_layers
    return tuple(window if kind == "sliding_attention" else None for kind in named)


def dense_layers(config: object, num_layers: int) -> frozenset[int]:
    """Layers of a mixture model that have a dense MLP."""
    step = size(config, ("decoder_sparse_step",), 1)
    first = size(config, ("first_k_dense_replace",), 0)
    named = read(config, "mlp_only_layers")
    dense = set(named) if isinstance(named, Sequence) else set()
    return frozenset(
        layer for layer in range(num_layers) if layer in dense or layer < first or (step > 1 and (layer + 1) % step)
    )
