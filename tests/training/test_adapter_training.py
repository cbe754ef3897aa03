"""Training from kept states gives the adapters that a plain loop over peft's model gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from families import FEW_LAYERS, VOCAB, computing, family, fresh, untouched

from taskpoint.engine.some_layers import SomeLayers
from taskpoint.errors import ModelError, SettingError
from taskpoint.models.anatomy import anatomy
from taskpoint.training.adapter_training import AdapterTraining, Lesson, Lessons, batches, steps_of
from taskpoint.training.adapters import AdapterSettings, adapted, trained
from taskpoint.training.kept_states import KeptStates, padded

CPU, ENOUGH = torch.device("cpu"), 2**30
SETTINGS = AdapterSettings(rank=2, alpha=8.0, dropout=0.0)


def made_lessons(count: int = 20) -> list[Lesson]:
    """Sequences of different lengths whose last three to six tokens are taught."""
    random = np.random.default_rng(4)
    found = []
    for _ in range(count):
        length = int(random.integers(8, 15))
        taught = np.arange(length) >= length - random.integers(3, 7)
        found.append(Lesson(random.integers(3, VOCAB, length), taught))
    return found


LESSONS = made_lessons()


def in_a_plain_loop(model: Any, settings: AdapterTraining, rows: list[int]) -> list[torch.Tensor]:
    """Whole passes over the whole model; labels, loss and rate as the Trainer of transformers has them."""
    weights = trained(model)
    optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=0.0)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / settings.steps)
    order = batches(rows, settings.batch, settings.seed)
    for _ in range(settings.steps):
        some = [LESSONS[row] for row in next(order)]
        ids = padded([one.ids for one in some], 0)
        labels = torch.full_like(ids, -100)
        for place, one in enumerate(some):
            labels[place, : len(one.ids)][one.taught] = torch.from_numpy(one.ids[one.taught])
        optimizer.zero_grad()
        model(ids, labels=labels, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rate.step()
    return [weight.detach().clone() for weight in weights]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "bloom"])
def test_adapters_are_those_of_a_plain_loop_in_whichever_order_and_memory_layers_are_trained(name: str) -> None:
    model, rows = family(name, layers=FEW_LAYERS), list(range(15))
    settings = AdapterTraining(steps=6, batch=4, lr=1e-2)
    plain = []
    for layer in range(FEW_LAYERS):
        with adapted(model, [layer], SETTINGS):
            plain.append(in_a_plain_loop(model, settings, rows))
    for order, most in (((0, 1, 2), ENOUGH), ((2, 1), ENOUGH), ((1,), 100)):
        with untouched(model):
            lessons = Lessons(model, LESSONS, 0, CPU, most)
            for layer in order:
                with adapted(model, [layer], SETTINGS):
                    assert lessons.train(layer, rows, settings).steps == 6
                    for one, other in zip(trained(model), plain[layer], strict=True):
                        torch.testing.assert_close(one.detach(), other, rtol=1e-3, atol=1e-5)


def test_all_layers_at_once_are_trained_too_and_the_loss_falls() -> None:
    model = family("llama", layers=FEW_LAYERS)
    settings = AdapterTraining(steps=40, batch=5, lr=3e-2)
    notes: list[str] = []
    with adapted(model, range(FEW_LAYERS), SETTINGS):
        lessons = Lessons(model, LESSONS, 0, CPU, ENOUGH)
        found = lessons.train(0, range(20), settings, step=notes.append)
    assert len(notes) == 40
    assert found.loss < float(notes[0].removeprefix("loss ")) - 1


def test_layers_below_the_trained_one_run_once_for_all_steps() -> None:
    model, computed = family("llama", layers=FEW_LAYERS), list[int]()
    lessons = Lessons(model, LESSONS, 0, CPU, ENOUGH)
    with computing(anatomy(model).layers[0], computed):
        for layer in (1, 2):
            with adapted(model, [layer], SETTINGS):
                seen = len(computed)  # looking for projections runs a few tokens
                lessons.train(layer, range(20), AdapterTraining(steps=10, batch=4))
                assert len(computed) - seen == (1 if layer == 1 else 0)


def test_kept_states_do_not_depend_by_one_bit_on_where_they_began() -> None:
    layers, ids = SomeLayers(family("mistral", layers=FEW_LAYERS)), [one.ids for one in made_lessons(70)]
    step_by_step, at_once = (KeptStates(layers, ids, 0, CPU, ENOUGH) for _ in range(2))
    for layer in (1, 2):
        step_by_step.enter(layer)
    at_once.enter(2)
    one, other = (each.of([3, 66, 41], 14) for each in (step_by_step, at_once))
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)


def test_dropout_is_drawn_from_the_seed_and_from_no_number_of_the_caller() -> None:
    model = family("llama", layers=FEW_LAYERS)
    lessons, found = Lessons(model, LESSONS, 0, CPU, ENOUGH), []
    for caller, dropout in ((1, 0.5), (2, 0.5), (2, 0.0)):
        torch.manual_seed(caller)
        before = torch.get_rng_state()
        with adapted(model, [1], AdapterSettings(rank=2, dropout=dropout)):
            lessons.train(1, range(20), AdapterTraining(steps=4, batch=4, lr=1e-2))
            found.append([weight.detach().clone() for weight in trained(model)])
        assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, found[0], found[1]))
    assert not all(map(torch.equal, found[0], found[2]))


def test_training_stops_when_the_check_no_longer_falls_and_keeps_the_best_weights() -> None:
    model = fresh("llama", layers=2)
    lessons = Lessons(model, LESSONS, 0, CPU, ENOUGH)
    settings = AdapterTraining(steps=200, batch=4, lr=0.3, patience=2, check_every=2)
    with adapted(model, [0, 1], SETTINGS):
        found = lessons.train(0, range(4), settings, checked=range(4, 20))
        assert found.steps < 200
        assert found.check is not None
        assert lessons._checked(0, range(4, 20), settings) == pytest.approx(found.check, rel=1e-5)


def test_every_epoch_takes_each_sequence_once_in_an_order_of_its_own() -> None:
    order = batches(range(7), 3, seed=1)
    epochs = [[next(order) for _ in range(3)] for _ in range(2)]
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[3, 3, 1]] * 2
    assert [sorted(row for batch in epoch for row in batch) for epoch in epochs] == [list(range(7))] * 2
    assert epochs[0] != epochs[1]
    # The released script of paper A: 3 epochs, batches of 32.
    assert [steps_of(3, size, 32) for size in (800, 400)] == [75, 39]


def test_a_loss_that_is_no_number_stops_with_one_line() -> None:
    model = fresh("llama", layers=2)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.fill_(float("nan"))
    lessons = Lessons(model, LESSONS, 0, CPU, ENOUGH)
    with (
        adapted(model, [0], SETTINGS),
        pytest.raises(ModelError, match=r"NaN or infinite after 0 training steps; give a smaller lr than 0.0001"),
    ):
        lessons.train(0, range(4), AdapterTraining(steps=2))


@pytest.mark.parametrize(
    "named",
    [{"steps": 0}, {"batch": 0}, {"lr": 0.0}, {"lr": float("inf")}, {"patience": 0}, {"threshold": -1.0}, {"seed": -1}],
)
def test_settings_out_of_range_are_refused(named: dict[str, Any]) -> None:
    (name,) = named
    with pytest.raises(SettingError, match=name):
        AdapterTraining(**{"steps": 1} | named)
