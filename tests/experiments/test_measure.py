"""Reading a common context once changes no answer and no score."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import taskpoint as tp
from taskpoint.asking import measure, references
from taskpoint.asking import same_context as grouping
from taskpoint.asking.measure import Measure
from taskpoint.asking.same_context import Group, grouped_by_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.models.anatomy import anatomy
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.segments import Segment, SegmentedPrompt
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.template import template

QA = template("qa")


def prompts(lm: LanguageModel, name: str, count: int, answers: bool = False) -> list[SegmentedPrompt]:
    task = tp.task(name)
    items = task.items(count)
    contents = [task.content(item, 3, 0, instruction=False) for item in items]
    return encode_many(lm.tokenizer, QA, contents, [item.answers[0] for item in items] if answers else None)


def hidden(given: Sequence[SegmentedPrompt]) -> list[np.ndarray]:
    return [parse_selector("examples").mask(prompt) for prompt in given]


def test_prompts_with_the_same_examples_are_one_group_and_few_of_a_kind_go_together(lm: LanguageModel) -> None:
    alike, mixed = prompts(lm, "lexicon:plural", 12), prompts(lm, "lexicon", 20)
    given = [*alike, *mixed]
    found = grouped_by_context(given, hidden(given))
    assert sorted(row for group in found for row in group.rows) == list(range(len(given)))
    shared = [group for group in found if group.context]
    assert len(shared) == 1
    assert set(range(12)) <= set(shared[0].rows)
    assert found[-1].context == 0
    for row in shared[0].rows:
        assert (given[row].segments[: shared[0].context] < Segment.QUERY).all()
        assert given[row].segments[shared[0].context] == Segment.QUERY


def test_the_same_tokens_hidden_otherwise_are_no_group(lm: LanguageModel) -> None:
    alike = prompts(lm, "lexicon:plural", 12)
    masks = hidden(alike)
    masks[3] = np.zeros_like(masks[3])
    found = grouped_by_context(alike, masks)
    assert found == [Group((0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11), found[0].context), Group((3,), 0)]


@pytest.mark.parametrize("cuts", [tuple(range(13)), (0, 12)])
def test_a_shared_context_changes_no_answer_and_no_score(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, cuts: tuple[int, ...]
) -> None:
    asked = prompts(lm, "lexicon:english-french", 12)
    answered = prompts(lm, "lexicon:english-french", 12, answers=True)
    found = []
    for share_from in (8, 1000):
        monkeypatch.setattr(grouping, "_SHARE_FROM", share_from)
        one = Measure(lm, QA, 5)
        found.append((one.answers(asked, hidden(asked), cuts), one.reference(answered, hidden(answered), cuts)))
    (texts, scores), (plain_texts, plain_scores) = found
    assert texts == plain_texts
    assert texts[0] != texts[-1]  # otherwise the cut shows nothing
    np.testing.assert_allclose(scores.logprob, plain_scores.logprob, atol=1e-3)
    np.testing.assert_array_equal(scores.rank, plain_scores.rank)


def test_scoring_in_parts_changes_no_score(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = prompts(lm, "lexicon:english-french", 12, answers=True)
    cuts = tuple(range(13))
    whole = Measure(lm, QA, 5).reference(answered, hidden(answered), cuts)
    monkeypatch.setattr(references, "_MOST_LOGITS", 1)
    parts = Measure(lm, QA, 5).reference(answered, hidden(answered), cuts)
    np.testing.assert_allclose(parts.logprob, whole.logprob, atol=1e-3)
    np.testing.assert_array_equal(parts.rank, whole.rank)


def test_the_context_of_a_test_set_is_read_once(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = prompts(lm, "lexicon:english-french", 16)
    one = Measure(lm, QA, 3)
    one.answers(asked[:8], hidden(asked[:8]), tuple(range(13)))
    read: list[int] = []
    first = anatomy(lm.model).layers[0]
    forward = type(first).forward

    @functools.wraps(forward)
    def noting(layer: torch.nn.Module, x: torch.Tensor, **named: Any) -> Any:
        if layer is first:
            read.append(x.shape[1])
        return forward(layer, x, **named)

    monkeypatch.setattr(type(first), "forward", noting)  # on the class: a sweep of a hooked model runs cut by cut
    one.answers(asked[8:], hidden(asked[8:]), tuple(range(13)))
    assert max(read) < min(len(prompt) for prompt in asked)


def test_rank_is_the_worst_one_of_the_tokens_of_the_reference(lm: LanguageModel) -> None:
    task = tp.task("lexicon:plural")
    contents = [task.content(item, 3, 0, instruction=False) for item in task.items(4)]
    given = encode_many(lm.tokenizer, QA, contents, ["cats, houses", "dogs", "old friends", "7 towers"])
    nothing = [np.zeros(len(prompt), dtype=bool) for prompt in given]
    found = Measure(lm, QA, 4).reference(given, nothing, (12,)).rank[0]
    for prompt, rank in zip(given, found, strict=True):
        with torch.no_grad():
            logits = lm.model(torch.from_numpy(prompt.ids)[None]).logits[0, prompt.prompt_length - 1 : -1]
        answer = torch.from_numpy(prompt.ids[prompt.prompt_length :])
        assert rank == max(int((each > each[token]).sum()) for each, token in zip(logits, answer, strict=True))


def test_a_context_of_which_other_tokens_are_hidden_is_read_anew(lm: LanguageModel) -> None:
    given, cuts = prompts(lm, "lexicon:plural", 12), range(13)
    examples, query = hidden(given), [parse_selector("query").mask(prompt) for prompt in given]
    asked = Measure(lm, QA, 4)
    before = asked.answers(given, examples, cuts)
    found = asked.answers(given, query, cuts)
    assert found == Measure(lm, QA, 4).answers(given, query, cuts)
    assert found != before


def test_few_contexts_are_held(lm: LanguageModel) -> None:
    task, asked = tp.task("lexicon:plural"), Measure(lm, QA, 1)
    for seed in range(measure._MOST_CONTEXTS + 2):
        contents = [task.content(item, 2, seed, instruction=False) for item in task.items(12)]
        given = encode_many(lm.tokenizer, QA, contents)
        asked.answers(given, hidden(given), range(13))
        assert 1 <= len(asked._contexts) <= measure._MOST_CONTEXTS


@pytest.mark.parametrize("cuts", [tuple(range(13)), (4, 12), (4,)])
def test_of_the_newest_token_alone_few_cuts_and_many_are_what_fresh_prompts_give(
    lm: LanguageModel, cuts: tuple[int, ...]
) -> None:
    """Each token of the answer is that of a prompt of which only the start and the last token are left above r."""
    given = prompts(lm, "lexicon:english-french", 9)
    everything = [parse_selector("all").mask(prompt) for prompt in given]
    texts = Measure(lm, QA, 4).answers(given, everything, cuts, newest_only=True)
    for row in (0, 5):
        ids = torch.from_numpy(given[row].ids)[None]
        start = int((given[row].segments == Segment.PREFIX).sum())
        for _ in range(4):
            drop = torch.arange(ids.shape[1])[None] >= start
            drop[:, -1] = False
            with torch.inference_mode(), mask_context(lm.model, 4, drop):
                ids = torch.cat([ids, lm.model(ids).logits[:, -1:].argmax(-1)], dim=1)
        told = lm.tokenizer.decode(ids[0, len(given[row]) :], skip_special_tokens=True)
        assert texts[cuts.index(4)][row] == QA.answer(told)
    answered = prompts(lm, "lexicon:english-french", 9, answers=True)
    masks = [parse_selector("all").mask(prompt) for prompt in answered]
    scores = Measure(lm, QA, 4).reference(answered, masks, cuts, newest_only=True)
    for row in (0, 5):
        total = 0.0
        for end in range(answered[row].prompt_length, len(answered[row])):
            ids = torch.from_numpy(answered[row].ids)[None]
            drop = torch.arange(end)[None] >= int((answered[row].segments == Segment.PREFIX).sum())
            drop[:, -1] = False
            with torch.inference_mode(), mask_context(lm.model, 4, drop):
                total += float(lm.model(ids[:, :end]).logits[0, -1].log_softmax(-1)[ids[0, end]])
        assert scores.logprob[cuts.index(4), row] == pytest.approx(total, abs=1e-3)
