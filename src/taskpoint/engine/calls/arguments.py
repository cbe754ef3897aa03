"""The arguments of a decoder layer that have a token axis, taken by name and never by size.

Shapes: B batch, L tokens of one forward call, P present tokens of it, K keys as the library counts them (past and
call), S keys as a cut layer stores them (present past and present call), H heads, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.plan import Present
from taskpoint.errors import ModelError
from taskpoint.models.library import first_argument, named_arguments

# Arguments whose first axis is not the batch's rows.
ROWLESS = ("position_bias",)


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a decoder layer: the tokens that enter, and every other argument by name."""

    hidden: Tensor  # [B, L, D]
    named: dict[str, Any]

    def with_(self, hidden: Tensor, **named: Any) -> LayerCall:
        """The same call with other tokens and some arguments replaced."""
        return replace(self, hidden=hidden, named={**self.named, **named})


def read_call(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> LayerCall:
    """Names the arguments of a layer call; a ModelError where the first is not the hidden states."""
    named, first = named_arguments(layer, args, kwargs), first_argument(layer)
    hidden = None if first is None else named.pop(first, None)
    if not isinstance(hidden, Tensor) or not hidden.is_floating_point():
        raise ModelError(
            f"the first argument of decoder layers ({type(layer).__name__}) is {first or 'not to be found'}; expected "
            "the hidden states"
        )
    return LayerCall(hidden, named)


def first_tensor(output: Any) -> Tensor:
    """The hidden states of a layer's output, which is a tensor in most families and a tuple in some."""
    found = output[0] if isinstance(output, tuple) else output
    if not isinstance(found, Tensor):
        raise ModelError(f"a decoder layer returned {type(found).__name__}; expected hidden states")
    return found


def like_output(output: Any, hidden: Tensor) -> Any:
    """`hidden` in the form in which the layer gave `output`."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


@dataclass(frozen=True, eq=False)
class Sight:
    """What a cut layer gets to see of one forward call.

    Attributes:
        queries: the present tokens of the call.
        keys: position of every key that the layer will hold after this call, stored ones first. [1|B, S]
        filler: True for keys that only fill a row, which every mask hides. [B, S]
        past: tokens before this call, hidden ones counted.
        length: tokens of this call, hidden ones counted, L.
        window: distance from which a layer that counts by cache index must not see, measured by position.
        mask_hides: boolean masks of this family are True where a token is hidden.
        lone: True for keys that no later token sees. [1|B, S]
    """

    queries: Present
    keys: Tensor
    filler: Tensor | None
    past: int
    length: int
    window: int | None = None
    mask_hides: bool = False
    lone: Tensor | None = None

    def narrow(self, call: LayerCall) -> dict[str, Any]:
        """Every argument of the call that has a token axis, for the present tokens alone.

        Raises:
            ModelError: an argument that seems to have a token axis is not known, or the mask is missing.
        """
        if "attention_mask" not in call.named:
            raise ModelError("decoder layers get no argument 'attention_mask'; this family cannot be cut")
        narrowed: dict[str, Any] = {}
        for name, value in call.named.items():
            if name == "attention_mask":
                narrowed[name] = self.mask(value, call.hidden)
            elif name == "position_ids" and isinstance(value, Tensor):
                _expect(name, value, value.ndim == 2)
                narrowed[name] = self.queries.take(value)
            elif name.startswith("position_embeddings"):
                narrowed[name] = self._embeddings(name, value)
            elif name == "per_layer_input" and isinstance(value, Tensor):
                _expect(name, value, value.ndim == 3 and value.shape[1] == self.length)
                narrowed[name] = self.queries.take(value)
            elif name == "alibi" and isinstance(value, Tensor):
                narrowed[name] = self._alibi(value, call.hidden.shape[0])
            elif name == "position_bias" and isinstance(value, Tensor):
                narrowed[name] = self._position_bias(value)
            elif name == "shift_labels":
                continue  # meant for the loss; families hand it through to layers that do not read it
            elif isinstance(value, Tensor) and {self.length, self.past + self.length} & set(value.shape) - {1}:
                raise ModelError(
                    f"decoder layers get an argument {name!r} of shape {list(value.shape)} that seems to have a token "
                    "axis and is not known; this family cannot be cut"
                )
        return narrowed

    def _embeddings(self, name: str, value: Any) -> Any:
        if isinstance(value, Tensor):
            _expect(name, value, value.ndim == 3 and value.shape[1] == self.length)
            return self.queries.take(value)
        return type(value)(self._embeddings(name, part) for part in value) if isinstance(value, tuple | list) else value

    def _alibi(self, value: Tensor, batch: int) -> Tensor:
        """[B*H, 1, K] or [B, H, 1, K] -> the same with S keys."""
        _expect("alibi", value, value.ndim in (3, 4) and value.shape[-1] >= self.past + self.length)
        keys = self.keys.to(value.device)
        if keys.shape[0] == 1:
            return value.index_select(-1, keys[0])
        split = value.view(batch, -1, 1, value.shape[-1])  # [B, H, 1, K]
        taken = split.gather(-1, keys[:, None, None, :].expand(-1, split.shape[1], -1, -1))
        return taken.view(*value.shape[:-1], keys.shape[1])

    def _position_bias(self, value: Tensor) -> Tensor:
        """[H, 1, M] for up to M keys, the last of which end where the call ends -> [H, 1, S]."""
        end = self.past + self.length
        _expect("position_bias", value, value.ndim == 3 and value.shape[1] == 1 and value.shape[2] >= end)
        _expect("position_bias", value, self.keys.shape[0] == 1)
        return value.index_select(-1, self.keys[0].to(value.device) + value.shape[2] - end)

    def mask(self, mask: Any, hidden: Tensor) -> Tensor | None:
        """The attention mask over present queries and keys; None where plain causality says the same.

        Masks hold the last K logical positions as columns: a sliding window leaves the earlier ones out.
        """
        plain = self.filler is None and self.window is None and self.lone is None
        if mask is None and plain and (self.past == 0 or self.length == 1):
            return None
        queries = (self.queries.index + self.past).to(hidden.device)  # [1|B, P]
        keys = self.keys.to(hidden.device)
        if mask is None:
            seen = keys[:, None, None, :] <= queries[:, None, :, None]  # [1|B, 1, P, S]
            taken: Tensor = ~seen if self.mask_hides else seen
        else:
            if not isinstance(mask, Tensor) or mask.ndim != 4:
                form = f"of shape {list(mask.shape)}" if isinstance(mask, Tensor) else f"of type {type(mask).__name__}"
                raise ModelError(
                    f"an attention mask {form} is not supported; load the model with attn_implementation='sdpa' or "
                    "'eager'"
                )
            taken = self._gather(mask, keys)
        if self.window is not None:
            taken = self._hide(taken, queries[:, None, :, None] - keys[:, None, None, :] >= self.window)
        if self.lone is not None:
            others = keys[:, None, None, :] != queries[:, None, :, None]
            taken = self._hide(taken, others & self.lone.to(hidden.device)[:, None, None, :])
        if self.filler is not None:
            taken = self._hide(taken, self.filler.to(hidden.device)[:, None, None, :])
            # A filler row must see something, or its softmax is not a number and spreads; what it sees is never used.
            itself = torch.eye(len(self.queries), dtype=torch.bool, device=hidden.device)
            itself = torch.nn.functional.pad(itself, (keys.shape[1] - len(self.queries), 0))  # [P, S]
            visible = not self.mask_hides if taken.dtype == torch.bool else 0.0
            taken = taken.masked_fill(itself & self._filler_rows(hidden), visible)
        return taken

    def _hide(self, mask: Tensor, where: Tensor) -> Tensor:
        return hide(mask, where, self.mask_hides)

    def _filler_rows(self, hidden: Tensor) -> Tensor:
        filler = self.queries.filler
        if filler is None:
            return torch.zeros(1, 1, len(self.queries), 1, dtype=torch.bool, device=hidden.device)
        return filler.to(hidden.device)[:, None, :, None]  # [B, 1, P, 1]

    def _gather(self, mask: Tensor, keys: Tensor) -> Tensor:
        rows = self.queries.take(mask.transpose(1, 2)).transpose(1, 2)  # [1|B, 1|H, P, K]
        earlier = self.past + self.length - mask.shape[-1]  # positions before the mask's first column
        columns = (keys - earlier).clamp(min=0)  # [1|B, S]
        if columns.shape[0] == 1:
            taken = rows.index_select(-1, columns[0])
        else:
            rows = rows.expand(columns.shape[0], -1, -1, -1)
            taken = rows.gather(-1, columns[:, None, None, :].expand(-1, rows.shape[1], rows.shape[2], -1))
        return self._hide(taken, (keys < earlier)[:, None, None, :]) if earlier > 0 else taken


def hide(mask: Tensor, where: Tensor, mask_hides: bool = False) -> Tensor:
    """The mask, boolean or additive, with more pairs hidden; `mask_hides` as for `Sight`."""
    hidden = mask_hides if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    return mask.masked_fill(where, hidden)


def _expect(name: str, value: Tensor, fits: bool) -> None:
    if not fits:
        raise ModelError(
            f"decoder layers get {name!r} of shape {list(value.shape)}, a form that is not known; this family cannot "
            "be cut"
        )
