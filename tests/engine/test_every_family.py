"""Invariants 1, 2 and 5 for every family: cutting and sweeping equal masking, masking hides, halves differ by rounding.

Compact on purpose: three layers, all holes in one batch, each cut once. A few families are tested in full elsewhere.
Run with `-s` to see the largest differences, as docs/families.md lists them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from families import CONFIGS, EAGER_ONLY, EVERY_CASE, FEW_LAYERS, TOKENS, VOCAB, Prompt, family, fresh, inputs

from taskpoint.engine.checks.compare import prompts
from taskpoint.engine.checks.masking import fault_of_masking
from taskpoint.engine.checks.tested_families import TESTED_FAMILIES
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of, with_cache

CUTS = range(FEW_LAYERS + 1)
STEPS = 2
# The families in the attention that the library picks.
NAMES = tuple(dict.fromkeys(case.values[0] for case in EVERY_CASE))


def _prompts() -> tuple[Prompt, ...]:
    """One alone; holes at the start, in the middle, in pieces, all but one token, at random; the same, padded."""
    random = torch.Generator().manual_seed(1)
    place = torch.arange(TOKENS)
    pieces = (place > 1) & (place < 8) | (place == 10) | (place > 12) & (place < 15)
    scattered = torch.rand(2, TOKENS, generator=random) < 0.5
    drop = torch.stack([place < 12, (place > 4) & (place < 14), pieces, place < TOKENS - 1, *scattered])
    drop[:, -1] = False
    ids = torch.randint(3, VOCAB, drop.shape, generator=random)
    mask = (place >= torch.tensor([0, 4, 2, 3, 5, 0])[:, None]).long()
    return Prompt(ids[2:3], drop[2:3]), Prompt(ids, drop), Prompt(ids, drop & mask.bool(), mask)


ONE, EVERY, RAGGED = _prompts()


def run(model: Any, prompt: Prompt, context: AbstractContextManager[Any], tokens: Any = None) -> tuple[Any, Any]:
    """Logits of the kept tokens and of steps, greedy ones or over `tokens` [kept + B * S, vocab]; and the tokens."""
    with context:
        out = model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=True)
        logits, written = [out.logits[prompt.kept]], [out.logits[:, -1].argmax(-1)]
        for step in range(STEPS):
            seen = None if prompt.mask is None else torch.nn.functional.pad(prompt.mask, (0, step + 1), value=1)
            newest = written[-1] if tokens is None else tokens[:, step]
            named = inputs(model, seen, 1) | with_cache(model, cache_of(out)) | {"use_cache": True}
            out = model(newest[:, None], **named)
            logits.append(out.logits[:, -1])
            written.append(out.logits[:, -1].argmax(-1))
    return torch.cat(logits).float(), torch.stack(written, dim=1)


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.isfinite().all()
    return float((a - b).abs().max())


@pytest.mark.parametrize(("name", "attention"), EVERY_CASE)
@torch.inference_mode()
def test_cutting_and_sweeping_equal_masking(name: str, attention: str) -> None:
    model = family(name, attention, FEW_LAYERS)
    assert model.config._attn_implementation == attention
    prefill = decoding = sweep = 0.0
    # Only sdpa is given no mask at all where nothing is padded.
    for prompt in (ONE, RAGGED) if attention == "eager" else (ONE, EVERY, RAGGED):
        arguments, kept = (prompt.input_ids, prompt.drop, prompt.mask), int(prompt.kept.sum())
        swept = sweep_logits(model, *arguments)  # [C, B, vocab]
        answers = sweep_generate(model, *arguments, max_new_tokens=STEPS + 1)  # [C, B, new]
        last = prompt.kept.sum(1).cumsum(0) - 1
        for cut in CUTS:
            masked, tokens = run(model, prompt, mask_context(model, cut, prompt.drop))
            gone, _ = run(model, prompt, cut_context(model, cut, prompt.drop), tokens)
            prefill = max(prefill, far(gone[:kept], masked[:kept]))
            decoding = max(decoding, far(gone[kept:], masked[kept:]))
            sweep = max(sweep, far(swept[cut], masked[last]))
            assert torch.equal(answers[cut], tokens), cut
    print(f"{name} {attention}: prefill {prefill:.1e}, decoding {decoding:.1e}, sweep {sweep:.1e}")
    assert max(prefill, decoding, sweep) <= 1e-5  # asked for is 1e-4


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_masking_hides_wholly_and_every_layer_of_a_cut_matters(name: str) -> None:
    """Otherwise the two could agree on something else, or on nothing."""
    model = family(name, None, FEW_LAYERS)
    parts = anatomy(model)
    assert fault_of_masking(model, parts, prompts(model, 12)[0], list(CUTS[:-1]), share=1e-4) is None
    logits = sweep_logits(model, RAGGED.input_ids, RAGGED.drop, RAGGED.mask)  # [C, B, vocab]
    for lower in CUTS[:-1]:
        assert far(logits[lower], logits[lower + 1]) > 0.05
    assert far(logits[0], logits[-1]) > 0.3
    ordinary = model(RAGGED.input_ids, **inputs(model, RAGGED.mask)).logits[:, -1]
    assert far(logits[-1], ordinary) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_in_half_precision_cutting_is_nearer_to_masking_than_masking_is_to_float32(
    name: str, dtype: torch.dtype
) -> None:
    """So it differs by rounding alone. On the mean, because rounding sends some tokens to other experts."""
    whole, half, cut = family(name, None, FEW_LAYERS), fresh(name, None, FEW_LAYERS).to(dtype), 1
    masked, tokens = run(half, RAGGED, mask_context(half, cut, RAGGED.drop))
    exact, _ = run(whole, RAGGED, mask_context(whole, cut, RAGGED.drop), tokens)
    gone, _ = run(half, RAGGED, cut_context(half, cut, RAGGED.drop), tokens)
    swept = sweep_logits(half, RAGGED.input_ids, RAGGED.drop, RAGGED.mask)[cut]
    rounding = (masked - exact).abs().mean()
    last = RAGGED.kept.sum(1).cumsum(0) - 1
    assert 0 < rounding < 0.1  # hiding tokens changes some logits by more than 0.3
    assert (gone - masked).abs().mean() < rounding
    assert (swept - masked[last]).abs().mean() < rounding


def test_the_families_that_skip_the_self_check_are_those_tested_here() -> None:
    assert {anatomy(family(name, None, FEW_LAYERS)).family for name in NAMES} == TESTED_FAMILIES


def test_families_are_tested_in_every_attention_that_they_offer() -> None:
    for name in CONFIGS:
        try:
            offered = fresh(name, "sdpa", FEW_LAYERS).config._attn_implementation == "sdpa"
        except ValueError:
            offered = False
        assert offered == (name not in EAGER_ONLY), name
