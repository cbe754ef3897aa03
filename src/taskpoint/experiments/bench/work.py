"""Doing a `bench` run: competitors in turn, round by round, and only what the folder does not have yet."""

from __future__ import annotations

from collections.abc import Iterator

from taskpoint.experiments.bench.config import BenchConfig
from taskpoint.experiments.bench.passes import Clock, Passes
from taskpoint.experiments.bench.rows import CUT, DENSE, BenchRow
from taskpoint.experiments.bench.subject import Subject
from taskpoint.models.anatomy import anatomy
from taskpoint.progress import Progress
from taskpoint.results.folder import RunFolder


class Work:
    """Measures batch sizes with context lengths, one pair after the other.

    A pair is written at once, because its ratios are only fair when they were measured together.
    """

    def __init__(self, subject: Subject, settings: BenchConfig, progress: Progress | None, clock: Clock) -> None:
        self._subject, self._settings, self._progress, self._clock = subject, settings, progress, clock
        self._competitors: tuple[int | None, ...] = (None, *(settings.cuts or ()))
        self._cells = [(batch, context) for batch in settings.batch for context in settings.context or ()]
        self._done = 0

    def do(self, folder: RunFolder) -> None:
        """Measures and writes what the folder does not have yet."""
        each = len(self._competitors) * (self._settings.rounds + 2)
        self._tell(each, "")
        for cell, (batch, context) in enumerate(self._cells):
            key = f"batch={batch} context={context}"
            if not folder.has(key):
                folder.write(key, list(self._measure(batch, context, each)))
            self._done = (cell + 1) * each
            self._tell(each, "")

    def _measure(self, batch: int, context: int, each: int) -> Iterator[BenchRow]:
        settings, competitors = self._settings, self._competitors
        note = f"batch {batch}, context {context}"
        passes = Passes(self._subject.model, batch, context, settings.query, settings.new, self._clock)
        for cut in competitors:  # to warm up: kernels are chosen, caches filled, the model's self-check done
            passes.run(cut)
            self._step(each, f"{note}, warming up")
        peaks = {}
        for cut in competitors:
            peaks[cut] = passes.peak_bytes(cut)
            self._step(each, f"{note}, memory")
        layers = anatomy(self._subject.model).num_layers
        for number in range(settings.rounds):
            first = number % len(competitors)  # so that none always follows the same one
            for cut in competitors[first:] + competitors[:first]:
                timed = passes.run(cut)
                yield BenchRow(
                    batch=batch,
                    context=context,
                    side=DENSE if cut is None else CUT,
                    cut=layers if cut is None else cut,
                    round=number,
                    prefill_seconds=timed.prefill_seconds,
                    decode_seconds=timed.decode_seconds,
                    kv_bytes=timed.kv_bytes,
                    peak_bytes=peaks[cut] if number == 0 else None,
                )
                self._step(each, f"{note}, round {number + 1}")

    def _step(self, each: int, note: str) -> None:
        self._done += 1
        self._tell(each, note)

    def _tell(self, each: int, note: str) -> None:
        if self._progress is not None:
            self._progress(self._done, each * len(self._cells), note)
