"""Every cut at once, against one ordinary pass and against masking cut by cut.

    python benchmarks/sweep.py                          # logits with 16 and 32 layers; answers and a test set with 16
    python benchmarks/sweep.py --only logits --layers 32

Masking cut by cut is what one would write by hand: N + 1 passes, each with masks from another layer on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cut import MOST_DIFFERENCE
from shape import about, arguments, llama, prompts, uneven
from taskpoint.engine.context import read_context
from taskpoint.engine.paths.reference import mask_context, reference_sweep_logits
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits, sweep_logits
from timing import Table, ratio, rounds, spread, timed

# By number of layers: ordinary passes that a sweep may cost, and times that it must be faster than masking.
LOGITS = {16: (1.8, 9.0), 32: (2.4, 13.0)}
ANSWERS = {16: (2.5, 7.0)}
TEST_SET = {16: 1.1}  # passes only
NO_TARGET = (None, None)


@torch.inference_mode()
def ordinary_logits(model: Any, ids: Tensor) -> Tensor:
    """One pass of the ordinary model."""
    logits: Tensor = model(ids, use_cache=False, logits_to_keep=1).logits
    return logits[:, -1]


def ordinary_answers(model: Any, ids: Tensor, new: int) -> Tensor:
    """One `generate` of the ordinary model: new tokens."""
    tokens: Tensor = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False)
    return tokens[:, ids.shape[1] :]


def masked_answers(model: Any, ids: Tensor, drop: Tensor, new: int) -> Tensor:
    """One `generate` for each cut. [N + 1, batch, new]."""
    rows = []
    for cut in range(model.config.num_hidden_layers + 1):
        with mask_context(model, cut, drop):
            rows.append(ordinary_answers(model, ids, new))
    return torch.stack(rows)


def ordinary_test_set(model: Any, ids: Tensor, batch: int) -> Tensor:
    """Ordinary passes over a test set. [items, vocab]."""
    return torch.cat([ordinary_logits(model, rows) for rows in ids.split(batch)])


def swept_test_set(model: Any, ids: Tensor, drop: Tensor, context: int, batch: int) -> Tensor:
    """Every cut of a test set whose items share their context, which is read once. [N + 1, items, vocab]."""
    shared = read_context(model, ids[:1, :context], drop[:1, :context])
    parts = zip(ids[:, context:].split(batch), drop[:, context:].split(batch), strict=True)
    swept = [sweep_last_logits(model, *part, last=1, context=shared)[:, :, 0] for part in parts]
    return torch.cat(swept, dim=1)


def same_context(given: argparse.Namespace, items: int, context: int) -> tuple[Tensor, Tensor]:
    """Prompts as `prompts` draws them, but all with the context of the first."""
    ids, drop = prompts(given, items, context)
    ids[:, :context] = ids[0, :context].clone()
    return ids, drop


def logits(model: Any, given: argparse.Namespace) -> Table:
    """Logits at the last position, for every cut."""
    layers = model.config.num_hidden_layers
    ids, drop = prompts(given, given.batch)
    runs = {
        "ordinary": partial(ordinary_logits, model, ids),
        "sweep": partial(sweep_logits, model, ids, drop),
        "masking": partial(reference_sweep_logits, model, ids, drop),
    }
    times = rounds(timed(runs, ids.device), given.rounds)
    most, least = LOGITS.get(layers, NO_TARGET)
    table = Table(f"Logits of all {layers + 1} cuts", about(model, given, given.batch))
    table.add("one ordinary pass, s", spread(times["ordinary"]))
    table.add("`sweep_logits`, s", spread(times["sweep"]))
    table.add("masking cut by cut, s", spread(times["masking"]))
    table.add("`sweep_logits`, in ordinary passes", ratio(times, "sweep", "ordinary"), at_most=most)
    table.add("times faster than masking", ratio(times, "masking", "sweep"), at_least=least)
    context = uneven(given.context)
    ids, drop = prompts(given, given.batch, context)
    difference = (sweep_logits(model, ids, drop) - reference_sweep_logits(model, ids, drop)).abs().max()
    name = f"largest difference to masking, {context} context tokens"
    table.add(name, float(difference), at_most=MOST_DIFFERENCE)
    return table


def answers(model: Any, given: argparse.Namespace) -> Table:
    """Greedy answers, for every cut."""
    layers = model.config.num_hidden_layers
    ids, drop = prompts(given, given.answer_batch)
    sweep = partial(sweep_generate, model, ids, drop, max_new_tokens=given.new)
    masking = partial(masked_answers, model, ids, drop, given.new)
    runs = {"ordinary": partial(ordinary_answers, model, ids, given.new), "sweep": sweep, "masking": masking}
    times = rounds(timed(runs, ids.device), given.rounds)
    most, least = ANSWERS.get(layers, NO_TARGET)
    table = Table(f"Answers of all {layers + 1} cuts", about(model, given, given.answer_batch, f", {given.new} new"))
    table.add("one ordinary `generate`, s", spread(times["ordinary"]))
    table.add("`sweep_generate`, s", spread(times["sweep"]))
    table.add("masking cut by cut, s", spread(times["masking"]))
    table.add("`sweep_generate`, in ordinary generates", ratio(times, "sweep", "ordinary"), at_most=most)
    table.add("times faster than masking", ratio(times, "masking", "sweep"), at_least=least)
    # With random weights a near tie between two tokens may fall either way.
    same = sweep() == masking()
    table.add("tokens equal to masking, %", 100 * float(same.float().mean()))
    return table


def test_set(model: Any, given: argparse.Namespace) -> Table:
    """Logits of a test set whose items share their examples, for every cut."""
    layers = model.config.num_hidden_layers
    ids, drop = same_context(given, given.items, given.context)
    runs = {
        "ordinary": partial(ordinary_test_set, model, ids, given.item_batch),
        "sweep": partial(swept_test_set, model, ids, drop, given.context, given.item_batch),
    }
    times = rounds(timed(runs, ids.device), given.rounds)
    what = f", {given.items} items with one context"
    table = Table(f"All {layers + 1} cuts of a test set", about(model, given, given.item_batch, what))
    table.add("ordinary passes over the items, s", spread(times["ordinary"]))
    table.add("sweep with the context read once, s", spread(times["sweep"]))
    cost = ratio(times, "sweep", "ordinary")
    table.add("sweep, in ordinary passes over the items", cost, at_most=TEST_SET.get(layers))
    context = uneven(given.context)
    ids, drop = same_context(given, given.item_batch, context)
    swept = swept_test_set(model, ids, drop, context, given.item_batch)
    difference = (swept - reference_sweep_logits(model, ids, drop)).abs().max()
    table.add(f"largest difference to masking, {context} context tokens", float(difference), at_most=MOST_DIFFERENCE)
    return table


KINDS: dict[str, tuple[Callable[[Any, argparse.Namespace], Table], list[int]]] = {
    "logits": (logits, list(LOGITS)),
    "answers": (answers, list(ANSWERS)),
    "test-set": (test_set, list(TEST_SET)),
}


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints a table for each kind and model."""
    parser = arguments(__doc__, rounds=3, batch=4, answer_batch=8, new=20, items=64, item_batch=8)
    parser.set_defaults(layers=None)
    parser.add_argument("--only", choices=list(KINDS), help="one kind of sweep alone")
    given = parser.parse_args(words)
    for kind, (measure, usual) in KINDS.items():
        for layers in (given.layers or usual) if given.only in (None, kind) else []:
            measure(llama(given, layers, given.context + given.query + given.new), given).show()


if __name__ == "__main__":
    main()
