"""What a cut saves of a prompt's work and of its key-value cache."""

from __future__ import annotations

from dataclasses import dataclass

from taskpoint.analysis.shape import ModelShape
from taskpoint.errors import SettingError

__all__ = ["ModelShape", "Saving", "kv_elements", "layer_flops", "paper_saving", "prompt_flops", "saving"]


@dataclass(frozen=True)
class Saving:
    """Shares of an uncut prompt's cost that a cut saves, each from 0 to 1.

    Attributes:
        work: Share of the prompt's floating-point operations.
        kv: Share of the bytes of the prompt's keys and values.
        paper: Paper A's estimate (L - r)/L x k/(k + 1) (Sia, Mueller and Duh 2024, section on inference efficiency).

    Raises:
        SettingError: A share is outside 0 to 1.
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

    Args:
        shape: The model.
        tokens: Length of the prompt, hidden tokens included.
        hidden: How many of them are hidden.
        cut: Number of layers that still see the hidden tokens, from 0 to N.
        shots: Number of examples in the prompt, for the paper's estimate.

    Returns:
        The saved shares.

    Raises:
        SettingError: No token is kept, or a number is out of range.
    """
    uncut = prompt_flops(shape, tokens)
    stored = kv_elements(shape, tokens)
    return Saving(
        work=1.0 - prompt_flops(shape, tokens, hidden, cut) / uncut,
        kv=1.0 - kv_elements(shape, tokens, hidden, cut) / stored,
        paper=paper_saving(shape.num_layers, cut, shots),
    )


def paper_saving(num_layers: int, cut: int, shots: int) -> float:
    """Paper A's estimate of the saved share of work and memory: (L - r)/L x k/(k + 1).

    It counts an example as one unit, query and answer as one more, and knows neither instructions, nor the quadratic
    term of attention, nor the language-model head (Sia, Mueller and Duh 2024, on inference efficiency).

    Args:
        num_layers: L.
        cut: r, the number of layers that see the examples, from 0 to L.
        shots: k, the number of examples.

    Returns:
        The share, from 0 to 1.

    Raises:
        SettingError: A number is out of range.
    """
    if num_layers < 1 or not 0 <= cut <= num_layers:
        raise SettingError(f"cut must be between 0 and the number of layers, found {cut} of {num_layers}")
    if shots < 0:
        raise SettingError(f"shots must be at least 0, found {shots}")
    return (num_layers - cut) / num_layers * shots / (shots + 1)


def prompt_flops(shape: ModelShape, tokens: int, hidden: int = 0, cut: int | None = None) -> int:
    """Floating-point operations of reading one prompt, with hidden tokens gone from layer `cut` on.

    Conventions, those of torch's FlopCounterMode on eager attention: a multiply-add is two operations; only matrix
    products count (no norm, activation, softmax, rotation or embedding); causal attention counts the full square of
    rows times keys, the masked half included. In a sliding-window layer every row counts a full window of keys, or all
    that are present when those are fewer. A mixture counts its router and the experts of one token. The
    language-model head is paid for the last position only.

    Args:
        shape: The model.
        tokens: Length of the prompt, hidden tokens included.
        hidden: How many of them are hidden.
        cut: Number of layers that still see the hidden tokens; None = all.

    Returns:
        The number of operations.

    Raises:
        SettingError: No token is kept, or a number is out of range.
    """
    present = _present(shape, tokens, hidden, cut)
    layers = sum(layer_flops(shape, layer, rows) for layer, rows in enumerate(present))
    return layers + 2 * shape.width * shape.vocab


def layer_flops(shape: ModelShape, layer: int, rows: int) -> int:
    """Floating-point operations of one layer on `rows` tokens that see each other; conventions of `prompt_flops`.

    Args:
        shape: The model.
        layer: Which layer, from 0.
        rows: Number of tokens present in it.

    Returns:
        The number of operations.
    """
    keys = _in_window(shape.window(layer), rows)
    products = 2 * shape.heads * shape.head_size * rows * keys
    return 2 * (shape.weights_per_token(layer) * rows + products)


def kv_elements(shape: ModelShape, tokens: int, hidden: int = 0, cut: int | None = None) -> int:
    """Elements of keys and values that a prompt leaves in the cache; times the bytes of one element, its size.

    A sliding-window layer stores no more than its window.

    Args:
        shape: The model.
        tokens: Length of the prompt, hidden tokens included.
        hidden: How many of them are hidden.
        cut: Number of layers that still see the hidden tokens; None = all.

    Returns:
        The number of elements, all layers together.

    Raises:
        SettingError: No token is kept, or a number is out of range.
    """
    present = _present(shape, tokens, hidden, cut)
    stored = sum(_in_window(shape.window(layer), rows) for layer, rows in enumerate(present))
    return 2 * shape.kv_heads * shape.head_size * stored


def _in_window(window: int | None, rows: int) -> int:
    # Which kept tokens fall into a window depends on where they stand; the bound never promises more than is saved.
    return rows if window is None else min(rows, window)


def _present(shape: ModelShape, tokens: int, hidden: int, cut: int | None) -> list[int]:
    """Number of tokens in each layer."""
    after = shape.num_layers if cut is None else cut
    if not 0 <= hidden < tokens:
        raise SettingError(f"at least one token must be kept, found {hidden} hidden of {tokens}: hide fewer")
    if not 0 <= after <= shape.num_layers:
        raise SettingError(f"cut must be between 0 and the number of layers, found {after} of {shape.num_layers}")
    return [tokens if layer < after else tokens - hidden for layer in range(shape.num_layers)]
