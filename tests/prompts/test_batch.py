from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.errors import SettingError
from taskpoint.prompts.batch import Batch, pad_left
from taskpoint.prompts.segments import SegmentedPrompt


def prompt(ids: list[int]) -> SegmentedPrompt:
    n = len(ids)
    return SegmentedPrompt(
        np.array(ids, dtype=np.int64),
        np.full(n, 3, dtype=np.int8),
        np.full(n, -1, dtype=np.int16),
        np.zeros(n, dtype=np.int8),
        "text",
        np.zeros((n, 2), dtype=np.int64),
    )


ROWS = st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=6), min_size=1, max_size=4)


@given(ROWS, st.integers(0, 9))
def test_every_prompt_ends_in_the_last_column_and_padding_is_neither_read_nor_hidden(
    rows: list[list[tuple[int, bool]]], pad_id: int
) -> None:
    prompts = [prompt([token for token, _ in row]) for row in rows]
    masks = [np.array([hide for _, hide in row]) for row in rows]
    batch = pad_left(prompts, masks, pad_id)
    width = max(len(row) for row in rows)
    assert len(batch) == len(rows)
    for number, row in enumerate(rows):
        space = width - len(row)
        assert batch.input_ids[number].tolist() == [pad_id] * space + [token for token, _ in row]
        assert batch.attention_mask[number].tolist() == [0] * space + [1] * len(row)
        assert batch.hidden[number].tolist() == [False] * space + [hide for _, hide in row]


def test_masks_that_do_not_fit_are_refused() -> None:
    short = np.zeros(1, dtype=bool)
    with pytest.raises(SettingError, match=r"hidden\[0\] has 1 entries for a prompt of 2 tokens"):
        pad_left([prompt([1, 2])], [short], 0)
    with pytest.raises(SettingError, match="hidden has 2 masks for 1 prompts"):
        pad_left([prompt([1])], [short, short], 0)
    with pytest.raises(SettingError, match="prompts is empty"):
        pad_left([], [], 0)


def test_a_batch_keeps_its_tensors_of_one_kind() -> None:
    batch = pad_left([prompt([1, 2])], [np.array([True, False])], 0)
    assert (batch.input_ids.dtype, batch.attention_mask.dtype, batch.hidden.dtype) == (
        torch.int64,
        torch.int64,
        torch.bool,
    )
    assert isinstance(batch, Batch)
