"""Gates are trained on a frozen model: those of heads that do nothing or harm close, all others stay open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from taskpoint.engine.calls.projections import OutputProjection, output_projections
from taskpoint.errors import ModelError
from taskpoint.training.gates import AnswerBatch, GateTraining, TrainedGates, train_gates
from taskpoint.training.hard_concrete import HardConcrete

LAYERS, HEADS, VOCAB = 2, 4, 40
USELESS, HARMFUL = (0, 2), (1, 1)


def made() -> Any:
    """A model in which one head gives nothing, and one gives noise that drowns what the others say."""
    torch.manual_seed(1)
    model = hf.LlamaForCausalLM(
        hf.LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=64,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    ).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data.normal_(0, 0.3)
    return model


def columns(projections: tuple[OutputProjection, ...], place: tuple[int, int]) -> torch.Tensor:
    layer, head = place
    return projections[layer].module.weight.data[:, head * 8 : head * 8 + 8]


def batches(model: Any, count: int) -> list[AnswerBatch]:
    """Prompts whose answers are what the model itself would say, so that every head that speaks is needed."""
    chance = torch.Generator().manual_seed(2)
    found = []
    for number in range(count):
        ids = torch.randint(VOCAB, (16, 9), generator=chance)
        mask = torch.ones_like(ids)
        mask[::3, : 1 + number % 3] = 0
        place = (mask.cumsum(-1) - 1).clamp(min=0)
        for column in (7, 8):
            with torch.inference_mode():
                logits = model(ids[:, :column], attention_mask=mask[:, :column], position_ids=place[:, :column]).logits
            ids[:, column] = logits[:, -1].argmax(-1)
        found.append(AnswerBatch(ids, mask, torch.tensor([2, 1] * 8)))
    return found


@pytest.fixture(scope="module")
def case() -> tuple[Any, tuple[OutputProjection, ...], list[AnswerBatch]]:
    model = made()
    projections = output_projections(model)
    columns(projections, USELESS).zero_()
    columns(projections, HARMFUL).zero_()
    answers = batches(model, 8)
    columns(projections, HARMFUL).normal_(0, 1.5, generator=torch.Generator().manual_seed(3))
    return model, projections, answers


def trained(case: Any, **settings: Any) -> TrainedGates:
    model, projections, answers = case
    chosen = {"penalty": 0.02, "epochs": 12, "patience": 12, "lr": 0.4, "start": 2.4, "seed": 0} | settings
    return train_gates(
        model, projections, answers[:6], answers[6:], GateTraining(**chosen, distribution=HardConcrete())
    )


def test_exactly_the_heads_that_give_nothing_or_harm_are_closed(case: Any) -> None:
    expected = np.ones((LAYERS, HEADS), dtype=bool)
    expected[USELESS] = expected[HARMFUL] = False
    found = trained(case)
    assert (found.values > 0.5).tolist() == expected.tolist()
    assert found.values[USELESS] == found.values[HARMFUL] == 0


def test_without_a_penalty_only_the_head_that_harms_is_closed(case: Any) -> None:
    expected = np.ones((LAYERS, HEADS), dtype=bool)
    expected[HARMFUL] = False
    assert (trained(case, penalty=0.0).values > 0.5).tolist() == expected.tolist()


def test_a_penalty_above_what_heads_are_worth_closes_all_of_them(case: Any) -> None:
    assert (trained(case, penalty=50.0, epochs=6).values == 0).all()


def test_the_model_is_left_as_it_was_and_the_same_seed_gives_the_same_gates(case: Any) -> None:
    model, _, _ = case
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.lm_head.weight.requires_grad = False
    model.model.layers[0].train()
    one = trained(case, epochs=2)
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert [n for n, weight in model.named_parameters() if not weight.requires_grad] == ["lm_head.weight"]
    assert model.model.layers[0].training
    assert not model.model.layers[1].training
    model.requires_grad_().eval()
    with torch.inference_mode():
        assert np.array_equal(one.values, trained(case, epochs=2).values)
    assert not np.array_equal(one.values, trained(case, epochs=2, seed=1).values)


@pytest.mark.parametrize(("penalty", "lr"), [(0.0, 1e-9), (1.0, 1e-5)])  # no better, and less than a hundredth better
def test_training_ends_where_the_loss_gets_no_better(case: Any, penalty: float, lr: float) -> None:
    notes: list[str] = []
    model, projections, answers = case
    settings = GateTraining(penalty, 30, 3, lr, 2.4, 0, HardConcrete())
    found = train_gates(model, projections, answers[:1], answers[6:], settings, notes.append)
    assert found.epochs == len(notes) == 4  # the first is better than none
    assert notes[0] == f"loss {found.loss:.3f}, {8 * 0.982:.1f} of 8 heads open"


def test_the_loss_is_that_of_the_answers_alone(case: Any) -> None:
    model, projections, answers = case
    settings = GateTraining(0.0, 1, 1, 1e-9, 2.4, 0, HardConcrete())
    found = train_gates(model, projections, answers[:1], answers[6:7], settings)
    batch, losses = answers[6], []
    for ids, mask, length in zip(batch.input_ids, batch.attention_mask, batch.lengths.tolist(), strict=True):
        alone = ids[mask.bool()][None]
        with torch.inference_mode():
            spoken = model(alone).logits[0].log_softmax(-1)
        tokens = alone.shape[1]
        losses += [-float(spoken[place - 1, alone[0, place]]) for place in range(tokens - length, tokens)]
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_loss_that_is_no_number_is_told_in_one_line(case: Any) -> None:
    _, _, answers = case
    broken = made()
    projections = output_projections(broken)
    broken.lm_head.weight.data[3] = torch.inf
    with pytest.raises(ModelError, match="the loss of head gates is"):
        train_gates(broken, projections, answers[:1], answers[:1], GateTraining(0.0, 1, 1, 0.1, 2.4, 0, HardConcrete()))
