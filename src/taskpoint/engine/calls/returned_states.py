"""Hidden states and attentions that the caller asked for, back at the places that their tokens have in the prompt.

Above the cut layers give them for the present tokens alone. Dropped tokens get zeros, so that all layers index alike.

Shapes: B batch, L tokens of one forward call, P present ones, H heads, D width, K tokens up to the call's end, S keys
that a cut layer holds, r cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from taskpoint.engine.plan import Present
from taskpoint.errors import ModelError
from taskpoint.models.library import ModelOutput


@dataclass(frozen=True, eq=False)
class ReturnedStates:
    """Where the tokens and the keys of one forward call stand.

    Attributes:
        after: the cut r.
        present: the tokens of the call that are present above it.
        keys: position of every key that a cut layer holds after the call. [1|B, S]
        length: tokens of the call, L.
        end: tokens up to the end of the call, K.
    """

    after: int
    present: Present
    keys: Tensor
    length: int
    end: int

    def put_back(self, output: Any) -> Any:
        """The decoder's output with all states over all tokens; a ModelError for forms that are not known."""
        if isinstance(output, ModelOutput):
            for name, part in output.items():
                if isinstance(part, tuple):
                    output[name] = self._layers(part)
            return output
        if isinstance(output, tuple):
            return tuple(self._layers(part) if isinstance(part, tuple) else part for part in output)
        return output

    def _layers(self, states: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(self._one(index, state) for index, state in enumerate(states))

    def _one(self, index: int, state: Any) -> Any:
        if not isinstance(state, Tensor):
            return state
        if state.ndim == 3:  # a hidden state, which has all tokens between layers, [B, L, D]
            return state
        if state.ndim == 4:
            return state if index < self.after else self._attention(state)
        if index < self.after or self.present.every:
            return state
        raise ModelError(
            f"states of shape {list(state.shape)} cannot be put back to the prompt's tokens under a cut; call without "
            "output_router_logits"
        )

    def _attention(self, weights: Tensor) -> Tensor:
        """[B, H, P, S] -> [B, H, L, K]."""
        batch, heads, queries, stored = weights.shape
        if (queries, stored) == (self.length, self.end) and not self.present.every:  # a layer that ran for all tokens
            there = self.present.mask(self.length).to(weights.device)  # [1|B, L]
            return weights.masked_fill(~there[:, None, :, None], 0)
        if queries != len(self.present) or stored > self.keys.shape[1]:
            raise ModelError(
                f"attentions of shape {list(weights.shape)} are not known under a cut; call without output_attentions"
            )
        keys = self.keys[:, -stored:].to(weights.device)[:, None, None, :].expand(batch, heads, queries, stored)
        wide = weights.new_zeros(batch, heads, queries, self.end).scatter_(-1, keys, weights)
        rows = self.present.put_back(wide.transpose(1, 2).flatten(2), self.length)  # [B, L, H * K]
        return rows.view(batch, self.length, heads, self.end).transpose(1, 2)
