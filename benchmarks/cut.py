"""Prompts whose context leaves halfway up, against the same model uncut: prefill, decoding, cache, cost of hooks.

    python benchmarks/cut.py                     # 16 and 32 layers, 400 context and 40 query tokens
    python benchmarks/cut.py --layers 16 --batch 1

The ideal speed-up is the ratio of floating-point operations (`taskpoint.analysis.costs.cost`); a share of it above 1
means that the work that was left out would have been slower than the average.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from shape import about, arguments, llama, prompts, uneven
from taskpoint.analysis.costs.cost import prefill_cost
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.models.library import cache_of, with_cache
from timing import Table, now, overhead, ratio, rounds, spread

LEAST_SHARE, MOST_OVERHEAD, MOST_DIFFERENCE = 0.95, 2.0, 1e-4

Context = Callable[[], AbstractContextManager[Any]]


@torch.inference_mode()
def read_and_write(model: Any, ids: Tensor, context: Context, new: int) -> dict[str, float]:
    """Reads prompts, then decodes; entering the context counts as reading.

    Returns:
        Seconds of the prefill and of one decoding step for the whole batch; bytes of keys and values after the prefill.
    """
    start = now(ids.device)
    with context():
        output = model(ids, use_cache=True, logits_to_keep=1)
        read = now(ids.device)
        tokens, cache = output.logits.argmax(-1), cache_of(output)
        stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        begun = now(ids.device)
        for _ in range(new):
            tokens = model(tokens, **with_cache(model, cache), use_cache=True).logits.argmax(-1)
        wrote = now(ids.device)
    return {"prefill": read - start, "step": (wrote - begun) / new, "bytes": stored}


@torch.inference_mode()
def difference(model: Any, ids: Tensor, drop: Tensor, cut: int) -> float:
    """The largest one between cutting and masking, over the logits of the last position."""
    logits = []
    for context in (cut_context, mask_context):
        with context(model, cut, drop):
            logits.append(model(ids, use_cache=False, logits_to_keep=1).logits)
    return float((logits[0] - logits[1]).abs().max())


def measure(model: Any, given: argparse.Namespace) -> Table:
    """All figures of one model."""
    layers = model.config.num_hidden_layers
    cut, tokens = layers // 2, given.context + given.query
    ids, drop = prompts(given, given.batch)
    one = torch.arange(tokens, device=ids.device).expand_as(drop) == 0
    contexts: dict[str, Context] = {
        "ordinary": nullcontext,
        "cut": partial(cut_context, model, cut, drop),
        "r = N": partial(cut_context, model, layers, drop),
        "hooks": partial(cut_context, model, 0, one),
    }
    runs = {name: partial(read_and_write, model, ids, context, given.new) for name, context in contexts.items()}
    times = rounds(runs, given.rounds)

    shape = ModelShape.from_config(model.config)
    whole, under_cut = prefill_cost(shape, tokens), prefill_cost(shape, tokens, given.context, cut)
    ideal, kept = whole.flops / under_cut.flops, under_cut.kv_bytes / whole.kv_bytes
    table = Table(
        f"Cut after r = {cut} of {layers} layers", about(model, given, given.batch, f", {given.new} decoding steps")
    )
    table.add("ordinary prefill, s", spread(times["ordinary prefill"]))
    table.add("cut prefill, s", spread(times["cut prefill"]))
    table.add("speed-up of the prefill", ratio(times, "ordinary prefill", "cut prefill"))
    table.add("ideal speed-up, from operations", ideal)
    share = ratio(times, "ordinary prefill", "cut prefill", ideal)
    table.add("share of the ideal", share, at_least=LEAST_SHARE)
    table.add("ordinary decoding step, s", spread(times["ordinary step"]))
    table.add("cut decoding step, s", spread(times["cut step"]))
    table.add("speed-up of a decoding step", ratio(times, "ordinary step", "cut step"))
    table.add(
        "keys and values after the cut prefill, share of the ordinary", ratio(times, "cut bytes", "ordinary bytes")
    )
    table.add("the same, from arithmetic", kept)
    table.add(
        "overhead at r = N, prefill, %", overhead(times, "r = N prefill", "ordinary prefill"), at_most=MOST_OVERHEAD
    )
    table.add("overhead at r = N, decoding, %", overhead(times, "r = N step", "ordinary step"), at_most=MOST_OVERHEAD)
    table.add(
        "hooks in every layer, one token hidden, prefill, %", overhead(times, "hooks prefill", "ordinary prefill")
    )
    table.add("hooks in every layer, one token hidden, decoding, %", overhead(times, "hooks step", "ordinary step"))
    context = uneven(given.context)
    found = difference(model, *prompts(given, given.batch, context), cut)
    table.add(f"largest difference to masking, {context} context tokens", found, at_most=MOST_DIFFERENCE)
    return table


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints a table for each model."""
    given = arguments(__doc__, rounds=7, batch=4, new=20).parse_args(words)
    for layers in given.layers:
        measure(llama(given, layers, given.context + given.query + given.new), given).show()


if __name__ == "__main__":
    main()
