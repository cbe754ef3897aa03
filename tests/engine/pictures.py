"""Tiny random vision-language models, and two prompts with a picture each, of every family that is cut exactly.

Weights are drawn as those of `families.py`. The picture stands among text, in row 1 one token later than in row 0.
Shapes: B prompts (2), T tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from families import VOCAB, WINDOW, randomised
from torch import Tensor

LAYERS = 4
_IMAGE, _VIDEO, _START, _END = 98, 97, 96, 95
_FIRST_SPECIAL = 95
_BEFORE, _AFTER = 6, 9
"""Text tokens before and after the picture, in row 0."""

_TEXT: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "num_hidden_layers": LAYERS,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_EIGHT = _TEXT | {"head_dim": 8}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}}
_QWEN_TOWER: dict[str, Any] = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2}
_QWEN_IDS = {
    "image_token_id": _IMAGE,
    "video_token_id": _VIDEO,
    "vision_start_token_id": _START,
    "vision_end_token_id": _END,
}


@dataclass(frozen=True)
class _Kind:
    """How a family is built, and what its picture looks like.

    Attributes:
        config: gives the config.
        pixels: by name, the arguments that hold the two pictures.
        tokens: places that a picture takes in the prompt.
        types: the argument that tells picture tokens (1) from text (0), for families that need it.
    """

    config: Callable[[], Any]
    pixels: Callable[[torch.Generator], dict[str, Tensor]]
    tokens: int = 4
    types: str | None = None


def _plain(size: int) -> Callable[[torch.Generator], dict[str, Tensor]]:
    """Square pictures of `size` pixels. [B, 3, size, size]"""
    return lambda random: {"pixel_values": torch.randn(2, 3, size, size, generator=random)}


def _patches(side: int) -> Callable[[torch.Generator], dict[str, Tensor]]:
    """Four by four patches a picture, each a row: 3 channels, 2 frames, `side` by `side` pixels. [B * 16, pixels]"""
    return lambda random: {
        "pixel_values": torch.randn(2 * 16, 3 * 2 * side * side, generator=random),
        "image_grid_thw": torch.tensor([[1, 4, 4]] * 2),
    }


def _tiles(random: torch.Generator) -> dict[str, Tensor]:
    """A small picture of the whole and one tile. [B, 2, 3, 56, 56]"""
    return {
        "pixel_values": torch.randn(2, 2, 3, 56, 56, generator=random),
        "image_sizes": torch.tensor([[56, 56]] * 2),
    }


def _idefics(random: torch.Generator) -> dict[str, Tensor]:
    """One picture a prompt. [B, 1, 3, 56, 56]"""
    return {"pixel_values": torch.randn(2, 1, 3, 56, 56, generator=random)}


def _sized(random: torch.Generator) -> dict[str, Tensor]:
    return _plain(56)(random) | {"image_sizes": torch.tensor([[56, 56]] * 2)}


def _llava() -> Any:
    return hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**_TOWER),
        text_config=hf.LlamaConfig(**_TEXT),
        image_token_index=_IMAGE,
        image_seq_length=4,
        vision_feature_layer=-1,
    )


def _llava_next() -> Any:
    return hf.LlavaNextConfig(
        vision_config=hf.CLIPVisionConfig(**_TOWER | {"image_size": 56, "patch_size": 28}),
        text_config=hf.MistralConfig(**_TEXT, sliding_window=WINDOW),
        image_token_index=_IMAGE,
        image_grid_pinpoints=[[56, 56]],
        vision_feature_layer=-1,
    )


def _mistral3() -> Any:
    return hf.Mistral3Config(
        vision_config=hf.PixtralVisionConfig(**_TOWER | {"image_size": 56}),
        text_config=hf.MistralConfig(**_TEXT, sliding_window=None),
        image_token_index=_IMAGE,
    )


def _idefics3() -> Any:
    return hf.Idefics3Config(
        vision_config=hf.Idefics3VisionConfig(**_TOWER | {"image_size": 56}).to_dict(),
        text_config=hf.LlamaConfig(**_TEXT | {"pad_token_id": 0}),
        image_token_id=_IMAGE,
        scale_factor=2,
    )


def _smolvlm() -> Any:
    return hf.SmolVLMConfig(
        vision_config=hf.SmolVLMVisionConfig(**_TOWER | {"image_size": 56}).to_dict(),
        text_config=hf.LlamaConfig(**_TEXT | {"pad_token_id": 0}),
        image_token_id=_IMAGE,
        scale_factor=2,
    )


def _gemma3() -> Any:
    kinds = ["sliding_attention", "full_attention"] * (LAYERS // 2)
    return hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(**_EIGHT, sliding_window=WINDOW, layer_types=kinds),
        vision_config=hf.SiglipVisionConfig(**_TOWER | {"image_size": 56}),
        mm_tokens_per_image=4,
        image_token_index=_IMAGE,
        boi_token_index=_START,
        eoi_token_index=_END,
    )


def _internvl() -> Any:
    tower = {"image_size": [56, 56], "patch_size": [14, 14]}
    return hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**_TOWER | tower),
        text_config=hf.Qwen2Config(**_TEXT),
        image_token_id=_IMAGE,
        image_seq_length=4,
    )


def _qwen2_vl() -> Any:
    kinds = hf.models.qwen2_vl.configuration_qwen2_vl
    text = kinds.Qwen2VLTextConfig(**_TEXT | _MROPE)
    vision = kinds.Qwen2VLVisionConfig(**_QWEN_TOWER, embed_dim=16, hidden_size=32)
    return hf.Qwen2VLConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), **_QWEN_IDS)


def _qwen2_5_vl() -> Any:
    kinds = hf.models.qwen2_5_vl.configuration_qwen2_5_vl
    sizes = {"hidden_size": 16, "intermediate_size": 24, "out_hidden_size": 32, "window_size": 8}
    text = kinds.Qwen2_5_VLTextConfig(**_TEXT | _MROPE)
    vision = kinds.Qwen2_5_VLVisionConfig(**_QWEN_TOWER, **sizes, fullatt_block_indexes=[1])
    return hf.Qwen2_5_VLConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), **_QWEN_IDS)


def _deepstack_tower() -> dict[str, Any]:
    """Features of both of its layers, the first and the second, enter the decoder after its layers 0 and 1."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "out_hidden_size": 32, "num_position_embeddings": 16}
    return _QWEN_TOWER | sizes | {"depth": 3, "deepstack_visual_indexes": [0, 1]}


def _qwen3_vl() -> Any:
    kinds = hf.models.qwen3_vl.configuration_qwen3_vl
    text = kinds.Qwen3VLTextConfig(**_EIGHT | _MROPE)
    vision = kinds.Qwen3VLVisionConfig(**_deepstack_tower())
    return hf.Qwen3VLConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), **_QWEN_IDS)


def _qwen3_vl_moe() -> Any:
    kinds = hf.models.qwen3_vl_moe.configuration_qwen3_vl_moe
    text = kinds.Qwen3VLMoeTextConfig(**_EIGHT | _MROPE | _EXPERTS)
    vision = kinds.Qwen3VLMoeVisionConfig(**_deepstack_tower())
    return hf.Qwen3VLMoeConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), **_QWEN_IDS)


def _granite4_vision() -> Any:
    """Features enter the decoder before its layers 0, 1 and 2."""
    text = hf.Granite4VisionTextConfig(**_TEXT)
    tower = {"hidden_size": 64, "num_hidden_layers": 3, "image_size": 56}  # its downsampler has heads of 64
    qformer = {"hidden_size": 64, "num_attention_heads": 1, "encoder_hidden_size": 64, "intermediate_size": 24}
    return hf.Granite4VisionConfig(
        vision_config=hf.CLIPVisionConfig(**_TOWER | tower),
        text_config=text,
        qformer_config=qformer
        | {"num_hidden_layers": 1, "cross_attention_frequency": 1, "model_type": "blip_2_qformer"},
        image_token_index=_IMAGE,
        image_grid_pinpoints=[[56, 56]],
        downsample_rate="1/2",
        deepstack_layer_map=[[-2, 0], [-1, 1]],
        spatial_target_layers=[2, 2, 2, 2],
    )


def _glm4v() -> Any:
    sizes = {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 24, "image_size": 16}
    vision = hf.Glm4vVisionConfig(**_QWEN_TOWER, **sizes)
    ends = {"image_start_token_id": _START, "image_end_token_id": _END, "video_start_token_id": 94}
    return hf.Glm4vConfig(
        vision_config=vision.to_dict(),
        text_config=hf.Glm4vTextConfig(**_TEXT | _MROPE).to_dict(),
        image_token_id=_IMAGE,
        video_token_id=_VIDEO,
        **ends,
        video_end_token_id=93,
    )


_KINDS: dict[str, _Kind] = {
    "llava": _Kind(_llava, _plain(28)),
    "llava_next": _Kind(_llava_next, _tiles, tokens=10),
    "mistral3": _Kind(_mistral3, _sized),
    "idefics3": _Kind(_idefics3, _idefics),
    "smolvlm": _Kind(_smolvlm, _idefics),
    "gemma3": _Kind(_gemma3, _plain(56), types="token_type_ids"),
    "internvl": _Kind(_internvl, _plain(56)),
    "qwen2_vl": _Kind(_qwen2_vl, _patches(4), types="mm_token_type_ids"),
    "qwen2_5_vl": _Kind(_qwen2_5_vl, _patches(4), types="mm_token_type_ids"),
    "qwen3_vl": _Kind(_qwen3_vl, _patches(4), types="mm_token_type_ids"),
    "qwen3_vl_moe": _Kind(_qwen3_vl_moe, _patches(4), types="mm_token_type_ids"),
    "glm4v": _Kind(_glm4v, _patches(4), types="mm_token_type_ids"),
    "granite4_vision": _Kind(_granite4_vision, _tiles, tokens=10),
}

FAMILIES = tuple(name for name in _KINDS if name in hf.CONFIG_MAPPING)
"""Vision-language families that the installed library has, by model type."""

DEEPSTACK = ("qwen3_vl", "qwen3_vl_moe", "granite4_vision")
"""Those that add features of the picture between decoder layers, the last of them before layer 2."""


@functools.cache
def seeing(name: str) -> Any:
    """A model of that family, the same object for every test: a cut must leave it as it was."""
    return fresh_seeing(name)


def fresh_seeing(name: str) -> Any:
    """A model of that family for this test alone."""
    torch.manual_seed(0)
    with torch.inference_mode(False):
        return randomised(hf.AutoModelForImageTextToText.from_config(_KINDS[name].config()))


def pictures(name: str) -> dict[str, Tensor]:
    """What a call of that family's model, or its `generate`, is given: two prompts with a picture each.

    `input_ids` [B, T] beside pixels and whatever else the family wants. `is_picture` says which tokens are not text.
    """
    kind, random = _KINDS[name], torch.Generator().manual_seed(2)
    length = _BEFORE + kind.tokens + _AFTER + 2
    ids = torch.randint(3, _FIRST_SPECIAL, (2, length), generator=random)
    for row, start in enumerate((_BEFORE, _BEFORE + 1)):
        ids[row, start] = _START
        ids[row, start + 1 : start + 1 + kind.tokens] = _IMAGE
        ids[row, start + 1 + kind.tokens] = _END
    named = {"input_ids": ids, "attention_mask": torch.ones_like(ids)} | kind.pixels(random)
    return named if kind.types is None else named | {kind.types: is_picture(ids).long()}


def is_picture(input_ids: Tensor) -> Tensor:
    """True at the places of the picture. [B, T]"""
    return input_ids == _IMAGE
