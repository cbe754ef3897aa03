"""What an experiment says of each layer, in a form in which experiments can be held against each other.

Shapes: N layers, R replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from taskpoint.errors import SettingError


@dataclass(frozen=True, eq=False)
class LayerValues:
    """One number for each layer, and the layer that an experiment points at.

    Replicates are bootstrap draws over items and seeds: what would have been measured on others.

    Attributes:
        what: what the numbers are, such as "score lost without the layer's attention".
        values: by layer, the first layer first. [N]
        replicates: the same of other draws. [R, N]
        pointed: the layer that the experiment points at, as a number of layers from 0 to N, such as the task
            recognition point; NaN where it points at none.
        pointed_replicates: the same of other draws. [R]

    Raises:
        SettingError: values that are not finite.
    """

    what: str
    values: Float[np.ndarray, " N"]
    replicates: Float[np.ndarray, "R N"]
    pointed: float
    pointed_replicates: Float[np.ndarray, " R"]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.values).all() and np.isfinite(self.replicates).all()):
            raise SettingError(f"{self.what}: some values of layers are not finite; expected a number for every layer")
