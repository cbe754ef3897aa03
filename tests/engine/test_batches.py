"""A sweep takes as many rows as memory holds, halves them where that was too many, and does nothing twice."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import PROMPTS, family
from torch import Tensor

from taskpoint.engine import sweep_generate as sweep_decode
from taskpoint.engine import sweep_logits as sweep
from taskpoint.engine.paths import batch_sizes as batches
from taskpoint.engine.paths.batch_sizes import InBatches, SweepSize, rows_at_once
from taskpoint.engine.paths.every_cut_decode import EveryCutDecode
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy

PROMPT = PROMPTS["ragged, rows differ"]
GIVEN = (PROMPT.input_ids, PROMPT.drop, PROMPT.mask)
ENDS = list(range(5, 45))


class Machine:
    """Memory that holds some rows and no more."""

    def __init__(self, holds: int, error: type[RuntimeError] = torch.OutOfMemoryError, words: str = "") -> None:
        self.holds, self.error, self.words = holds, error, words
        self.done: list[tuple[int, int]] = []
        self.tried: list[int] = []

    def run(self, rows: slice) -> Tensor:
        self.tried.append(rows.stop - rows.start)
        if rows.stop - rows.start > self.holds:
            raise self.error(self.words)
        self.done.append((rows.start, rows.stop))
        return torch.arange(10)[rows]


def in_batches(rows: int, at_once: int, run: Callable[[slice], Tensor]) -> list[Tensor]:
    done = []
    batches = InBatches(rows, at_once)
    for some in batches:
        with batches.trying():
            done.append(run(some))
    return done


def test_rows_are_halved_until_they_fit_and_none_is_done_twice() -> None:
    machine = Machine(holds=2)
    assert torch.cat(in_batches(10, 8, machine.run)).tolist() == list(range(10))
    assert machine.done == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]


def test_rows_that_do_not_fit_are_tried_by_half_as_many_and_never_by_more_than_there_are() -> None:
    machine = Machine(holds=2)
    in_batches(10, 8, machine.run)
    assert machine.tried == [8, 4, 2, 2, 2, 2, 2]
    machine = Machine(holds=5)
    in_batches(10, 1000, machine.run)
    assert machine.tried == [10, 5, 5]


def test_memory_that_ends_later_keeps_what_was_done() -> None:
    machine = Machine(holds=4)

    def run(rows: slice) -> Tensor:
        if rows.start >= 4:
            machine.holds = 1
        return machine.run(rows)

    assert torch.cat(in_batches(10, 4, run)).tolist() == list(range(10))
    assert machine.done[0] == (0, 4)
    assert machine.done[1:] == [(row, row + 1) for row in range(4, 10)]


def test_the_cpu_says_it_in_words() -> None:
    machine = Machine(2, RuntimeError, "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")
    assert len(in_batches(10, 10, machine.run)) == 5


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"):
        in_batches(10, 10, Machine(2, RuntimeError, "shapes do not match").run)


def test_one_row_that_memory_does_not_hold_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match="does not hold one prompt"):
        in_batches(10, 10, Machine(0).run)


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_sweep_in_parts_equals_the_sweep_at_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    model = family("llama")
    logits, answers = sweep_logits(model, *GIVEN), sweep_generate(model, *GIVEN, 6, ENDS)
    for module in (sweep, sweep_decode):
        monkeypatch.setattr(module, "rows_at_once", lambda *args: at_once)
    assert (sweep_logits(model, *GIVEN) - logits).abs().max() <= 1e-5
    assert torch.equal(sweep_generate(model, *GIVEN, 6, ENDS), answers)


def test_a_sweep_that_memory_does_not_hold_is_done_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    model = family("llama")
    given = [torch.cat([part] * 2)[:4] for part in GIVEN]
    logits, answers = sweep_logits(model, *given), sweep_generate(model, *given, 6, ENDS)
    tried: list[int] = []
    every = sweep.logits_of_every_cut

    def read(model: Any, parts: Any, ids: Tensor, *rest: Any, **named: Any) -> Tensor:
        tried.append(len(ids))
        if len(ids) > 1:
            raise torch.OutOfMemoryError
        return every(model, parts, ids, *rest, **named)

    class Decode(EveryCutDecode):
        def prefill(self) -> Tensor:
            found = super().prefill()
            tried.append(len(found))
            if tried[-1] > 1:
                raise torch.OutOfMemoryError
            return found

    monkeypatch.setattr(sweep, "logits_of_every_cut", read)
    monkeypatch.setattr(sweep_decode, "EveryCutDecode", Decode)
    for found, wanted in ((sweep_logits(model, *given), logits), (sweep_generate(model, *given, 6, ENDS), answers)):
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= 1e-5
    assert tried == [4, 2, 1, 1, 1, 1] * 2


def test_caches_of_rows_that_did_not_fit_are_gone_before_fewer_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[weakref.ref[EveryCutDecode]] = []
    held: list[int] = []
    collect = gc.collect

    class Decode(EveryCutDecode):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            caches.append(weakref.ref(self))
            if len(caches) == 1:
                raise torch.OutOfMemoryError

        def step(self, tokens: Tensor) -> Tensor:
            if len(caches) == 2:
                raise torch.OutOfMemoryError
            return super().step(tokens)

    def look() -> int:
        collect()
        held.append(sum(cache() is not None for cache in caches))
        return 0

    monkeypatch.setattr(sweep_decode, "EveryCutDecode", Decode)
    monkeypatch.setattr(batches.gc, "collect", look)
    given = [torch.cat([part] * 2) for part in GIVEN]  # rows enough to halve twice
    sweep_generate(family("llama"), *given, 6, ENDS)
    assert held == [0, 0]


def test_less_free_memory_means_fewer_rows_but_never_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model, size = family("llama"), SweepSize(20, 8, 4, 1)
    found = []
    for free in (2**30, 2**24, 0):
        monkeypatch.setattr(batches, "free_bytes", lambda device, free=free: free)
        found.append(rows_at_once(anatomy(model), size))
    assert found[0] == pytest.approx(64 * found[1], rel=0.02)
    assert found[2] == 1


def test_the_estimate_is_no_less_than_what_a_sweep_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values of base and variants and the logits, counted by hand for the tiny Llama."""
    model, size = family("llama"), SweepSize(tokens=20, present=8, new=4, places=1)
    layers, head_bytes = 5, 2 * 2 * 8 * 4  # keys and values, 2 heads of 8, float32
    base = layers * 20 * head_bytes
    own = sum(range(1, layers + 1)) * 8 * head_bytes
    written = layers * (layers + 1) * 4 * head_bytes
    logits = (layers + 1) * 99 * 4
    monkeypatch.setattr(batches, "free_bytes", lambda device: 2**30)
    assert 2**29 / rows_at_once(anatomy(model), size) >= base + own + written + logits


def test_free_memory_of_this_machine_is_a_number_of_bytes() -> None:
    assert 2**20 < batches.free_bytes(torch.device("cpu")) < 2**50
