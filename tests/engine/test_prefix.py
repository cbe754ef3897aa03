"""Queries after a compiled context get what the whole prompt gets under the cut, and no row copies the context.

Shapes: B queries, T tokens of the context, L tokens of a query.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from families import CUTS, FAMILIES, LAYERS, TOLERANCE, VOCAB, family, fresh, untouched
from first_logits import prefix_logits
from torch import Tensor

from taskpoint.engine.compiled import compile_context, prefix_generate
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.paths.shared_keys import SharedLayer
from taskpoint.errors import PlanError

CONTEXT, NEW = 14, 4
_RANDOM = torch.Generator().manual_seed(3)
TOKENS = torch.randint(3, VOCAB, (1, CONTEXT), generator=_RANDOM)
QUERIES = torch.randint(3, VOCAB, (3, 6), generator=_RANDOM)
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1]])
_PLACE = torch.arange(CONTEXT)[None]
DROPS = {
    "all": _PLACE >= 0,
    "after a prefix": _PLACE > 2,
    "in pieces, to the end": (_PLACE > 0) & (_PLACE < 4) | (_PLACE > 5) & (_PLACE < 9) | (_PLACE > 11),
    "nothing": _PLACE < 0,
}


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The tests' own shape checks would come before those that users see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def whole(row: int, drop: Tensor) -> tuple[Tensor, Tensor]:
    """One query with the context in front, and what is hidden of it. [1, T + L] each"""
    own = QUERIES[row : row + 1, MASK[row].bool()]
    return torch.cat([TOKENS, own], dim=1), torch.nn.functional.pad(drop, (0, own.shape[1]))


# Holes to the end ask most of every family; the other ways are asked of three that differ in how they share.
EVERY = [
    (name, kind) for name in FAMILIES for kind in DROPS if "pieces" in kind or name in ("llama", "mistral", "bloom")
]


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_ragged_queries_after_a_compiled_context_equal_whole_prompts_under_masks(name: str, kind: str) -> None:
    model, drop = family(name), DROPS[kind]
    for cut in (0, 2, LAYERS - 1, LAYERS):
        context = compile_context(model, TOKENS, drop, cut)
        logits = prefix_logits(model, context, QUERIES, MASK)
        answers = prefix_generate(model, context, QUERIES, MASK, NEW)
        for row in range(len(QUERIES)):
            prompt, hidden = whole(row, drop)
            with torch.no_grad(), mask_context(model, cut, hidden):
                expected = model(prompt).logits[0, -1]
            assert (logits[row] - expected).abs().max() <= TOLERANCE, cut
            with cut_context(model, cut, hidden):
                written = model.generate(prompt, do_sample=False, max_new_tokens=NEW)
            assert torch.equal(answers[row], written[0, prompt.shape[1] :]), cut


@pytest.mark.parametrize("name", ["llama", "gemma2", "bloom"])
def test_a_batch_without_padding_equals_its_queries_one_by_one(name: str) -> None:
    model = family(name)
    context = compile_context(model, TOKENS, DROPS["after a prefix"], 2)
    together = prefix_generate(model, context, QUERIES, max_new_tokens=NEW)
    for row in range(len(QUERIES)):
        assert torch.equal(together[row], prefix_generate(model, context, QUERIES[row][None], max_new_tokens=NEW)[0])


def test_ended_queries_leave_and_the_others_write_on_as_if_alone() -> None:
    model = family("llama")
    context = compile_context(model, TOKENS, DROPS["after a prefix"], 2)
    free = prefix_generate(model, context, QUERIES, MASK, 8, [])
    ends = [int(free[0, 1]), int(free[1, 3])]
    answers = prefix_generate(model, context, QUERIES, MASK, 8, ends)
    for row in range(len(QUERIES)):
        alone = prefix_generate(model, context, QUERIES[row : row + 1, MASK[row].bool()], None, 8, ends)[0]
        assert torch.equal(answers[row, : len(alone)], alone)
        assert (answers[row, len(alone) :] == 0).all()


def test_layers_above_the_cut_keep_only_what_is_not_hidden() -> None:
    drop = DROPS["after a prefix"]
    context = compile_context(family("llama"), TOKENS, drop, 2)
    assert [keys.shape[2] for keys in context.keys] == [CONTEXT, CONTEXT, 3, 3, 3]
    bytes_of_a_token = 2 * 2 * 8 * 4  # keys and values, 2 heads of 8, float32
    assert context.nbytes == bytes_of_a_token * (2 * CONTEXT + 3 * 3)


def test_rows_do_not_copy_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    model = family("llama")
    context = compile_context(model, TOKENS, DROPS["nothing"], LAYERS)
    lengths: set[int] = set()
    update = SharedLayer.update

    def watched(self: SharedLayer, *args: Tensor, **kwargs: object) -> tuple[Tensor, Tensor]:
        keys, values = update(self, *args, **kwargs)
        lengths.add(keys.shape[2])
        return keys, values

    monkeypatch.setattr(SharedLayer, "update", watched)
    prefix_generate(model, context, QUERIES, max_new_tokens=NEW)
    assert lengths == {6, 7, 8, 9}


def test_the_model_and_the_context_are_untouched() -> None:
    model = family("mistral")
    with untouched(model):
        context = compile_context(model, TOKENS, DROPS["all"], 3)
        before = [part.clone() for part in (*context.keys, *context.values)]
        prefix_generate(model, context, QUERIES, MASK, NEW)
        assert all(torch.equal(a, b) for a, b in zip(before, (*context.keys, *context.values), strict=True))


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_half_precision_stays_near_whole_prompts(name: str) -> None:
    model, drop = fresh(name).to(torch.bfloat16), DROPS["after a prefix"]
    context = compile_context(model, TOKENS, drop, 2)
    logits = prefix_logits(model, context, QUERIES, MASK)
    assert logits.dtype == torch.bfloat16
    for row in range(len(QUERIES)):
        prompt, hidden = whole(row, drop)
        with torch.no_grad(), mask_context(model, 2, hidden):
            expected = model(prompt).logits[0, -1]
        rounding = torch.finfo(torch.bfloat16).eps * float(expected.abs().max())
        assert (logits[row] - expected).abs().max() <= 8 * rounding


def test_a_context_moves_to_another_precision() -> None:
    context = compile_context(family("llama"), TOKENS, DROPS["after a prefix"], 2)
    half = context.to(dtype=torch.bfloat16)
    assert half.nbytes * 2 == context.nbytes
    assert {part.dtype for part in (*half.keys, *half.values)} == {torch.bfloat16}


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused_in_one_line() -> None:
    model = family("llama")
    context = compile_context(model, TOKENS, DROPS["all"], 2)
    with pytest.raises(PlanError, match="one row of the same length"):
        compile_context(model, TOKENS, DROPS["all"][:, :3], 2)
    with pytest.raises(PlanError, match="from 0 to 5"):
        compile_context(model, TOKENS, DROPS["all"], LAYERS + 1)
    with pytest.raises(PlanError, match="ends in padding"):
        prefix_generate(model, context, QUERIES, MASK.flip(1))
    with pytest.raises(PlanError, match="the queries have"):
        prefix_generate(model, context, QUERIES, MASK[:, 1:])
    with pytest.raises(PlanError, match="max_new_tokens=0"):
        prefix_generate(model, context, QUERIES, MASK, 0)
    with pytest.raises(PlanError, match="under a cut"), cut_context(model, 2, QUERIES < 0):
        prefix_generate(model, context, QUERIES)


def test_cuts_differ_otherwise_the_comparison_shows_nothing() -> None:
    model = family("llama")
    rows = [prefix_logits(model, compile_context(model, TOKENS, DROPS["all"], cut), QUERIES) for cut in CUTS]
    assert all((a - b).abs().max() > 100 * TOLERANCE for a, b in itertools.pairwise(rows))
