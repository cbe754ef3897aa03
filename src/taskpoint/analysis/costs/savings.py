"""What a cut saves of a prompt's work and of its key-value cache, in shares; `cost.py` counts both."""

from __future__ import annotations

from dataclasses import dataclass

from taskpoint.analysis.costs.cost import prefill_cost
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.errors import SettingError


@dataclass(frozen=True)
class Saving:
    """Shares of an uncut prompt's cost that a cut saves, each from 0 to 1.

    `work` is the share of the operations, `kv` that of the bytes of keys and values, `paper` paper A's estimate of
    both.

    Raises:
        SettingError: A share is out of range.
    """

    work: float
    kv: float
    paper: float

    def __post_init__(self) -> None:
        for name in ("work", "kv", "paper"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise SettingError(f"a saved share lies between 0 and 1, found {name} = {value}")


def saving(shape: ModelShape, tokens: int, hidden: int, cut: int, shots: int) -> Saving:
    """What a prompt costs less when `hidden` of its tokens leave the computation after `cut` layers.

    Layers below `cut` see all tokens, layers from `cut` on only those kept. Generated tokens are not counted.

    `shots` is for the paper's estimate.

    Raises:
        SettingError: No token is kept, or a number is out of range.
    """
    uncut, under_cut = prefill_cost(shape, tokens), prefill_cost(shape, tokens, hidden, cut)
    return Saving(
        work=1.0 - under_cut.flops / uncut.flops,
        kv=1.0 - under_cut.kv_bytes / uncut.kv_bytes,
        paper=paper_saving(shape.num_layers, cut, shots),
    )


def paper_saving(num_layers: int, cut: int, shots: int) -> float:
    """Paper A's estimate of the saved share of work and memory: (L - r)/L x k/(k + 1).

    It is the share of a square of layers times examples that is left out (Sia, Mueller and Duh 2024, on inference
    efficiency). The exact figures of `saving` differ from it where a prompt is not that square:

    - An example counts as one unit, query and answer together as one more. Where the query is short, or an instruction
      is hidden too, more is saved; where an instruction stays, less.
    - Every token of a layer counts alike. The square of attention, which falls faster than the number of tokens, and
      layers of unlike cost (dense among mixtures, windows) are not known.
    - The language-model head is not counted; a cut saves nothing of it, which matters for small models.
    - Keys and values and operations are one figure. With k/(k + 1) for the hidden share of the tokens and no windows it
      is exact for keys and values: there (L - r)/L x hidden/tokens is saved.
    - Generated tokens are not counted by either.

    Raises:
        SettingError: A number is out of range.
    """
    if num_layers < 1 or not 0 <= cut <= num_layers:
        raise SettingError(f"cut must be between 0 and the number of layers, found {cut} of {num_layers}")
    if shots < 0:
        raise SettingError(f"shots must be at least 0, found {shots}")
    return (num_layers - cut) / num_layers * shots / (shots + 1)
