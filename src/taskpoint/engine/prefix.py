"""Compiled prompts: a context is read once under a cut, and any number of queries continue it without copying it.

Shapes: B queries, T tokens of the context, L tokens of one call, K key heads, S stored keys, D head size, N layers,
r cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from taskpoint.engine.arguments import LayerCall, Sight, read_call
from taskpoint.engine.check import exact
from taskpoint.engine.compare import evaluating
from taskpoint.engine.forward import accepts, hooked, inputs_for, true_positions, under_cut
from taskpoint.engine.greedy import Ending, check_new, write
from taskpoint.engine.plan import CutPlan, Present
from taskpoint.engine.removal import removal
from taskpoint.engine.shared import Clock, SharedLayer, sharing
from taskpoint.engine.sharing_check import takes_apart
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import Anatomy, anatomy


@dataclass(frozen=True, eq=False)
class CompiledContext:
    """A context that was read once, as queries see it.

    Attributes:
        after: the cut r.
        tokens: all tokens of the context. [T]
        drop: True for those that layers r ... N-1 do not see. [T]
        keys: keys by layer; all T of them below the cut, those that are not dropped above it. [1, K, S, D] each
        values: values by layer. [1, K, S, D] each

    Raises:
        PlanError: the parts do not fit each other.
    """

    after: int
    tokens: Int[Tensor, " T"]
    drop: Bool[Tensor, " T"]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 1 or self.drop.shape != self.tokens.shape or self.drop.dtype != torch.bool:
            raise PlanError(
                f"a context has tokens of shape {list(self.tokens.shape)} and drop of shape {list(self.drop.shape)}; "
                "expected one boolean for each token"
            )
        kept = int((~self.drop).sum())
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            stored = len(self.tokens) if layer < self.after else kept
            if keys.shape[0] != 1 or keys.shape[-2] != stored or values.shape[-2] != stored:
                raise PlanError(
                    f"layer {layer} of a context has keys of shape {list(keys.shape)}; expected {stored} tokens"
                )

    @property
    def num_layers(self) -> int:
        """Number of layers, N."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(part.numel() * part.element_size() for part in (*self.keys, *self.values))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> CompiledContext:
        """The same context on another device, or in another precision."""
        move: dict[str, Any] = {"device": device, "dtype": dtype}
        return replace(
            self,
            tokens=self.tokens.to(device=device),
            drop=self.drop.to(device=device),
            keys=tuple(part.to(**move) for part in self.keys),
            values=tuple(part.to(**move) for part in self.values),
        )


@torch.inference_mode()
def compile_context(
    model: nn.Module, tokens: Int[Tensor, "1 T"], drop: Bool[Tensor, "1 T"], after: int
) -> CompiledContext:
    """Reads a context once under a cut, and keeps what queries will need of it.

    Args:
        model: any transformers decoder with a language-model head.
        tokens: the context: everything that comes before the query. [1, T]
        drop: True for the tokens that layers r ... N-1 do not see; all of them may be dropped. [1, T]
        after: the cut r; r = N keeps everything.

    Returns:
        The context.

    Raises:
        PlanError: `after` or `drop` do not fit, or the model is under a cut.
        ModelError: the model cannot be cut exactly.
    """
    parts = anatomy(model)
    if tokens.shape != drop.shape or tokens.shape[0] != 1 or not tokens.numel():
        raise PlanError(
            f"tokens have shape {list(tokens.shape)} and drop {list(drop.shape)}; expected one row of the same length"
        )
    if not exact(model):
        raise ModelError(
            f"models of type {parts.family!r} cannot be cut exactly, so no prompt can be compiled for them"
        )
    # A plan keeps its last token; here that is one more, which no other token sees and whose keys are left out again.
    plan = CutPlan(parts.num_layers, after, torch.nn.functional.pad(drop, (0, 1)))
    cache = Cache(layers=[DynamicLayer() for _ in parts.layers])
    with evaluating(model), removal(parts, plan):
        named = inputs_for(model, None, last=1) | {"past_key_values": cache, "use_cache": True}
        model(torch.cat([tokens, tokens[:, -1:]], dim=1), **named)
    layers: Any = cache.layers
    return CompiledContext(
        after,
        tokens[0],
        drop[0],
        tuple(layer.keys[..., :-1, :].contiguous() for layer in layers),
        tuple(layer.values[..., :-1, :].contiguous() for layer in layers),
    )


@torch.inference_mode()
def prefix_logits(
    model: nn.Module,
    context: CompiledContext,
    input_ids: Int[Tensor, "B L"],
    attention_mask: Int[Tensor, "B L"] | None = None,
) -> Float[Tensor, "B vocab"]:
    """Logits at the last position of queries that continue a compiled context.

    Equal to those of `cut_context` on context and query together.

    Args:
        model: the model that the context was compiled with.
        context: the context.
        input_ids: the queries, left-padded. [B, L]
        attention_mask: 1 for tokens, 0 for padding; None when there is none. [B, L]

    Returns:
        Logits. [B, vocab]

    Raises:
        PlanError: the context is of another model's shape, or the mask does not fit.
    """
    return _by_length(model, input_ids, attention_mask, lambda *some: _Queries(model, context, *some).read())


@torch.inference_mode()
def prefix_generate(
    model: nn.Module,
    context: CompiledContext,
    input_ids: Int[Tensor, "B L"],
    attention_mask: Int[Tensor, "B L"] | None = None,
    max_new_tokens: int = 50,
    eos_token_id: int | list[int] | None = None,
) -> Int[Tensor, "B new"]:
    """Greedy answers to queries that continue a compiled context, which is not copied for any of them.

    Equal to the new tokens of `model.generate(..., do_sample=False)` under `cut_context` on context and query together.

    Args:
        model: the model that the context was compiled with.
        context: the context.
        input_ids: the queries, left-padded. [B, L]
        attention_mask: 1 for tokens, 0 for padding; None when there is none. [B, L]
        max_new_tokens: longest answer in tokens.
        eos_token_id: token or tokens that end an answer; None takes the model's own.

    Returns:
        Token ids, filled with the model's padding token after the end. [B, new], `new` being the longest answer

    Raises:
        PlanError: the context is of another model's shape, the mask or `max_new_tokens` do not fit.
    """
    check_new(max_new_tokens)
    ending = Ending(model, eos_token_id)

    def answers(ids: Tensor, mask: Tensor | None) -> Tensor:
        queries = _Queries(model, context, ids, mask)
        return write(queries.read().argmax(-1), queries, max_new_tokens, ending)

    return _by_length(model, input_ids, attention_mask, answers, fill=ending.pad)


def _by_length(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    run: Callable[[Tensor, Tensor | None], Tensor],
    fill: int = 0,
) -> Tensor:
    """Runs all queries at once, or those of one length at a time where padding cannot stand after a context.

    There a family would measure distances across the padding (windows by cache index).
    """
    check_queries(input_ids, attention_mask)
    with evaluating(model):
        if attention_mask is None or takes_apart(model):
            return run(input_ids, attention_mask)
        return _grouped(input_ids, attention_mask, run, fill)


def _grouped(
    input_ids: Tensor, attention_mask: Tensor, run: Callable[[Tensor, Tensor | None], Tensor], fill: int
) -> Tensor:
    lengths = attention_mask.sum(1)  # [B]
    groups = [(lengths == length).nonzero()[:, 0] for length in lengths.unique()]
    parts = [run(input_ids[rows, -int(lengths[rows[0]]) :], None) for rows in groups]
    longest = max(part.shape[1] for part in parts)
    padded = [torch.nn.functional.pad(part, (0, longest - part.shape[1]), value=fill) for part in parts]
    return torch.cat(padded)[torch.cat(groups).argsort()]


def check_queries(input_ids: Tensor, attention_mask: Tensor | None) -> None:
    """Refuses a mask that does not fit the queries.

    Raises:
        PlanError: another shape, or padding on the right.
    """
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        raise PlanError(
            f"attention_mask has shape {list(attention_mask.shape)}; the queries have {list(input_ids.shape)}"
        )
    if attention_mask is not None and not bool(attention_mask[:, -1].all()):
        raise PlanError("attention_mask ends in padding; pad the queries on the left (tokenizer.padding_side='left')")


class _Queries:
    """Queries on their way: their own keys, beside the shared context."""

    def __init__(
        self, model: nn.Module, context: CompiledContext, input_ids: Tensor, attention_mask: Tensor | None
    ) -> None:
        self._model, self._parts = model, anatomy(model)
        if context.num_layers != self._parts.num_layers:
            raise PlanError(
                f"the context has {context.num_layers} layers, the model {self._parts.num_layers}; compile it anew"
            )
        self._context, self._input_ids, self._own_mask = context, input_ids, attention_mask
        self._tokens = len(context.tokens)
        self._clock = Clock(self._tokens, apart=takes_apart(model))
        pairs = zip(context.keys, context.values, strict=True)
        self._layers = [SharedLayer(self._clock, keys, values) for keys, values in pairs]
        self._cache = Cache(layers=list(self._layers))
        self._kept = (~context.drop).nonzero()[:, 0]  # [S]

    def read(self) -> Tensor:
        """Logits after the queries. [B, V]."""
        return self._call(self._input_ids)

    def step(self, tokens: Tensor) -> Tensor:
        """Logits after one more token. [B] -> [B, V]."""
        if self._own_mask is not None:
            self._own_mask = torch.nn.functional.pad(self._own_mask, (0, 1), value=1)
        return self._call(tokens[:, None])

    def keep(self, rows: Tensor) -> bool:
        """Forgets all rows but these."""
        if self._own_mask is not None:
            self._own_mask = self._own_mask.index_select(0, rows)
        for layer in self._layers:
            layer.take_rows(rows)
        return True

    def _call(self, ids: Tensor) -> Tensor:
        named: dict[str, Any] = {"past_key_values": self._cache, "use_cache": True}
        start, length = self._clock.length, ids.shape[1]
        if self._own_mask is not None:
            named["attention_mask"] = torch.nn.functional.pad(self._own_mask, (self._tokens, 0), value=1)
        if accepts(self._model, "position_ids"):
            positions = torch.arange(start, start + length, device=ids.device)[None]
            if self._own_mask is not None:
                positions = (self._tokens + true_positions(self._own_mask))[:, -length:]
            named["position_ids"] = positions.expand(ids.shape[0], -1)
        if accepts(self._model, "logits_to_keep"):
            named["logits_to_keep"] = 1
        narrowing = _Narrowing(self._parts, self._context.after, self._kept, self._tokens, start, length)
        with narrowing.hooks(), sharing(self._parts, self._clock):
            logits: Tensor = self._model(ids, **named).logits
        for layer in self._layers:
            layer.check()
        self._clock.length += length
        return logits[:, -1]


class _Narrowing:
    """The hooks of one call: layers above the cut see fewer keys of the context, so their masks lose those columns."""

    def __init__(self, parts: Anatomy, after: int, kept: Tensor, tokens: int, start: int, length: int) -> None:
        self._parts, self._after = parts, after
        place = torch.arange(length, device=kept.device)[None]
        keys = torch.cat([kept, torch.arange(tokens, start + length, device=kept.device)])[None]  # [1, S]
        self._plain = len(kept) == tokens
        self._sight = Sight(Present(place, None), keys, None, start, length, mask_hides=parts.facts.mask_hides)
        self._narrowed: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, Any]]] = {}

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Hooks the layers for the length of the block."""
        with ExitStack() as stack:
            stack.enter_context(under_cut(self._parts))
            if not self._plain:
                for index in range(self._after, self._parts.num_layers):
                    stack.enter_context(hooked(self._parts.layers[index], before=self._at(index)))
            yield

    def _at(self, index: int) -> Any:
        window = self._parts.index_window(index)

        def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            call = read_call(layer, args, kwargs)
            return (call.hidden,), call.named | self._narrow(call, window)

        return before

    def _narrow(self, call: LayerCall, window: int | None) -> dict[str, Any]:
        key = (window, *((name, id(value)) for name, value in call.named.items()))
        if key not in self._narrowed:
            # The arguments are kept beside the result: an id is only unique as long as its object lives.
            self._narrowed[key] = (call.named, replace(self._sight, window=window).narrow(call))
        return self._narrowed[key][1]
