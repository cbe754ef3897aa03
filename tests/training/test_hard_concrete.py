"""The hard concrete distribution against draws of it, and at its limits."""

from __future__ import annotations

import math

import pytest
import torch

from taskpoint.errors import SettingError
from taskpoint.training.hard_concrete import HardConcrete

DRAWS = 200_000
LOG_ALPHA = torch.tensor([-4.0, -1.0, 0.0, 0.7, 2.4, 5.0])


def draws(gates: HardConcrete) -> torch.Tensor:
    noise = torch.rand(DRAWS, len(LOG_ALPHA), generator=torch.Generator().manual_seed(0))
    return gates.drawn(LOG_ALPHA.expand(DRAWS, -1), noise)


@pytest.mark.parametrize("temperature", [2 / 3, 0.33])
def test_as_many_draws_are_open_as_the_closed_form_says(temperature: float) -> None:
    gates = HardConcrete(temperature)
    found = draws(gates)
    assert found.min() == 0
    assert found.max() == 1
    share = (found > 0).double().mean(0)
    # Five standard errors of a share of so many draws.
    torch.testing.assert_close(share, gates.open_probability(LOG_ALPHA).double(), rtol=0, atol=5 * 0.5 / DRAWS**0.5)
    # By the mirror image of the interval, a gate is 1 as often as one of minus log alpha is 0.
    full = (found == 1).double().mean(0)
    torch.testing.assert_close(full, 1 - gates.open_probability(-LOG_ALPHA).double(), rtol=0, atol=5 * 0.5 / DRAWS**0.5)


def test_draws_follow_the_distribution_function_of_the_paper() -> None:
    # Equation 9 and the stretch: P(gate <= x) = sigmoid(beta * logit((x - gamma) / (zeta - gamma)) - log alpha).
    gates = HardConcrete()
    found = draws(gates)
    for x in (0.2, 0.5, 0.9):
        part = (x - gates.low) / (gates.high - gates.low)
        expected = torch.sigmoid(gates.temperature * torch.tensor(part).logit() - LOG_ALPHA).double()
        torch.testing.assert_close((found <= x).double().mean(0), expected, rtol=0, atol=5 * 0.5 / DRAWS**0.5)


def test_without_noise_gates_are_the_draws_of_even_noise_at_temperature_one() -> None:
    gates = HardConcrete(1.0)
    torch.testing.assert_close(gates.expected(LOG_ALPHA), gates.drawn(LOG_ALPHA, torch.full_like(LOG_ALPHA, 0.5)))


def test_far_from_zero_gates_are_exactly_open_or_closed() -> None:
    gates, far = HardConcrete(), torch.tensor([-40.0, 40.0])
    for noise in (0.0, 0.01, 0.99, 1.0):
        assert gates.drawn(far, torch.full((2,), noise)).tolist() == [0, 1]
    assert gates.expected(far).tolist() == [0, 1]
    assert gates.open_probability(far).tolist() == pytest.approx([0, 1])


def test_gradients_are_finite_whatever_the_noise() -> None:
    gates, log_alpha = HardConcrete(0.33), LOG_ALPHA.clone().requires_grad_()
    for noise in (0.0, 0.5, 1.0):
        gates.drawn(log_alpha, torch.full_like(LOG_ALPHA, noise)).sum().backward()
    gates.open_probability(log_alpha).sum().backward()
    assert log_alpha.grad is not None
    assert log_alpha.grad.isfinite().all()
    assert (log_alpha.grad > 0).all()


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"temperature": math.nan}, {"low": 0.0}, {"high": 1.0}])
def test_values_without_a_distribution_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        HardConcrete(**wrong)
