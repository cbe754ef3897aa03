"""The tiny models can tell: an engine that does nothing would be noticed."""

from __future__ import annotations

import pytest
import torch
from families import CASES, CUTS, FAMILIES, PROMPTS, family

from taskpoint.engine.check import COVERED_FAMILIES
from taskpoint.engine.reference import reference_sweep_logits


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_every_single_layer_of_a_cut_changes_logits_clearly(name: str, attention: str) -> None:
    model = family(name, attention)
    prompt = PROMPTS["pieces"]
    logits = reference_sweep_logits(model, prompt.input_ids, prompt.drop)  # [C, B, vocab]
    for lower in CUTS[:-1]:
        assert (logits[lower] - logits[lower + 1]).abs().max() > 0.05
    assert (logits[0] - logits[-1]).abs().max() > 0.3


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_masking_at_the_last_cut_is_the_ordinary_model(name: str, attention: str) -> None:
    model = family(name, attention)
    prompt = PROMPTS["pieces"]
    with torch.inference_mode():
        ordinary = model(prompt.input_ids, use_cache=False).logits[:, -1]
    logits = reference_sweep_logits(model, prompt.input_ids, prompt.drop)
    torch.testing.assert_close(logits[-1], ordinary, atol=1e-5, rtol=0)


def test_the_families_that_skip_the_self_check_are_those_tested_here() -> None:
    assert set(FAMILIES) == COVERED_FAMILIES
