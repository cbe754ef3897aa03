"""A context that is read once gives what each prompt with the whole context in front gives.

Shapes: B prompts, T tokens of the context, L tokens that follow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import jaxtyping
import pytest
import torch
from families import FAMILIES, LAYERS, TOLERANCE, VOCAB, WINDOW, computing, family
from torch import Tensor

from taskpoint.engine import sweep_generate as sweep_decode
from taskpoint.engine.context import read_context
from taskpoint.engine.paths.shared_keys_check import can_share_keys
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy

CONTEXT, NEW = 14, 4
MANY_ENDS = list(range(5, 45))


@dataclass(frozen=True, eq=False)
class Case:
    context: Tensor  # [1, T]
    context_drop: Tensor  # [1, T]
    input_ids: Tensor  # [B, L]
    drop: Tensor  # [B, L]
    mask: Tensor | None  # [B, L]

    def whole(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """The prompts as a user would write them out, padding in front. [B, T + L]"""
        ids, drop, mask = [], [], []
        for row in range(len(self.input_ids)):
            pads = 0 if self.mask is None else int((self.mask[row] == 0).sum())
            none = torch.zeros(pads, dtype=torch.long)
            ids.append(torch.cat([none, self.context[0], self.input_ids[row, pads:]]))
            drop.append(torch.cat([none.bool(), self.context_drop[0], self.drop[row, pads:]]))
            mask.append(torch.cat([none, torch.ones(CONTEXT + self.input_ids.shape[1] - pads, dtype=torch.long)]))
        return torch.stack(ids), torch.stack(drop), None if self.mask is None else torch.stack(mask)


def _cases() -> dict[str, Case]:
    random = torch.Generator().manual_seed(5)
    context = torch.randint(3, VOCAB, (1, CONTEXT), generator=random)
    ids = torch.randint(3, VOCAB, (3, 8), generator=random)
    place = torch.arange(CONTEXT)[None]
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    mask[2, :1] = 0
    query = nothing.clone()
    query[:, 1:5] = True
    query[1] = False
    return {
        "examples after an instruction": Case(context, place > 3, ids, nothing, None),
        "everything": Case(context, place >= 0, ids, nothing, mask),
        "kept tokens that saw hidden ones": Case(context, (place > 1) & (place < 6) | (place == 9), ids, nothing, mask),
        "query too": Case(context, place > 1, ids, query, mask),
    }


CASE_OF = _cases()


@pytest.fixture(params=CASE_OF)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    return CASE_OF[request.param]


def given(case: Case) -> tuple[Tensor, Tensor, Tensor | None]:
    return case.input_ids, case.drop, case.mask


@pytest.mark.parametrize("name", FAMILIES)
def test_every_cut_of_a_shared_context_is_that_of_the_whole_prompts(name: str, case: Case) -> None:
    model = family(name)
    context = read_context(model, case.context, case.context_drop)
    shared = sweep_last_logits(model, *given(case), last=2, context=context)
    whole = sweep_last_logits(model, *case.whole(), last=2)
    meant = ~case.drop[:, -2:].expand(LAYERS + 1, -1, -1)
    assert (shared - whole)[meant].abs().max() <= TOLERANCE
    assert (whole[0] - whole[LAYERS]).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_after_a_shared_context_are_those_of_the_whole_prompts(name: str, case: Case) -> None:
    model = family(name)
    context = read_context(model, case.context, case.context_drop)
    shared = sweep_generate(model, *given(case), NEW, MANY_ENDS, context=context)
    assert torch.equal(shared, sweep_generate(model, *case.whole(), NEW, MANY_ENDS))


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2", "bloom"])
def test_early_exit_after_a_shared_context_is_that_of_the_whole_prompts(name: str) -> None:
    model, case = family(name), CASE_OF["examples after an instruction"]
    context = read_context(model, case.context, case.context_drop)
    shared = sweep_last_logits(model, *given(case), last=1, skip=True, context=context)
    assert (shared - sweep_last_logits(model, *case.whole(), last=1, skip=True)).abs().max() <= TOLERANCE
    written = sweep_generate(model, *given(case), NEW, skip=True, context=context)
    assert torch.equal(written, sweep_generate(model, *case.whole(), NEW, skip=True))


@pytest.mark.parametrize("skip", [False, True])
def test_a_family_whose_variants_cannot_stand_side_by_side_answers_the_whole_prompts(
    monkeypatch: pytest.MonkeyPatch, skip: bool
) -> None:
    model, case = family("llama"), CASE_OF["everything"]
    whole = sweep_generate(model, *case.whole(), NEW, MANY_ENDS, skip=skip)
    context = read_context(model, case.context, case.context_drop)
    held: list[int] = []

    def cannot(model: object, parts: object, keys: int) -> bool:
        held.append(keys)
        return False

    monkeypatch.setattr(sweep_decode, "can_decode_every_cut", cannot)
    assert torch.equal(sweep_generate(model, *given(case), NEW, MANY_ENDS, skip=skip, context=context), whole)
    assert held == [CONTEXT + case.input_ids.shape[1] + NEW * (LAYERS + 1)], "a layer holds the keys of the context too"


def test_one_context_serves_batch_after_batch() -> None:
    model, case = family("llama"), CASE_OF["kept tokens that saw hidden ones"]
    context = read_context(model, case.context, case.context_drop)
    before = [part.clone() for keys in (*context.base, *context.own) for part in keys]
    first = sweep_generate(model, *given(case), NEW, context=context)
    one = sweep_generate(model, case.input_ids[:1], case.drop[:1], max_new_tokens=NEW, context=context)
    assert torch.equal(one, first[:, :1])
    after = [part for keys in (*context.base, *context.own) for part in keys]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_context_is_not_read_again(name: str) -> None:
    model, case = family(name), CASE_OF["examples after an instruction"]
    context = read_context(model, case.context, case.context_drop)
    lengths: list[int] = []
    can_share_keys(model)  # asked before, so that its own calls are not counted
    with computing(anatomy(model).layers[0], lengths):
        sweep_last_logits(model, *given(case), last=1, context=context)
    assert max(lengths) <= 8


def test_kept_tokens_before_all_hidden_ones_have_one_set_of_keys_for_all_cuts() -> None:
    model, case = family("llama"), CASE_OF["examples after an instruction"]
    context = read_context(model, case.context, case.context_drop)
    assert [keys.shape[0] for keys, _ in context.own] == [1] * LAYERS
    mixed = CASE_OF["kept tokens that saw hidden ones"]
    context = read_context(model, mixed.context, mixed.context_drop)
    assert [keys.shape[0] for keys, _ in context.own] == [layer + 1 for layer in range(LAYERS)]


def test_a_family_outside_the_attention_interface_reads_the_context_with_each_prompt() -> None:
    case = CASE_OF["examples after an instruction"]
    assert read_context(family("bloom"), case.context, case.context_drop).base is None
    assert read_context(family("llama"), case.context, case.context_drop).base is not None


@pytest.mark.parametrize("drop", [torch.zeros(1, 3, dtype=torch.bool), torch.zeros(2, CONTEXT, dtype=torch.bool)])
def test_a_context_of_another_shape_is_refused(drop: Tensor) -> None:
    jaxtyping.config.update("jaxtyping_disable", True)  # the tests' own checks would come first
    try:
        with pytest.raises(PlanError, match="one row of the same length"):
            read_context(family("llama"), CASE_OF["everything"].context, drop)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_windows_reach_into_the_context() -> None:
    """Otherwise the windowed families above would test nothing: their windows see a part of the context."""
    assert 8 - 3 < WINDOW < CONTEXT
    model, case = family("mistral"), CASE_OF["everything"]
    other = case.context.clone()
    other[0, -1] = (other[0, -1] + 1) % VOCAB
    changed = replace(case, context=other)
    rows = [
        sweep_last_logits(model, *given(c), last=1, context=read_context(model, c.context, c.context_drop))[LAYERS]
        for c in (case, changed)
    ]
    assert (rows[0] - rows[1]).abs().max() > 100 * TOLERANCE
