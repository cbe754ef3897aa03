"""The hard concrete distribution: numbers from 0 to 1 that are often exactly 0 or exactly 1, and can be trained.

Louizos, Welling and Kingma 2018, "Learning Sparse Neural Networks through L0 Regularization", section 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from taskpoint.errors import SettingError

# Uniform noise of exactly 0 or 1 would have an infinite logit.
_LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class HardConcrete:
    """How gates are drawn; each has a location, log alpha, which is what is trained.

    Attributes:
        temperature: beta. 2/3 in Louizos et al. (section 4.1); Voita et al. 2019 take 0.33 for heads.
        low: gamma, the lower end of the stretched interval, below 0 (section 4.1).
        high: zeta, its upper end, above 1.

    Raises:
        SettingError: no temperature above 0, or an interval that does not reach beyond 0 and 1.
    """

    temperature: float = 2 / 3
    low: float = -0.1
    high: float = 1.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise SettingError(f"temperature is {self.temperature}; expected a number above 0")
        if not (self.low < 0 and self.high > 1 and math.isfinite(self.high - self.low)):
            raise SettingError(f"the interval is {self.low} to {self.high}; expected it to reach beyond 0 and 1")

    def drawn(self, log_alpha: Float[Tensor, "*gates"], noise: Float[Tensor, "*gates"]) -> Float[Tensor, "*gates"]:
        """Gates from uniform noise between 0 and 1 (equations 10 and 11); gradients reach log alpha."""
        noise = noise.clamp(_LEAST_NOISE, 1 - _LEAST_NOISE)
        return self._stretched(torch.sigmoid((noise.logit() + log_alpha) / self.temperature))

    def open_probability(self, log_alpha: Float[Tensor, "*gates"]) -> Float[Tensor, "*gates"]:
        """How likely each gate is not exactly 0 (equation 12); their sum is the expected L0 norm."""
        return torch.sigmoid(log_alpha - self.temperature * math.log(-self.low / self.high))

    def expected(self, log_alpha: Float[Tensor, "*gates"]) -> Float[Tensor, "*gates"]:
        """The gates of a finished training, without noise (equation 13)."""
        return self._stretched(torch.sigmoid(log_alpha))

    def _stretched(self, concrete: Float[Tensor, "*gates"]) -> Float[Tensor, "*gates"]:
        return (concrete * (self.high - self.low) + self.low).clamp(0, 1)
