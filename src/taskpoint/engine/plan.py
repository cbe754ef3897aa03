"""Which tokens are present in which layer: the one object that the engine is given.

Shapes: B batch, T tokens of the prompt, L tokens of one forward call, P present tokens, N layers, r cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from taskpoint.errors import PlanError, SettingError
from taskpoint.settings import keep, shown, whole


@dataclass(frozen=True, eq=False)
class Present:
    """The tokens of one forward call that are present above the cut.

    Rows of a batch may keep different tokens; shorter rows are filled on the left with tokens that every mask hides.

    Attributes:
        index: position within the call of every present token, ascending; first axis 1 when all rows agree. [1|B, P]
        filler: True for tokens that only fill a row; None when no row has any. [B, P]
        every: all tokens of the call are present, so that nothing has to be taken or put back.
    """

    index: Int[Tensor, "b P"]
    filler: Bool[Tensor, "B P"] | None
    every: bool = False

    def __len__(self) -> int:
        return int(self.index.shape[1])

    def take(self, x: Tensor) -> Tensor:
        """The present tokens of a tensor over all tokens of the call. [1|B, L, ...] -> [1|B, P, ...]."""
        if self.every:
            return x
        index = self.index.to(x.device)
        if index.shape[0] == 1:
            return x.index_select(1, index[0])
        x = x.expand(index.shape[0], *x.shape[1:])
        trailing = x.shape[2:]
        return x.gather(1, index.view(*index.shape, *[1] * len(trailing)).expand(*index.shape, *trailing))

    def mask(self, length: int) -> Bool[Tensor, "b L"]:
        """True for the present ones among the `length` tokens of the call. [1|B, L]."""
        there = torch.ones_like(self.index, dtype=torch.bool) if self.filler is None else ~self.filler
        index = self.index.expand(there.shape[0], -1)
        full = torch.zeros(there.shape[0], length, dtype=torch.bool, device=index.device)
        return full.scatter_(1, index, there)

    def put_back(self, x: Tensor, length: int) -> Tensor:
        """Present tokens at their places among `length` tokens, zeros at all others. [B, P, D] -> [B, L, D]."""
        if self.every:
            return x
        full = x.new_zeros(x.shape[0], length, x.shape[2])  # [B, L, D]
        if self.filler is not None:
            x = x.masked_fill(self.filler.to(x.device)[:, :, None], 0)
        index = self.index.to(x.device)
        if index.shape[0] == 1:  # whole rows are copied, not number by number
            return full.index_copy_(1, index[0], x)
        return full.scatter_(1, index[:, :, None].expand_as(x), x)

    def put_back_last(self, x: Tensor, length: int, last: int) -> Tensor:
        """The last places of the call alone, as `put_back` fills them, for V variants of the batch.

        [V * B, P, D] -> [V * B, last, D]
        """
        x = x[:, -last:]
        # Place 0 catches the tokens that stand before the last places; it is cut off again.
        place = (self.index[:, -last:].to(x.device) - (length - last) + 1).clamp(min=0)  # [1|B, p]
        if self.filler is not None:
            place = place.masked_fill(self.filler[:, -last:].to(x.device), 0)
        place = place.repeat(x.shape[0] // place.shape[0], 1)
        full = x.new_zeros(x.shape[0], last + 1, x.shape[2])
        return full.scatter(1, place[:, :, None].expand_as(x), x)[:, 1:]


@dataclass(frozen=True, eq=False)
class CutPlan:
    """Hidden tokens are present in layers 0 ... r-1 and absent from layers r ... N-1.

    Attributes:
        num_layers: N.
        after: the cut r, 0 <= r <= N; r = N cuts nothing.
        drop: True for hidden tokens of the prompt. Tokens after the prompt are always present. [B, T]

    Raises:
        PlanError: the cut is out of range, or `check_drop` refuses the mask.
    """

    num_layers: int
    after: int
    drop: Bool[Tensor, "B T"]

    def __post_init__(self) -> None:
        try:
            after = whole("after", self.after, 0, self.num_layers)
        except SettingError:
            raise PlanError(
                f"after={shown(self.after)} is out of range: expected a whole number from 0 to {self.num_layers}"
            ) from None
        check_drop(self.drop)
        # Its own copy: what the caller does with the mask later changes no plan.
        keep(self, after=after, drop=self.drop.clone())

    def present(
        self, start: int, length: int, padding: Bool[Tensor, "B L"] | None, batch: int, together: bool = False
    ) -> Present:
        """The tokens that are present in layers r ... N-1, of a call of `length` tokens after `start` earlier ones.

        Its rows may be a multiple of the plan's, as `generate` repeats them for beams and samples; for any other number
        it
        raises a PlanError. `padding` is True for padding of the call; `together` as for `present_tokens`.
        """
        if start >= self.drop.shape[1]:
            self._repeats(batch)
            # The answer is all there, with its padding, which the library's masks hide: a decoding step has nothing to
            # search, and a GPU nothing to wait for.
            return Present(torch.arange(length, device=self.drop.device)[None], None, every=True)
        gone = self.hidden(start, length, batch)  # [B, L]
        if padding is not None:
            gone = gone | padding.to(gone.device)
        return present_tokens(~gone, together)

    def hidden(self, start: int, length: int, batch: int) -> Bool[Tensor, "B L"]:
        """True for the hidden tokens of one forward call; arguments as for `present`. [B, L]."""
        drop = self.drop.repeat_interleave(self._repeats(batch), dim=0)[:, start : start + length]
        return torch.nn.functional.pad(drop, (0, length - drop.shape[1]))

    def _repeats(self, batch: int) -> int:
        rows = self.drop.shape[0]
        if batch % rows:
            raise PlanError(f"the batch has {batch} rows, but drop has {rows}: expected the same or a multiple")
        return batch // rows

    def check_prompt(self, length: int, grown: bool) -> None:
        """Refuses, by a PlanError, a call from the first token on that has fewer tokens than `drop`, or more.

        More are right where the prompt may have `grown` by answer tokens since the first call (decoding without a
        cache).
        """
        tokens = self.drop.shape[1]
        if length < tokens or (length > tokens and not grown):
            raise PlanError(
                f"the prompt has {length} tokens, but drop has {tokens}; drop must have one entry for each of input_ids"
                ", and generate read them in one call (no prefill_chunk_size, guidance_scale or assistant_model)"
            )


def check_drop(drop: Tensor) -> None:
    """Refuses a drop mask that no cut can follow.

    Raises:
        PlanError: not a boolean [batch, tokens] tensor, or a row drops everything or its last token.
    """
    if isinstance(drop, Tensor) and (drop.is_meta or drop.layout != torch.strided):
        found = "on the meta device, where it has no values" if drop.is_meta else f"a sparse tensor ({drop.layout})"
        raise PlanError(f"drop is {found}; expected a plain boolean tensor on the device of input_ids")
    if not isinstance(drop, Tensor) or drop.dtype != torch.bool or drop.ndim != 2 or not drop.numel():
        found = f"{drop.dtype} of shape {list(drop.shape)}" if isinstance(drop, Tensor) else type(drop).__name__
        raise PlanError(f"drop is {found}; expected a boolean tensor of shape [batch, tokens] beside input_ids")
    if bool(drop.all(dim=1).any()):
        row = int(drop.all(dim=1).nonzero()[0])
        raise PlanError(f"drop hides every token of row {row}; at least the last token must stay")
    if bool(drop[:, -1].any()):
        row = int(drop[:, -1].nonzero()[0])
        raise PlanError(
            f"drop hides the last token of row {row}, from which the answer is read; set drop[{row}, -1] = False, or "
            f"give as many tokens as input_ids if these are more than {drop.shape[1]}"
        )


def present_tokens(keep: Bool[Tensor, "B L"], together: bool = False) -> Present:
    """Packs the kept tokens of every row to the right; rows with fewer are filled on the left.

    With `together` every row holds the columns that any row keeps, with fillers in place of those that it does not keep
    itself: more to compute, for families whose layers cannot tell rows apart (`Anatomy.rows_share_bias`).
    """
    if bool((keep == keep[:1]).all()) and bool(keep[0].any()):
        index = keep[0].nonzero().T
        return Present(index, None, every=index.shape[1] == keep.shape[1])
    if together and bool(keep.any()):
        index = keep.any(dim=0).nonzero().T
        return Present(index, ~keep[:, index[0]])
    counts = keep.sum(dim=1)  # [B]
    longest = max(int(counts.max()), 1)
    index = keep.int().argsort(dim=1, stable=True)[:, -longest:]  # [B, P]
    filler = torch.arange(longest, device=keep.device)[None] < (longest - counts)[:, None]
    return Present(index, filler if bool(filler.any()) else None)
