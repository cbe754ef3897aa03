"""Which tokens are present: properties of taking them out and putting them back."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taskpoint.engine.paths.present_cache import PresentKeys
from taskpoint.engine.plan import CutPlan, Present, present_tokens


@st.composite
def keeps(draw: st.DrawFn, last: bool = False) -> torch.Tensor:
    rows, tokens = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    flat = draw(st.lists(st.booleans(), min_size=rows * tokens, max_size=rows * tokens))
    keep = torch.tensor(flat).view(rows, tokens)
    if last:
        keep[:, -1] = True
    if draw(st.booleans()):  # all rows alike, a case of its own in the code
        keep = keep[:1].expand(rows, -1).clone()
    return keep


def places(keep: torch.Tensor) -> torch.Tensor:
    """A tensor that tells every token of every row apart. [B, T, 2]"""
    return torch.arange(1.0, 2 * keep.numel() + 1).view(*keep.shape, 2)


@given(keeps())
@settings(max_examples=200, deadline=None)
def test_taking_and_putting_back_gives_the_kept_tokens_and_zeros(keep: torch.Tensor) -> None:
    present, x = present_tokens(keep), places(keep)
    assert torch.equal(present.put_back(present.take(x), keep.shape[1]), x * keep[:, :, None])


@given(keeps())
@settings(max_examples=200, deadline=None)
def test_kept_tokens_are_packed_to_the_right_in_their_order(keep: torch.Tensor) -> None:
    present = present_tokens(keep)
    index = present.index.expand(len(keep), -1)
    filler = torch.zeros_like(index, dtype=torch.bool) if present.filler is None else present.filler
    assert len(present) == max(1, int(keep.sum(1).max()))
    for row in range(len(keep)):
        assert index[row][~filler[row]].tolist() == keep[row].nonzero()[:, 0].tolist()
        count = int(keep[row].sum())
        assert filler[row].tolist() == [True] * (len(present) - count) + [False] * count
        assert not keep[row][index[row][filler[row]]].any()  # filled with tokens that are gone anyway


@given(keeps(last=True))
@settings(max_examples=100, deadline=None)
def test_rows_that_must_stay_together_share_one_index_and_fill_what_is_gone(keep: torch.Tensor) -> None:
    present, x = present_tokens(keep, together=True), places(keep)
    assert present.index.tolist() == [keep.any(0).nonzero()[:, 0].tolist()]
    gone = torch.zeros(len(keep), len(present), dtype=torch.bool) if present.filler is None else present.filler
    assert torch.equal(~gone, keep[:, present.index[0]])
    assert torch.equal(present.put_back(present.take(x), keep.shape[1]), x * keep[:, :, None])
    last = (x * keep[:, :, None])[:, -1:]
    assert torch.equal(present.put_back_last(present.take(x), keep.shape[1], 1), last)


@given(keeps(last=True))
@settings(max_examples=100, deadline=None)
def test_rows_that_agree_share_one_index_and_need_no_filler(keep: torch.Tensor) -> None:
    alike = present_tokens(keep[:1].expand(3, -1))
    assert alike.index.shape[0] == 1
    assert alike.filler is None


@given(keeps(), st.data())
@settings(max_examples=200, deadline=None)
def test_the_last_places_are_the_end_of_what_is_put_back(keep: torch.Tensor, data: st.DataObject) -> None:
    last = data.draw(st.integers(1, keep.shape[1]))
    present, x = present_tokens(keep), places(keep)
    twice = torch.cat([present.take(x), -present.take(x)])  # two variants of the batch
    full = x * keep[:, :, None]
    expected = torch.cat([full, -full])[:, -last:]
    assert torch.equal(present.put_back_last(twice, keep.shape[1], last), expected)


def test_one_row_of_an_argument_serves_all_rows_of_the_batch() -> None:
    present = present_tokens(torch.tensor([[True, False, True], [False, True, True]]))
    assert present.take(torch.tensor([[[10.0], [11.0], [12.0]]]))[..., 0].tolist() == [[10, 12], [11, 12]]


@given(keeps(last=True), st.lists(st.integers(1, 4), max_size=3))
@settings(max_examples=100, deadline=None)
def test_present_keys_tell_where_every_stored_key_stood(keep: torch.Tensor, turns: list[int]) -> None:
    """Kept tokens of the prompt, then every token of every later call, each where it stands in the text."""
    held = PresentKeys().after(present_tokens(keep), keep.shape[1])
    for turn in turns:
        whole = torch.ones(len(keep), turn, dtype=torch.bool)
        held = held.after(present_tokens(whole), turn)
    tokens = keep.shape[1] + sum(turns)
    assert held.seen == tokens
    for row in range(len(keep)):
        keys = held.positions.expand(len(keep), -1)[row]
        true = keys if held.filler is None else keys[~held.filler[row]]
        assert true.tolist() == keep[row].nonzero()[:, 0].tolist() + list(range(keep.shape[1], tokens))


def test_tokens_after_the_prompt_are_always_present() -> None:
    drop = torch.tensor([[True, True, False]])
    plan = CutPlan(4, 2, drop)
    assert plan.hidden(0, 5, 1).tolist() == [[True, True, False, False, False]]
    assert plan.hidden(1, 3, 1).tolist() == [[True, False, False]]
    assert plan.hidden(3, 2, 1).tolist() == [[False, False]]


def test_rows_are_repeated_as_generate_repeats_its_prompts() -> None:
    plan = CutPlan(4, 2, torch.tensor([[True, False], [False, False]]))
    assert plan.hidden(0, 2, 4)[:, 0].tolist() == [True, True, False, False]


def test_padding_is_not_present() -> None:
    plan = CutPlan(4, 2, torch.tensor([[False, True, False], [False, True, False]]))
    padding = torch.tensor([[True, False, False], [False, False, False]])
    present = plan.present(0, 3, padding, 2)
    assert present.index.tolist()[1] == [0, 2]
    assert present.filler is not None
    assert present.filler.tolist() == [[True, False], [False, False]]


def test_an_index_may_be_taken_from_wherever_it_was_made() -> None:
    present = Present(torch.tensor([[0, 2]]), None)
    assert present.take(torch.tensor([[1, 2, 3]])).tolist() == [[1, 3]]
