"""Prompts with pictures: cutting equals masking at every cut, whatever the model does with a picture on its way up."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from families import TOLERANCE, untouched
from pictures import FAMILIES, LAYERS, is_picture, pictures, seeing
from torch import Tensor

from taskpoint.engine.check import check
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context

STEPS = 3
CUTS = range(LAYERS + 1)
HIDDEN = ("as many text tokens of both rows", "text tokens of row 1 alone", "a picture, and text tokens")


def dropped(hidden: str, input_ids: Tensor) -> Tensor:
    """True for the tokens that are cut away; as many of them lie before the picture as after. [B, T]"""
    drop = torch.zeros_like(input_ids, dtype=torch.bool)
    if hidden == "as many text tokens of both rows":
        drop[0, [1, 2, -5, -3]] = True
        drop[1, [2, 4, -6, -5]] = True
    elif hidden == "text tokens of row 1 alone":
        drop[1, [2, 3, -6, -5]] = True
    else:
        drop[0] = is_picture(input_ids)[0]
        drop[1, [1, 2]] = True
    return drop


def called(model: Any, named: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits of a plain call [B, T, vocab], and the tokens that `generate` adds [B, steps]."""
    answers = model.generate(**named, max_new_tokens=STEPS + 1, do_sample=False)
    return model(**named).logits, answers[:, named["input_ids"].shape[1] :]


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_cutting_equals_masking_beside_a_picture(name: str, hidden: str) -> None:
    model, named = seeing(name), pictures(name)
    drop = dropped(hidden, named["input_ids"])
    changed = []
    for cut in CUTS:
        with mask_context(model, cut, drop):
            masked, expected = called(model, named)
        with cut_context(model, cut, drop):
            gone, answers = called(model, named)
        torch.testing.assert_close(gone[~drop], masked[~drop], atol=TOLERANCE, rtol=0)
        assert torch.equal(answers, expected), cut
        changed.append(masked[~drop])
    # Otherwise the two could agree on something else, or on nothing.
    for lower, upper in itertools.pairwise(changed):
        assert (lower - upper).abs().max() > 0.05


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_decoding_beside_a_picture_equals_masking_in_its_logits(name: str) -> None:
    """Of every step, on a cache; the greedy tokens of the two could be the same by luck."""
    model, named = seeing(name), pictures(name)
    drop = dropped("text tokens of row 1 alone", named["input_ids"])
    options = {"max_new_tokens": STEPS + 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    for cut in CUTS[:-1]:
        with mask_context(model, cut, drop):
            masked = model.generate(**named, **options)
        with cut_context(model, cut, drop):
            gone = model.generate(**named, **options)
        assert len(gone.logits) == STEPS + 1
        torch.testing.assert_close(gone.logits, masked.logits, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_every_picture_is_seen(name: str) -> None:
    """A tower whose features reached no token would make every other test here easy."""
    model, named = seeing(name), pictures(name)
    others = named | {"pixel_values": named["pixel_values"].flip(-1)}
    change = (model(**named).logits - model(**others).logits).abs().amax(-1)  # [B, T]
    before = is_picture(named["input_ids"]).cumsum(1) == 0
    assert change[:, -1].min() > 0.05
    assert not change[before].any()


@pytest.mark.parametrize("name", FAMILIES)
def test_families_that_see_are_cut_not_masked(name: str) -> None:
    model = seeing(name)
    with untouched(model):
        assert check(model).exact
