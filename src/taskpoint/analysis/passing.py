"""Of several programs for one problem, how likely is it that one of k passes?"""

from __future__ import annotations

import numpy as np

from taskpoint.errors import SettingError
from taskpoint.settings import whole


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Unbiased estimate of the chance that one of `k` programs passes, from `samples` of which some passed.

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1: 1 - C(n - c, k) / C(n, k), here as
    a product, of which no factor is large. One greedy answer is n = 1, k = 1.

    Args:
        samples: n, the programs that were run for one problem.
        passed: c, those that passed.
        k: at most n.

    Raises:
        SettingError: A number is out of bounds.
    """
    samples = whole("samples", samples, 1)
    passed, k = whole("passed", passed, 0), whole("k", k, 1)
    if passed > samples or k > samples:
        raise SettingError(
            f"passed is {passed} and k is {k} of {samples} samples; expected neither to be more than that"
        )
    if samples - passed < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - passed + 1, samples + 1)))
