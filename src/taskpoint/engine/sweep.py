"""Every cut in one pass.

The base rows run through all layers inside the model's own forward. At layer i the variant r = i starts as a copy of the base's
present tokens, and all started variants go through layer i together; after the last layer they come back in the token axis,
so that the model's own norm and head serve all of them. The cost grows with N/2 times the present tokens, not with N times
the prompt.

Shapes: B batch, T tokens, P present tokens, V started variants, C cuts (N + 1), D width, N layers, r cut.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache

from taskpoint.engine.arguments import LayerCall, Sight, first_tensor, like_output, read_call
from taskpoint.engine.forward import hooked, inputs_for, refuse_nesting
from taskpoint.engine.plan import check_drop, present_tokens
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import Anatomy, anatomy


@torch.inference_mode()
def sweep_logits(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "cuts B vocab"]:
    """Logits at the last position for every cut r = 0 ... N, in one pass.

    Row r equals what `cut_context(model, after=r, drop=drop)` gives; row N is the ordinary model.

    Args:
        model: any transformers decoder with a language-model head.
        input_ids: the prompts, left-padded. [B, T]
        drop: True for the hidden tokens. [B, T]
        attention_mask: 1 for tokens, 0 for padding; None when there is none. [B, T]

    Returns:
        Logits at the last position. [N + 1, B, vocab]

    Raises:
        PlanError: the masks do not fit the prompts, or the model is under a cut.
        ModelError: the model's layers are not found or take arguments that are not known.
    """
    return sweep_last_logits(model, input_ids, drop, attention_mask, last=1)[:, :, 0]


@torch.inference_mode()
def sweep_last_logits(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
    *,
    last: int,
    skip: bool = False,
) -> Float[Tensor, "cuts B last vocab"]:
    """Logits at the last positions for every cut, in one pass: what scoring a reference answer needs.

    Args:
        model: any transformers decoder with a language-model head.
        input_ids: the prompts with the answers, left-padded. [B, T]
        drop: True for the hidden tokens; among the last `last` of a row, logits of hidden ones mean nothing. [B, T]
        attention_mask: 1 for tokens, 0 for padding. [B, T]
        last: number of positions, counted from the end.
        skip: early exit instead of a cut: layers r ... N-1 are skipped for every token (design, section 8).

    Returns:
        Logits. [N + 1, B, last, vocab]

    Raises:
        PlanError: the masks do not fit the prompts, or the model is under a cut.
        ModelError: the model's layers are not found or take arguments that are not known.
    """
    parts = anatomy(model)
    check_masks(input_ids, drop, attention_mask)
    cuts = parts.num_layers + 1
    input_ids, drop, attention_mask = room_for(cuts * last, input_ids, drop, attention_mask)
    keep = ~drop if attention_mask is None else ~drop & attention_mask.bool()
    sweep = Sweep(parts, keep, last, skip)
    named = inputs_for(model, attention_mask)
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        named["logits_to_keep"] = cuts * last
    with sweep.hooks():
        logits: Tensor = model(input_ids, **named).logits[:, -cuts * last :]  # [B, C * last, vocab]
    return logits.reshape(logits.shape[0], cuts, last, -1).transpose(0, 1)


def check_masks(input_ids: Tensor, drop: Tensor, attention_mask: Tensor | None) -> None:
    """Refuses masks that do not fit the prompts.

    Raises:
        PlanError: another shape, padding on the right, or a hidden last token.
    """
    check_drop(drop)
    for name, mask in (("drop", drop), ("attention_mask", attention_mask)):
        if mask is not None and mask.shape != input_ids.shape:
            raise PlanError(f"{name} has shape {list(mask.shape)}; expected that of input_ids, {list(input_ids.shape)}")
    if attention_mask is not None and not bool(attention_mask[:, -1].all()):
        raise PlanError("attention_mask ends in padding; pad the prompts on the left (tokenizer.padding_side='left')")


def room_for(
    places: int, input_ids: Tensor, drop: Tensor, attention_mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Pads short prompts on the left, because the variants come back in the token axis."""
    lacking = places - input_ids.shape[1]
    if lacking <= 0:
        return input_ids, drop, attention_mask
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    pad = torch.nn.functional.pad
    return pad(input_ids, (lacking, 0)), pad(drop, (lacking, 0)), pad(attention_mask, (lacking, 0))


def other_caches(named: dict[str, Any], caches: Mapping[Any, Any]) -> dict[str, Any]:
    """The arguments of a layer call with its cache exchanged; families name that argument differently."""
    return {name: caches.get(value, value) if isinstance(value, Cache) else value for name, value in named.items()}


class Repeated:
    """Arguments of one layer call, repeated for the variants; repeated once and sliced, because layers share them."""

    def __init__(self, variants: int) -> None:
        self._variants = variants
        self._made: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, named: dict[str, Any], variants: int) -> dict[str, Any]:
        return {name: self._one(value, variants) for name, value in named.items()}

    def _one(self, value: Any, variants: int) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(self._one(part, variants) for part in value)
        if not isinstance(value, Tensor) or value.shape[0] == 1:  # one row serves all
            return value
        if id(value) not in self._made:
            self._made[id(value)] = (value, value.repeat(self._variants, *[1] * (value.ndim - 1)))
        return self._made[id(value)][1][: variants * value.shape[0]]


class Sweep:
    """The hooks that let all variants ride along in one forward call of the model."""

    def __init__(
        self, parts: Anatomy, keep: Bool[Tensor, "B T"], last: int, skip: bool, caches: Mapping[Any, Any] | None = None
    ) -> None:
        """Args as for `sweep_last_logits`; `caches` has, for the base's cache, the one of the variants."""
        self._parts, self._last, self._skip = parts, last, skip
        self._caches = caches or {}
        self._present = present_tokens(keep)
        self._tokens = keep.shape[1]
        self._variants: Tensor | None = None  # [V * B, P, D], r = 0 first
        self._repeated = Repeated(parts.num_layers)
        self._narrowed: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, Any]]] = {}
        self._inside = False

    @contextmanager
    def hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(refuse_nesting(self._parts.decoder))
            for index, layer in enumerate(self._parts.layers):
                stack.enter_context(hooked(layer, after=self._ride(index)))
            yield

    def _ride(self, index: int) -> Any:
        def after(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            if self._inside:
                return None
            call = read_call(layer, args, kwargs)
            started = call.hidden[:, -self._last :] if self._skip else self._present.take(call.hidden)
            variants = started if self._variants is None else torch.cat([self._variants.to(started.device), started])
            if not self._skip:
                self._inside = True
                try:
                    named = call.named | self._repeated(self._narrow(call, self._parts.index_window(index)), index + 1)
                    variants = first_tensor(layer(variants, **other_caches(named, self._caches)))  # [V * B, P, D]
                finally:
                    self._inside = False
            self._variants = variants
            return self._give_back(output) if index == self._parts.num_layers - 1 else None

        return after

    def _narrow(self, call: LayerCall, window: int | None) -> dict[str, Any]:
        key = (window, *((name, id(value)) for name, value in call.named.items()))
        if key not in self._narrowed:
            sight = Sight(self._present, self._present.index, self._present.filler, 0, self._tokens, window)
            # The arguments are kept beside the result: an id is only unique as long as its object lives.
            self._narrowed[key] = (call.named, sight.narrow(call))
        return self._narrowed[key][1]

    def _give_back(self, output: Any) -> Any:
        """The last hidden states of all variants in the last places of the base's token axis."""
        base = first_tensor(output)  # [B, T, D]
        variants = self._variants
        if variants is None:
            raise PlanError("the model ran no layer; a sweep needs at least one")
        ends = torch.cat([variants[:, -self._last :].to(base.device), base[:, -self._last :]])  # [C * B, last, D]
        ends = ends.unflatten(0, (-1, base.shape[0])).transpose(0, 1).flatten(1, 2)  # [B, C * last, D]
        return like_output(output, torch.cat([base[:, : -ends.shape[1]], ends], dim=1))
