"""Which tokens prompts of one context begin with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from taskpoint.errors import PromptError, SettingError
from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.encode import encode
from taskpoint.prompts.segments import Part, Segment, SegmentedPrompt
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.stable import stable_prefix
from taskpoint.prompts.template import template

QUERIES = ("dog", "the house", "un", "42", " space", "été", "chat")
E, Q = Segment.EXAMPLES, Segment.QUERY


def prompt(ids: list[int], context: int, asked: int) -> SegmentedPrompt:
    """`context` tokens of examples, then the query, of which token number `asked` is the first that says something."""
    count = len(ids)
    parts = [Part.QUESTION if place == asked else Part.DELIMITER for place in range(count)]
    return SegmentedPrompt(
        np.array(ids),
        np.array([E] * context + [Q] * (count - context), dtype=np.int8),
        np.array([0] * context + [-1] * (count - context), dtype=np.int16),
        np.array(parts, dtype=np.int8),
        "x" * count,
        np.array([(place, place + 1) for place in range(count)]),
    )


def hidden(one: SegmentedPrompt) -> np.ndarray:
    return one.where(E)


def test_it_ends_where_the_query_begins_to_speak_and_not_where_the_context_ends() -> None:
    prompts = [prompt([1, 2, 3, 9, query, 8], 3, 4) for query in (5, 6, 5)]
    found = stable_prefix(prompts, [hidden(one) for one in prompts])
    assert found.ids.tolist() == [1, 2, 3, 9]
    assert found.hidden.tolist() == [True, True, True, False]
    assert all(found.begins(one, hidden(one)) for one in prompts)


def test_it_does_not_take_in_a_query_that_all_prompts_share() -> None:
    prompts = [prompt([1, 2, 5, 8, 9], 2, 2)] * 3
    assert stable_prefix(prompts, [hidden(one) for one in prompts]).ids.tolist() == [1, 2]


def test_one_odd_query_does_not_leave_a_hidden_token_over_in_all_others() -> None:
    # In the odd one the last token of the context has merged with the query: it is the query's.
    usual, odd = [prompt([1, 2, 3, query, 8], 3, 3) for query in (5, 6)], prompt([1, 2, 37, 8], 2, 2)
    prompts = [odd, *usual]
    found = stable_prefix(prompts, [hidden(one) for one in prompts])
    assert found.ids.tolist() == [1, 2, 3]
    assert [found.begins(one, hidden(one)) for one in prompts] == [False, True, True]


def test_a_prompt_with_hidden_tokens_behind_it_does_not_begin_so() -> None:
    one = prompt([1, 2, 3, 9, 5, 8], 3, 4)
    found = stable_prefix([one], [hidden(one)])
    behind = hidden(one)
    behind[4] = True
    otherwise = hidden(one)
    otherwise[0] = False
    assert found.begins(one, hidden(one))
    assert not found.begins(one, behind)
    assert not found.begins(one, otherwise)
    assert not found.begins(prompt([1, 2, 3, 9], 3, 3), hidden(one)[:4]), "something must be left to read"


def test_nothing_before_the_query_or_hidden_tokens_behind_it_are_refused() -> None:
    bare, behind = prompt([5, 8], 0, 0), prompt([1, 5, 7, 8], 1, 1)
    with pytest.raises(PromptError, match="no tokens before the query"):
        stable_prefix([bare], [hidden(bare)])
    with pytest.raises(PromptError, match="no tokens before the query"):
        stable_prefix([behind], [np.array([True, False, True, False])])
    with pytest.raises(SettingError, match="at least one prompt"):
        stable_prefix([], [])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_other_beginning_serves_more_prompts_and_none_that_serves_as_many_is_longer(data: st.DataObject) -> None:
    shapes = st.tuples(st.integers(0, 3), st.integers(0, 2), st.lists(st.integers(0, 1), min_size=8, max_size=8))
    prompts = [
        prompt(ids, context, context + lead)
        for context, lead, ids in data.draw(st.lists(shapes, min_size=1, max_size=6))
    ]
    masks = [hidden(one) for one in prompts]
    served = {}
    for one, mask in zip(prompts, masks, strict=True):
        for length in range(1, int(np.flatnonzero(one.parts == Part.QUESTION)[0]) + 1):
            served[tuple(one.ids[:length]), tuple(mask[:length])] = length
    counts = {}
    for (ids, mask), length in served.items():
        counts[ids, mask] = sum(
            tuple(one.ids[:length]) == ids
            and tuple(theirs[:length]) == mask
            and not theirs[length:].any()
            and length <= np.flatnonzero(one.parts == Part.QUESTION)[0]
            for one, theirs in zip(prompts, masks, strict=True)
        )
    best = max(((count, len(key[0])) for key, count in counts.items() if count), default=None)
    if best is None:
        with pytest.raises(PromptError):
            stable_prefix(prompts, masks)
        return
    found = stable_prefix(prompts, masks)
    assert (counts[tuple(found.ids), tuple(found.hidden)], len(found)) == best


@pytest.mark.parametrize("form", ["qa", "arrow", "paper", "input-output"])
def test_it_is_the_beginning_of_the_one_tokenisation_whatever_the_tokenizer(
    tokenizer: PreTrainedTokenizerFast, form: str
) -> None:
    examples = (Example("cat", "chat"), Example("one", "un"))
    prompts = [encode(tokenizer, template(form), Content("Translate:", examples, query)) for query in QUERIES]
    masks = [parse_selector("examples").mask(one) for one in prompts]
    found = stable_prefix(prompts, masks)
    served = [found.begins(one, mask) for one, mask in zip(prompts, masks, strict=True)]
    assert sum(served) >= 2
    for one, yes in zip(prompts, served, strict=True):
        if yes:
            assert one.ids[: len(found)].tolist() == found.ids.tolist()
            assert not (one.parts[: len(found)][one.where(Q)[: len(found)]] == Part.QUESTION).any()
