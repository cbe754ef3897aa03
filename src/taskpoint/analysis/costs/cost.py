"""What a prompt, or one more token, costs a decoder: operations by layer and part, bytes of keys and values by layer.

Conventions, those of torch's FlopCounterMode on eager attention, which the tests hold every figure against:

- A multiply-add is two operations. Only matrix products count: no norm, activation, softmax, rotation or embedding.
- Causal attention counts the full square of rows times keys, the masked half included, and so does a layer with a
  window: eager attention, and SDPA with a mask, multiply first and mask then. `masked=False` counts only what is seen:
  the least that a kernel can do that leaves masked products out.
- A mixture counts its router and the experts that its tokens are sent to.
- The language-model head is paid for the last position of a prompt only, as in generation.
- Latent attention makes keys and values of the cached latents anew in every step, as transformers does.

Hidden tokens are present in layers 0 ... r-1 and absent from layers r ... N-1. Prompts of a batch are counted as being
of one length and hiding equally many tokens; padding is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.errors import SettingError

PARTS = ("projections", "attention", "mlp", "router", "head")
"""The parts that operations are counted by: matrices around attention, scores and weighted values, MLP or experts, the
choice of experts, language-model head."""

_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "float8": 1, "int8": 1}


@dataclass(frozen=True)
class LayerCost:
    """One layer, for all prompts of the batch together.

    Rows are the tokens of one prompt that the layer computes, keys those that it holds keys of while it does. The parts
    are operations, `kv_bytes` is what it holds afterwards, and `weight_bytes` what is read of its matrices: of a
    mixture, all experts that can be asked for.
    """

    layer: int
    rows: int
    keys: int
    projections: int
    attention: int
    mlp: int
    router: int
    kv_bytes: int
    weight_bytes: int

    @property
    def flops(self) -> int:
        """Operations of the layer."""
        return self.projections + self.attention + self.mlp + self.router


@dataclass(frozen=True)
class Cost:
    """A whole forward pass: its layers, and the operations and bytes of the language-model head."""

    layers: tuple[LayerCost, ...]
    head: int
    head_bytes: int

    @property
    def flops(self) -> int:
        """Operations of the pass."""
        return sum(layer.flops for layer in self.layers) + self.head

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values in the cache afterwards."""
        return sum(layer.kv_bytes for layer in self.layers)

    @property
    def moved_bytes(self) -> int:
        """Bytes that memory has to give at the least: every matrix, key and value once. What bounds a decoding step."""
        return self.kv_bytes + sum(layer.weight_bytes for layer in self.layers) + self.head_bytes

    @property
    def parts(self) -> Mapping[str, int]:
        """Operations by part, in the order of `PARTS`."""
        return {
            "projections": sum(layer.projections for layer in self.layers),
            "attention": sum(layer.attention for layer in self.layers),
            "mlp": sum(layer.mlp for layer in self.layers),
            "router": sum(layer.router for layer in self.layers),
            "head": self.head,
        }

    def table(self) -> Iterator[Mapping[str, int | str]]:
        """A line for each layer and one for the head: layer, tokens, keys, operations by part and in all, KV bytes."""
        for one in self.layers:
            yield {
                "layer": one.layer,
                "rows": one.rows,
                "keys": one.keys,
                **{part: getattr(one, part) for part in PARTS[:-1]},
                "flops": one.flops,
                "kv_bytes": one.kv_bytes,
            }
        yield {"layer": "head", "flops": self.head}


def prefill_cost(
    shape: ModelShape,
    tokens: int,
    hidden: int = 0,
    cut: int | None = None,
    *,
    batch: int = 1,
    dtype: str = "float32",
    masked: bool = True,
) -> Cost:
    """Reading a batch of prompts of `tokens` each, of which `hidden` are gone from layer `cut` on (None: from none).

    `dtype` is that of weights, keys and values, such as "bfloat16". `masked` counts the products that a mask then
    hides. Where they are not counted, tokens above the cut are taken to stand side by side, which of all the ways that
    they can stand sees most in a window.

    Raises:
        SettingError: No token is kept, or a number is out of range.
    """
    _check(shape, tokens, hidden, cut, batch)
    layers = []
    for layer in range(shape.num_layers):
        above = _is_above(layer, hidden, cut)
        rows = tokens - hidden if above else tokens
        pairs = rows * rows if masked else _seen(rows, shape.window(layer))
        held = _held(shape, layer, rows)
        layers.append(_layer(shape, layer, rows, rows, pairs, held, batch, dtype))
    return _with_head(shape, layers, batch, dtype)


def decode_cost(
    shape: ModelShape,
    tokens: int,
    hidden: int = 0,
    cut: int | None = None,
    *,
    batch: int = 1,
    dtype: str = "float32",
) -> Cost:
    """Reading one more token for each prompt after `tokens` others, hidden and generated ones included.

    A layer with a window multiplies with one window of keys, because its cache forgets the others; above the cut they
    are present tokens, counted without the hidden ones. The other arguments are those of `prefill_cost`.

    Raises:
        SettingError: No token is kept, or a number is out of range.
    """
    _check(shape, tokens, hidden, cut, batch)
    layers = []
    for layer in range(shape.num_layers):
        above = _is_above(layer, hidden, cut)
        keys = _held(shape, layer, (tokens - hidden if above else tokens) + 1)
        layers.append(_layer(shape, layer, 1, keys, keys, keys, batch, dtype))
    return _with_head(shape, layers, batch, dtype)


def bytes_of(dtype: str) -> int:
    """Bytes of one element of a type such as "bfloat16" or "torch.bfloat16"; a SettingError for an unknown one."""
    name = dtype.removeprefix("torch.")
    if name not in _BYTES:
        raise SettingError(f"dtype is {dtype!r}; expected one of {', '.join(_BYTES)}")
    return _BYTES[name]


def _layer(
    shape: ModelShape, layer: int, rows: int, keys: int, pairs: int, held: int, batch: int, dtype: str
) -> LayerCost:
    each = bytes_of(dtype)
    # A batch asks at most so many experts, and never more than there are.
    asked = min(shape.experts, shape.experts_per_token * batch * rows)
    weights = shape.projection_weights + shape.expansion_weights + shape.router_weights(layer)
    return LayerCost(
        layer=layer,
        rows=rows,
        keys=keys,
        projections=2 * batch * (shape.projection_weights * rows + shape.expansion_weights * keys),
        attention=2 * batch * shape.heads * (shape.head_size + shape.one_value) * pairs,
        mlp=2 * batch * rows * shape.mlp_weights(layer),
        router=2 * batch * rows * shape.router_weights(layer),
        kv_bytes=each * batch * held * shape.kv_elements,
        weight_bytes=each * (weights + shape.mlp_weights(layer, asked)),
    )


def _with_head(shape: ModelShape, layers: list[LayerCost], batch: int, dtype: str) -> Cost:
    weights = shape.width * shape.vocab
    return Cost(tuple(layers), head=2 * batch * weights, head_bytes=bytes_of(dtype) * weights)


def _is_above(layer: int, hidden: int, cut: int | None) -> bool:
    """Whether tokens are missing from a layer; with none hidden every layer is the library's own."""
    return cut is not None and layer >= cut and hidden > 0


def _held(shape: ModelShape, layer: int, present: int) -> int:
    """Tokens whose keys and values a layer holds when it attends; no more than a window where its cache forgets."""
    window = shape.window(layer)
    return present if window is None or not shape.forgets else min(present, window)


def _seen(rows: int, window: int | None) -> int:
    """Pairs of a token and one that it sees: itself and those before it, as far as the window reaches."""
    width = rows if window is None else min(rows, window)
    return width * (width + 1) // 2 + (rows - width) * width


def _check(shape: ModelShape, tokens: int, hidden: int, cut: int | None, batch: int) -> None:
    if not 0 <= hidden < tokens:
        raise SettingError(f"at least one token must be kept, found {hidden} hidden of {tokens}: hide fewer")
    if cut is not None and not 0 <= cut <= shape.num_layers:
        raise SettingError(f"cut must be between 0 and the number of layers, found {cut} of {shape.num_layers}")
    if batch < 1:
        raise SettingError(f"batch must be at least 1, found {batch}")
