"""Greedy answers for every cut at once.

Prefill is one sweep. In decoding, each prompt's variants are the N + 1 "tokens" of one forward call. At layer i the variants
r > i have seen everything below: they read one copy of the context's keys and values, told apart by a mask over the tokens that
each of them has written. The variants r <= i read their own present tokens only, as rows of a second call of the same layer.

Shapes: B batch, T prompt tokens, P present tokens, C cuts (N + 1), V variants, S stored keys, D width, N layers, r cut.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from taskpoint.engine.arguments import LayerCall, Sight, first_tensor, hide, like_output, read_call
from taskpoint.engine.forward import hooked, inputs_for, refuse_nesting
from taskpoint.engine.plan import Present, present_tokens
from taskpoint.engine.sweep import Repeated, Sweep, check_masks, other_caches, room_for, sweep_last_logits
from taskpoint.engine.truncated import cut_context
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import Anatomy, anatomy


@torch.inference_mode()
def sweep_generate(
    model: nn.Module,
    input_ids: Int[Tensor, "B T"],
    drop: Bool[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None = None,
    max_new_tokens: int = 50,
    eos_token_id: int | list[int] | None = None,
    *,
    skip: bool = False,
) -> Int[Tensor, "cuts B new"]:
    """Greedy answers of every cut r = 0 ... N, computed together.

    Row r equals the new tokens of `model.generate(input_ids, do_sample=False)` under `cut_context(model, after=r, drop=drop)`.

    Args:
        model: any transformers decoder with a language-model head.
        input_ids: the prompts, left-padded. [B, T]
        drop: True for the hidden tokens. [B, T]
        attention_mask: 1 for tokens, 0 for padding; None when there is none. [B, T]
        max_new_tokens: longest answer in tokens.
        eos_token_id: token or tokens that end an answer; None takes the model's own. What follows is filled with the
            model's padding token (its end token where it has none), as `generate` does.
        skip: early exit instead of a cut: layers r ... N-1 are skipped for every token (design, section 8).

    Returns:
        Token ids. [N + 1, B, new], new <= max_new_tokens being the longest answer

    Raises:
        PlanError: the masks do not fit the prompts, or the model is under a cut.
        ModelError: the model's layers are not found or take arguments that are not known.
    """
    parts = anatomy(model)
    check_masks(input_ids, drop, attention_mask)
    ends, pad = _end_tokens(model, eos_token_id)
    if max_new_tokens < 1:
        raise PlanError(f"max_new_tokens={max_new_tokens}; expected at least 1")
    if not _decodes_in_one(model, parts, input_ids.shape[1] + max_new_tokens * (parts.num_layers + 1)):
        one = _recompute if skip else _one_by_one
        return one(model, input_ids, drop, attention_mask, max_new_tokens, ends, pad)
    decode = _Decode(model, parts, input_ids, drop, attention_mask, skip)
    tokens = decode.prefill().argmax(-1)  # [B, C]
    finished = torch.zeros_like(tokens, dtype=torch.bool)
    written: list[Tensor] = []
    while True:
        tokens = tokens.masked_fill(finished, pad)
        written.append(tokens)
        finished = finished | torch.isin(tokens, ends.to(tokens.device))
        if len(written) == max_new_tokens or bool(finished.all()):
            return torch.stack(written, dim=-1).transpose(0, 1)
        tokens = decode.step(tokens, len(written) - 1).argmax(-1)


def _end_tokens(model: nn.Module, eos_token_id: int | list[int] | None) -> tuple[Tensor, int]:
    settings: Any = getattr(model, "generation_config", None)
    if eos_token_id is None:
        eos_token_id = getattr(settings, "eos_token_id", None)
    ends = torch.tensor([] if eos_token_id is None else eos_token_id, dtype=torch.long).reshape(-1)
    pad = getattr(settings, "pad_token_id", None)
    return ends, int(pad if pad is not None else ends[0] if ends.numel() else 0)


def _decodes_in_one(model: nn.Module, parts: Anatomy, keys: int) -> bool:
    """Whether variants can stand side by side in the token axis: their places there must not be taken for positions."""
    positions = "position_ids" in inspect.signature(model.forward).parameters
    alibi = "alibi" in inspect.signature(type(parts.layers[0]).forward).parameters
    windows = [w for w in map(parts.index_window, range(parts.num_layers)) if w is not None]
    return (positions or alibi) and all(keys < window for window in windows)


def _one_by_one(
    model: nn.Module, input_ids: Tensor, drop: Tensor, mask: Tensor | None, new: int, ends: Tensor, pad: int
) -> Tensor:
    generate: Any = model.generate
    named: dict[str, Any] = {} if mask is None else {"attention_mask": mask}
    named |= {"do_sample": False, "num_beams": 1, "max_new_tokens": new, "pad_token_id": pad}
    named["eos_token_id"] = ends.tolist() or None
    rows = []
    for after in range(anatomy(model).num_layers + 1):
        with cut_context(model, after, drop):
            rows.append(generate(input_ids, **named)[:, input_ids.shape[1] :])
    longest = max(row.shape[1] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (0, longest - row.shape[1]), value=pad) for row in rows])


def _recompute(
    model: nn.Module, input_ids: Tensor, drop: Tensor, mask: Tensor | None, new: int, ends: Tensor, pad: int
) -> Tensor:
    """Early exit without a cache, one whole pass a token: for families whose variants cannot stand side by side."""
    rows = []
    for exit_at in range(anatomy(model).num_layers + 1):
        ids, seen, gone = input_ids, mask, drop
        finished = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
        for _ in range(new):
            tokens = sweep_last_logits(model, ids, gone, seen, last=1, skip=True)[exit_at, :, 0].argmax(-1)
            tokens = tokens.masked_fill(finished, pad)
            finished = finished | torch.isin(tokens, ends.to(tokens.device))
            ids, gone = torch.cat([ids, tokens[:, None]], dim=1), torch.nn.functional.pad(gone, (0, 1))
            seen = None if seen is None else torch.nn.functional.pad(seen, (0, 1), value=1)
        rows.append(ids[:, input_ids.shape[1] :])
    return torch.stack(rows)


class _SharedLayer(DynamicLayer):
    """Keys of the prompt once for all variants, and of what each of them has written; reports true lengths."""

    def __init__(self, clock: list[int]) -> None:
        super().__init__()
        self._clock = clock

    def get_seq_length(self) -> int:
        return self._clock[0]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._clock[0] + query_length, 0


class _Decode:
    """One decoded sweep: a prefill, then steps."""

    def __init__(
        self,
        model: nn.Module,
        parts: Anatomy,
        input_ids: Tensor,
        drop: Tensor,
        attention_mask: Tensor | None,
        skip: bool,
    ) -> None:
        self._model, self._parts, self._skip = model, parts, skip
        self._cuts = parts.num_layers + 1
        self._input_ids, drop, self._mask = room_for(self._cuts, input_ids, drop, attention_mask)
        self._keep = ~drop if self._mask is None else ~drop & self._mask.bool()
        self._clock = [0]
        self._shared = Cache(layers=[_SharedLayer(self._clock) for _ in parts.layers])
        self._own = Cache(layers=[DynamicLayer() for _ in parts.layers])

    def prefill(self) -> Tensor:
        """Logits of the first answer token. [B, C, vocab]"""
        named = inputs_for(self._model, self._mask) | {"past_key_values": self._shared, "use_cache": True}
        if "logits_to_keep" in inspect.signature(self._model.forward).parameters:
            named["logits_to_keep"] = self._cuts
        sweep = Sweep(self._parts, self._keep, 1, self._skip, {self._shared: self._own})
        with sweep.hooks():
            logits: Tensor = self._model(self._input_ids, **named).logits[:, -self._cuts :]
        self._clock[0] = self._input_ids.shape[1]
        return logits

    def step(self, tokens: Int[Tensor, "B cuts"], written: int) -> Tensor:
        """Logits after one more token of every variant. [B, C, vocab]

        Args:
            tokens: the newest token of every variant.
            written: number of answer tokens before it.
        """
        rows = tokens.shape[0]
        positions = torch.full((rows, 1), self._clock[0], device=tokens.device)
        named: dict[str, Any] = {"past_key_values": self._shared, "use_cache": True}
        if self._mask is not None:
            positions = self._mask.sum(dim=1, keepdim=True) + written
            named["attention_mask"] = torch.nn.functional.pad(self._mask, (0, written + self._cuts), value=1)
        if "position_ids" in inspect.signature(self._model.forward).parameters:
            named["position_ids"] = positions.expand(-1, self._cuts)  # all variants write at the same place
        with _Step(self._parts, self._keep, written, self._skip, {self._shared: self._own}).hooks():
            logits: Tensor = self._model(tokens, **named).logits
        self._clock[0] += 1
        return logits


class _Step:
    """The hooks of one decoding step."""

    def __init__(
        self, parts: Anatomy, keep: Bool[Tensor, "B T"], written: int, skip: bool, caches: dict[Any, Any]
    ) -> None:
        self._parts, self._skip, self._caches = parts, skip, caches
        self._tokens, self._written, self._cuts = keep.shape[1], written, parts.num_layers + 1
        self._new = torch.arange(self._tokens, self._tokens + written + 1, device=keep.device)  # [written + 1]
        present = present_tokens(keep)
        keys = torch.cat([present.index, self._new.expand(present.index.shape[0], -1)], dim=1)  # [1|B, P + written + 1]
        filler = None if present.filler is None else torch.nn.functional.pad(present.filler, (0, written + 1))
        self._own_sight = self._sight(1, keys, filler)
        self._own_named: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, Any]]] = {}
        self._repeated = Repeated(parts.num_layers)
        self._call: LayerCall | None = None

    def _sight(self, queries: int, keys: Tensor, filler: Tensor | None) -> Sight:
        # Every variant stands where an ordinary decoding step would: at the first place of this call.
        first = Present(torch.zeros(1, queries, dtype=torch.long, device=keys.device), None)
        return Sight(first, keys, filler, self._tokens + self._written, self._cuts)

    @contextmanager
    def hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(refuse_nesting(self._parts.decoder))
            for index, layer in enumerate(self._parts.layers):
                stack.enter_context(hooked(layer, before=self._share(index), after=self._join(index)))
            yield

    def _share(self, index: int) -> Any:
        def before(
            layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[Any, dict[str, Any]] | None:
            if self._call is not None:
                return None
            self._call = call = read_call(layer, args, kwargs)
            variants = self._parts.num_layers - index
            context = torch.arange(self._tokens, device=self._new.device)
            keys = torch.cat([context, self._new.repeat_interleave(variants)])[None]  # [1, S]
            named = self._sight(variants, keys, None).narrow(call)
            own = torch.eye(variants, dtype=torch.bool, device=keys.device).repeat(1, self._written + 1)
            others = torch.nn.functional.pad(~own, (self._tokens, 0))  # [V, S]
            named["attention_mask"] = hide(named["attention_mask"], others.to(call.hidden.device))
            return (call.hidden[:, index + 1 :],), call.named | named

        return before

    def _join(self, index: int) -> Any:
        def after(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            call = self._call
            if call is None or call.hidden.shape[1] != self._cuts:
                return None
            waiting = call.hidden[:, : index + 1]  # [B, V, D]
            if not self._skip:
                named = call.named | self._repeated(self._narrow(call), index + 1)
                rows = waiting.transpose(0, 1).flatten(0, 1)[:, None]  # [V * B, 1, D]
                self._call = call.with_(call.hidden[:, :0])  # the layer is called again from here: hooks stand aside
                rows = first_tensor(layer(rows, **other_caches(named, self._caches)))
                waiting = rows.view(index + 1, -1, rows.shape[-1]).transpose(0, 1)
            self._call = None
            return like_output(output, torch.cat([waiting, first_tensor(output)], dim=1))  # [B, C, D]

        return after

    def _narrow(self, call: LayerCall) -> dict[str, Any]:
        key = tuple((name, id(value)) for name, value in call.named.items())
        if key not in self._own_named:
            # The arguments are kept beside the result: an id is only unique as long as its object lives.
            self._own_named[key] = (call.named, self._own_sight.narrow(call))
        return self._own_named[key][1]
