"""Invariant 3, and the ground under invariant 1: a Llama from scratch that knows nothing of the library or the engine.

It gets one visibility matrix per layer and the true position of every token. The engine, and masking too, must give its
logits. Shapes: T tokens, D width, H heads, K key-value heads, E head size.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import CUTS, LAYERS, PROMPTS, TOKENS, TOLERANCE, WINDOW, Prompt, family, inputs
from torch import Tensor

from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_logits import sweep_logits


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return weight * x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()


def rotate(x: Tensor, position: Tensor) -> Tensor:
    """Rotary embedding of [H, T, E] at the true positions [T]."""
    half = x.shape[-1] // 2
    angle = position[:, None] * 10000.0 ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], dim=-1)


def llama(weights: dict[str, Tensor], ids: Tensor, position: Tensor, visible: list[Tensor]) -> Tensor:
    """Logits [T, vocab] of one prompt whose token q sees token k in layer i where visible[i][q, k]."""
    x = weights["model.embed_tokens.weight"][ids]  # [T, D]
    for index, seen in enumerate(visible):
        w = {k.split(f"layers.{index}.")[1]: v for k, v in weights.items() if f"layers.{index}." in k}
        y = norm(x, w["input_layernorm.weight"])
        q, k, v = ((y @ w[f"self_attn.{n}_proj.weight"].T).unflatten(-1, (-1, 8)).transpose(0, 1) for n in "qkv")
        q, k, v = rotate(q, position), rotate(k, position).repeat_interleave(2, 0), v.repeat_interleave(2, 0)
        score = (q @ k.transpose(1, 2) / 8**0.5).masked_fill(~seen, -torch.inf)  # [H, T, T]
        mixed = (score.softmax(-1) @ v).transpose(0, 1).flatten(1)
        x = x + mixed @ w["self_attn.o_proj.weight"].T
        y = norm(x, w["post_attention_layernorm.weight"])
        gate = torch.nn.functional.silu(y @ w["mlp.gate_proj.weight"].T)
        x = x + (gate * (y @ w["mlp.up_proj.weight"].T)) @ w["mlp.down_proj.weight"].T
    return norm(x, weights["model.norm.weight"]) @ weights["lm_head.weight"].T


def visibility(hidden: Tensor, cut: int, window: int | None) -> list[Tensor]:
    """Per layer: causal, within the window by true distance, and from the cut on nothing hidden but oneself."""
    place = torch.arange(len(hidden))
    distance = place[:, None] - place
    causal = (distance >= 0) & (distance < (window or len(hidden)))
    return [causal if index < cut else causal & (~hidden | (distance == 0)) for index in range(LAYERS)]


def oracle(model: Any, ids: Tensor, drop: Tensor, mask: Tensor | None, cut: int) -> list[Tensor]:
    """Logits of every prompt's true tokens, without its padding."""
    window = getattr(model.config, "sliding_window", None)
    weights = model.state_dict()
    rows = []
    for row in range(len(ids)):
        true = torch.ones(ids.shape[1], dtype=torch.bool) if mask is None else mask[row].bool()
        hidden = torch.nn.functional.pad(drop[row], (0, ids.shape[1] - drop.shape[1]))[true]
        rows.append(llama(weights, ids[row][true], torch.arange(int(true.sum())), visibility(hidden, cut, window)))
    return rows


@pytest.mark.parametrize("name", ["llama", "mistral"])
@pytest.mark.parametrize("hole", ["start", "middle", "pieces", "alone", "ragged", "ragged, rows differ"])
@torch.inference_mode()
def test_a_model_from_scratch_with_true_positions_gives_the_same_logits(name: str, hole: str) -> None:
    model, prompt = family(name), PROMPTS[hole]
    swept = sweep_logits(model, prompt.input_ids, prompt.drop, prompt.mask)
    for cut in CUTS:
        expected = oracle(model, prompt.input_ids, prompt.drop, prompt.mask, cut)
        with cut_context(model, cut, prompt.drop):
            gone = model(prompt.input_ids, **inputs(model, prompt.mask)).logits
        with mask_context(model, cut, prompt.drop):
            masked = model(prompt.input_ids, **inputs(model, prompt.mask)).logits
        for row, true in enumerate(expected):
            kept = prompt.kept[row][-len(true) :]
            torch.testing.assert_close(gone[row][-len(true) :][kept], true[kept], atol=TOLERANCE, rtol=0)
            # Masking defines the hidden tokens, too: they see what is kept, and themselves.
            torch.testing.assert_close(masked[row][-len(true) :], true, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(swept[cut], torch.stack([row[-1] for row in expected]), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["llama", "mistral"])
@pytest.mark.parametrize("hole", ["pieces", "ragged, rows differ"])
@torch.inference_mode()
def test_generated_tokens_are_those_of_the_model_from_scratch(name: str, hole: str) -> None:
    """Steps stand at true positions too, and their windows reach back by true distance."""
    model, prompt = family(name), PROMPTS[hole]
    steps = WINDOW + 2  # so that a window leaves the prompt behind
    for cut in (0, 2, 4):
        with cut_context(model, cut, prompt.drop):
            settings = {"max_new_tokens": steps, "output_logits": True, "return_dict_in_generate": True}
            out = model.generate(prompt.input_ids, **prompt.padding, do_sample=False, **settings)
        mask = None if prompt.mask is None else torch.nn.functional.pad(prompt.mask, (0, steps), value=1)
        expected = torch.stack(
            [row[-steps - 1 : -1] for row in oracle(model, out.sequences, prompt.drop, mask, cut)], 1
        )
        torch.testing.assert_close(torch.stack(out.logits), expected, atol=TOLERANCE, rtol=0)
        assert torch.equal(out.sequences[:, TOKENS:].T, expected.argmax(-1))


@torch.inference_mode()
def test_a_row_that_keeps_its_last_token_alone_sees_that_token() -> None:
    """Invariant 4: attention of a lone token is its own value, not a mean over what is hidden, and not NaN."""
    model = family("llama")
    ids = PROMPTS["alone"].input_ids
    drop = torch.ones_like(ids, dtype=torch.bool)
    drop[:, -1] = False
    alone = oracle(model, ids, drop, None, 0)
    with cut_context(model, 0, drop):
        logits = model(ids).logits[:, -1]
    torch.testing.assert_close(logits, torch.stack([row[-1] for row in alone]), atol=TOLERANCE, rtol=0)
    prompt = Prompt(ids, drop)
    with mask_context(model, 0, prompt.drop):
        torch.testing.assert_close(model(ids).logits[:, -1], logits, atol=TOLERANCE, rtol=0)
