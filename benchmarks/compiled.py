"""Queries that continue a compiled context, against the same queries alone and against the library's prefix cache.

    python benchmarks/compiled.py                  # 16 layers, r = 8, 64 queries of 40 tokens, 20 new tokens

Zero-shot asks the queries alone with the library's `generate`: the least that any prompt with a context could cost. The
library's way to share a context is a cache of it, copied for each batch and repeated for each row of it. The compiled
context is checked to give the tokens that `cut_context` gives on context and query together.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from shape import about, arguments, llama, prompts
from taskpoint.engine.compiled import CompiledContext, compile_context, prefix_generate
from taskpoint.engine.cut import cut_context
from taskpoint.models.library import cache_of, with_cache
from timing import Table, ratio, rounds, spread, timed

MOST_OF_ZERO_SHOT = 1.2


class Queries:
    """The same queries, asked in every way, batch by batch; each way gives the new tokens. [queries, new]."""

    def __init__(self, model: Any, given: argparse.Namespace, cut: int) -> None:
        """Draws one context and the queries, and reads the context once in both ways to keep it."""
        self.model, self.cut, self.new, self.batch = model, cut, given.new, given.batch
        whole, drop = prompts(given, given.queries)
        whole[:, : given.context] = whole[0, : given.context].clone()
        self.whole, self.drop, self.context = whole, drop, given.context
        self.prefix = self.read()
        self.compiled = self.compile()

    def compile(self) -> CompiledContext:
        """The context, kept for the layers below the cut."""
        return compile_context(self.model, self.whole[:1, : self.context], self.drop[:1, : self.context], self.cut)

    @torch.inference_mode()
    def read(self) -> Any:
        """The context as the library keeps it, in every layer."""
        cache = DynamicCache(config=self.model.config)
        return cache_of(self.model(self.whole[:1, : self.context], **with_cache(self.model, cache), logits_to_keep=1))

    def from_compiled(self) -> Tensor:
        """Every batch continues the one compiled context."""
        queries = (rows[:, self.context :] for rows in self._batches())
        return self._joined(
            prefix_generate(self.model, self.compiled, query, max_new_tokens=self.new) for query in queries
        )

    def zero_shot(self) -> Tensor:
        """The queries alone."""
        return self._joined(self._generate(rows[:, self.context :]) for rows in self._batches())

    def from_cache(self) -> Tensor:
        """The library's way: a copy of the context's cache for each batch, repeated for each row."""

        def answer(rows: Tensor) -> Tensor:
            cache = copy.deepcopy(self.prefix)
            cache.batch_repeat_interleave(rows.shape[0])
            return self._generate(rows, **with_cache(self.model, cache))

        return self._joined(answer(rows) for rows in self._batches())

    def whole_prompts(self) -> Tensor:
        """Context and query read anew for every query."""
        return self._joined(self._generate(rows) for rows in self._batches())

    def under_cut(self) -> Tensor:
        """The same under `cut_context`: what the compiled context must equal."""

        def answer(rows: Tensor) -> Tensor:
            with cut_context(self.model, self.cut, self.drop[: rows.shape[0]]):
                return self._generate(rows)

        return self._joined(answer(rows) for rows in self._batches())

    def _batches(self) -> tuple[Tensor, ...]:
        return torch.split(self.whole, self.batch)

    def _generate(self, ids: Tensor, **named: Any) -> Tensor:
        tokens: Tensor = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=self.new, do_sample=False, **named
        )
        return tokens[:, ids.shape[1] :]

    def _joined(self, answers: Iterator[Tensor]) -> Tensor:
        return torch.cat(list(answers))


def measure(model: Any, given: argparse.Namespace) -> Table:
    """All figures of one model.

    Raises:
        SystemExit: the compiled context gives other tokens than `cut_context`.
    """
    layers = model.config.num_hidden_layers
    queries = Queries(model, given, layers // 2)
    unlike = queries.from_compiled() != queries.under_cut()
    if bool(unlike.any()):
        sys.exit(f"{int(unlike.any(1).sum())} of {len(unlike)} compiled answers differ from those under cut_context")
    runs: dict[str, Callable[[], Any]] = {
        "compiled": queries.from_compiled,
        "zero-shot": queries.zero_shot,
        "cache": queries.from_cache,
        "whole": queries.whole_prompts,
        "compile": queries.compile,
    }
    times = rounds(timed(runs, queries.whole.device), given.rounds)
    what = f", {given.queries} queries, {given.new} new tokens each"
    table = Table(f"Compiled context, r = {queries.cut} of {layers} layers", about(model, given, given.batch, what))
    table.add("compiled context, s", spread(times["compiled"]))
    table.add("zero-shot, s", spread(times["zero-shot"]))
    table.add("copies of a whole cache (the library's way), s", spread(times["cache"]))
    table.add("context read anew for every query, s", spread(times["whole"]))
    table.add("compiling, once, s", spread(times["compile"]))
    table.add("compiled / zero-shot", ratio(times, "compiled", "zero-shot"), at_most=MOST_OF_ZERO_SHOT)
    table.add("compiled / copies of a whole cache", ratio(times, "compiled", "cache"))
    table.add("compiled / context read anew", ratio(times, "compiled", "whole"))
    once = sum(layer.keys.nbytes + layer.values.nbytes for layer in queries.prefix.layers)
    table.add("keys and values of the context, compiled, MiB", queries.compiled.nbytes / 2**20)
    table.add("the same, copies for one batch (the library's way), MiB", once * min(given.batch, given.queries) / 2**20)
    same = (queries.from_cache() == queries.whole_prompts()).float().mean()
    table.add("tokens of copies equal to those of whole prompts, %", 100 * float(same))
    table.add("tokens compared with `cut_context`, all equal", unlike.numel())
    return table


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints a table for each model."""
    parser = arguments(__doc__, rounds=5, batch=16, new=20, queries=64)
    parser.set_defaults(layers=[16])
    given = parser.parse_args(words)
    for layers in given.layers:
        measure(llama(given, layers, given.context + given.query + given.new), given).show()


if __name__ == "__main__":
    main()
