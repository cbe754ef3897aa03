"""Some layers of a model from hidden states that were kept: logits and gradients as of the whole pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import EVERY_CASE, FEW_LAYERS, VOCAB, computing, family, untouched

from taskpoint.engine.cut import cut_context
from taskpoint.engine.some_layers import SomeLayers
from taskpoint.errors import PlanError, SettingError
from taskpoint.models.anatomy import anatomy

IDS = torch.randint(3, VOCAB, (3, 12), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("name", "attention"), EVERY_CASE)
def test_loss_and_gradients_from_every_layer_of_every_family_are_those_of_the_whole_pass(
    name: str, attention: str
) -> None:
    model = family(name, attention, FEW_LAYERS)
    layers, labels = SomeLayers(model), IDS[:, 1:]

    def loss_and_gradients(above: int, *given: Any) -> list[torch.Tensor]:
        logits = layers.logits(IDS, *given)[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        weights = list(anatomy(model).layers[above:].parameters())
        return [loss, *torch.autograd.grad(loss, weights, allow_unused=True)]

    with untouched(model):
        below = None
        for first in range(1, FEW_LAYERS):
            below = layers.states(IDS, first, first - 1, below)  # moved up layer by layer
            torch.testing.assert_close(layers.states(IDS, first), below, rtol=0, atol=0)
            whole = loss_and_gradients(first)
            part = loss_and_gradients(first, first, below)
            for one, other in zip(whole, part, strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_layers_that_are_left_out_are_not_computed(name: str) -> None:
    model = family(name, layers=FEW_LAYERS)
    layers, lengths = SomeLayers(model), list[list[int]]()
    for index in range(FEW_LAYERS):
        lengths.append([])
        with computing(anatomy(model).layers[index], lengths[index]):
            hidden = layers.states(IDS, 1)
            layers.states(IDS, 2, 1, hidden)
            layers.logits(IDS, 1, hidden)
    assert lengths == [[12], [12, 12], [12]]


def test_the_last_positions_alone_are_asked_of_the_head() -> None:
    layers = SomeLayers(family("cohere", layers=FEW_LAYERS))
    hidden = layers.states(IDS, 2)
    torch.testing.assert_close(layers.logits(IDS, 2, hidden, last=4), layers.logits(IDS)[:, -4:], rtol=1e-5, atol=1e-5)


def test_hidden_states_of_other_tokens_and_layers_that_are_not_there_are_refused() -> None:
    model = family("llama", layers=FEW_LAYERS)
    layers = SomeLayers(model)
    hidden = layers.states(IDS, 1)
    with untouched(model):
        with pytest.raises(PlanError, match=r"shape \[3, 11, 32\] enter layer 1; expected \[3, 12, 32\]"):
            layers.logits(IDS, 1, hidden[:, 1:])
        with pytest.raises(PlanError, match="enter layer 0"):
            layers.logits(IDS, 0, hidden)
        with pytest.raises(PlanError, match="enter layer 1"):
            layers.logits(IDS, 1)
        with pytest.raises(SettingError, match="end is 3; expected"):
            layers.states(IDS, FEW_LAYERS)
        with cut_context(model, 1, IDS < 5), pytest.raises(PlanError, match="under a cut"):
            layers.logits(IDS)
