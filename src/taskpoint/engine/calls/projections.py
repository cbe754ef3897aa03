"""The output projection of each layer's attention: where heads come together and enter the residual stream.

All that attention adds to the residual stream goes through it, in every family: some add the residual stream within the
attention module, some after it. So a layer's attention is removed by zeros in place of what its projection gives, a
head is scaled by its part of what the projection takes, and an adapter of attention stands beside it.

Shapes: B batch, T tokens, H heads, D head size, N layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.pristine import pristine
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import Anatomy, anatomy
from taskpoint.models.heads import check_head
from taskpoint.models.library import base_of, inputs_for, read_out

# Two prompts that end alike: with all attention removed the last token cannot tell them apart.
_PROMPTS = ((5, 3, 7, 4, 6), (8, 4, 5, 3, 6))

# Share of their difference that rounding may leave.
_REST = 0.02


@dataclass(frozen=True)
class OutputProjection:
    """The output projection of one layer's attention.

    Attributes:
        module: the linear map. [B, T, H * D] -> [B, T, width]
        name: its dotted path in the model, without a wrapper of peft around it.
        heads: number of heads, H.
        head_size: what each of them gives, D.
    """

    module: nn.Module
    name: str
    heads: int
    head_size: int


def output_projections(model: nn.Module) -> tuple[OutputProjection, ...]:
    """The output projection of each layer, from the first layer to the last.

    They are found by running a prompt of five tokens: the last linear map that a layer's attention calls. A second
    look makes sure that without them no token sees another.

    Raises:
        ModelError: a layer has none, its heads are not of one size, or attention reaches the residual stream past it.
    """
    check_head(model, headless=True)
    with pristine(model):
        return _found(model, anatomy(model))


def _found(model: nn.Module, parts: Anatomy) -> tuple[OutputProjection, ...]:
    names = {id(module): name for name, module in base_of(model).named_modules()}
    found = []
    for index, called in enumerate(_last_called(model, parts)):
        if called is None:
            raise ModelError(
                f"no output projection was found in the attention of layer {index} (type {parts.family!r}): expected a "
                "linear map from all heads to the residual stream; choose an experiment that needs none, such as locate"
            )
        module, width = called
        heads = _heads(parts, width, index)
        found.append(OutputProjection(module, names[id(module)], heads, width // heads))
    _check_removal(model, parts, found)
    return tuple(found)


@contextmanager
def without_attention(projections: Sequence[OutputProjection]) -> Iterator[None]:
    """Removes the attention of the layers whose projections these are, for the length of the block.

    The layer's MLP then works on the residual stream as the layer below left it (paper A, experiment 2).
    """
    with ExitStack() as stack:
        for projection in projections:
            handle = projection.module.register_forward_hook(_nothing)
            stack.callback(handle.remove)
        yield


def _nothing(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    return torch.zeros_like(output)


@contextmanager
def without_attention_of_last(projection: OutputProjection, rows: int) -> Iterator[None]:
    """Removes the attention of one layer for the last rows of the batch alone, for the length of the block."""

    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return torch.cat([output[:-rows], torch.zeros_like(output[-rows:])])

    handle = projection.module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _last_called(model: nn.Module, parts: Anatomy) -> list[tuple[nn.Module, int] | None]:
    """By layer: the last linear map that its attention calls, and the width of what it takes."""
    last: list[tuple[nn.Module, int] | None] = [None] * parts.num_layers

    def noting(index: int) -> Any:
        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
                last[index] = module, args[0].shape[-1]

        return note

    with ExitStack() as stack:
        for index, layer in enumerate(parts.layers):
            for module in _linear_maps(layer):
                stack.callback(module.register_forward_hook(noting(index)).remove)
        _run(model, parts, _PROMPTS[0])
    return last


def _linear_maps(layer: nn.Module) -> Iterator[nn.Module]:
    """The linear maps within a layer's attention, adapters and quantised ones included."""
    for name, child in layer.named_children():
        if "att" in name.lower() and not name.lower().startswith("cross"):
            for module in child.modules():
                weight = getattr(module, "weight", None)
                # Quantised weights are packed into other shapes; their modules still name both widths.
                wide = hasattr(module, "in_features") and hasattr(module, "out_features")
                if wide or (isinstance(weight, Tensor) and weight.ndim == 2 and not isinstance(module, nn.Embedding)):
                    yield module


def _heads(parts: Anatomy, width: int, layer: int) -> int:
    heads = getattr(parts.config, "num_attention_heads", None)
    if isinstance(heads, list | tuple):
        heads = heads[layer]
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise ModelError(
            f"the attention of layer {layer} (type {parts.family!r}) gives {width} numbers a token, which are not "
            f"{heads} heads of one size; pass a model whose config says num_attention_heads"
        )
    return heads


def _check_removal(model: nn.Module, parts: Anatomy, found: list[OutputProjection]) -> None:
    with without_attention(found):
        left = _difference(model, parts)
    # Not zero where experts add up the tokens of a prompt in an order of its own.
    if left > _REST * _difference(model, parts):
        raise ModelError(
            f"layers of type {parts.family!r} let tokens see each other past the output projection "
            f"({found[0].name}); choose an experiment that needs no projection, such as locate"
        )


def _difference(model: nn.Module, parts: Anatomy) -> float:
    """How much the last token tells the two prompts apart."""
    one, other = (_run(model, parts, prompt)[:, -1].float() for prompt in _PROMPTS)
    return float((one - other).abs().max())


@torch.inference_mode()
def _run(model: nn.Module, parts: Anatomy, prompt: tuple[int, ...]) -> Tensor:
    known = parts.vocabulary or max(prompt) + 1
    ids = torch.tensor([[token % known for token in prompt]], device=next(parts.decoder.parameters()).device)
    return read_out(model(ids, **inputs_for(model, None)))
