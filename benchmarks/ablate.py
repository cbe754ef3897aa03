"""Every layer without its attention at once, against layer by layer.

    python benchmarks/ablate.py                 # a Llama shape of 16 layers, and the bundled models
    python benchmarks/ablate.py --only bundled

Layer by layer is what one would write by hand: N + 1 passes, each with one layer's attention removed. Logits are those
of whole prompts; with the examples read once, as `taskpoint ablate` asks a test set that shares them; and answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

import taskpoint as tp
from cut import MOST_DIFFERENCE
from shape import about, arguments, llama, prompts
from taskpoint.engine.calls.projections import OutputProjection, output_projections, without_attention
from taskpoint.engine.context import read_context
from taskpoint.engine.paths.greedy import Ending, greedy
from taskpoint.engine.sweep_ablations import ablation_generate, ablation_logits
from timing import Table, ratio, rounds, spread, timed

# Share of the time of layer by layer that all layers at once may take. (N + 3) / 2 of N + 1 passes are 0.56 at N = 16.
LOGITS = 0.6


@torch.inference_mode()
def layer_by_layer(removed: Sequence[OutputProjection], run: Callable[[], Tensor]) -> Tensor:
    """What a run gives without the attention of each layer in turn, and at last with all of it."""
    found = []
    for each in (*((one,) for one in removed), ()):
        with without_attention(each):
            found.append(run())
    return torch.stack(found)


def last_logits(model: Any, ids: Tensor) -> Tensor:
    """One ordinary pass."""
    logits: Tensor = model(ids, use_cache=False, logits_to_keep=1).logits[:, -1:]
    return logits


@torch.inference_mode()
def shared(model: Any, ids: Tensor, context: int, removed: Sequence[OutputProjection]) -> Tensor:
    """All layers at once, with the context of all prompts read once."""
    tokens = ids[:1, :context]
    read = read_context(model, tokens, torch.zeros_like(tokens, dtype=torch.bool), removed=removed)
    return ablation_logits(model, ids[:, context:], context=read, projections=removed)


def measured(name: str, model: Any, given: argparse.Namespace, what: str) -> Table:
    """The table of one model."""
    ids, _ = prompts(given, given.batch)
    ids[:, : given.context] = ids[0, : given.context].clone()
    removed = output_projections(model)
    ending = Ending(model, [])
    runs = {
        "by layer": partial(layer_by_layer, removed, partial(last_logits, model, ids)),
        "at once": partial(ablation_logits, model, ids, projections=removed),
        "shared": partial(shared, model, ids, given.context, removed),
        "answers by layer": partial(layer_by_layer, removed, partial(greedy, model, ids, None, given.new, ending)),
        "answers at once": partial(ablation_generate, model, ids, None, given.new, [], projections=removed),
    }
    times = rounds(timed(runs, ids.device), given.rounds)
    table = Table(f"Without the attention of each layer: {name}", what)
    table.add("logits layer by layer, s", spread(times["by layer"]))
    table.add("`ablation_logits`, share of that time", ratio(times, "at once", "by layer"), at_most=LOGITS)
    table.add("the same, context read once", ratio(times, "shared", "by layer"))
    table.add("answers layer by layer, s", spread(times["answers by layer"]))
    table.add("`ablation_generate`, share of that time", ratio(times, "answers at once", "answers by layer"))
    found, expected = runs["at once"](), runs["by layer"]()
    table.add("largest difference", float((found - expected).abs().max()), at_most=MOST_DIFFERENCE)
    same = runs["answers at once"]() == runs["answers by layer"]()
    table.add("tokens equal, %", 100 * float(same.float().mean()))
    return table


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints a table for each model."""
    parser = arguments(__doc__, rounds=3, batch=2, new=10)
    parser.set_defaults(layers=[16], context=100, query=20)
    parser.add_argument("--only", choices=["shape", "bundled"], help="one kind of model alone")
    given = parser.parse_args(words)
    for layers in given.layers if given.only != "bundled" else []:
        model = llama(given, layers, given.context + given.query + given.new)
        what = about(model, given, given.batch, f", {given.new} new")
        measured(f"{layers} layers", model, given, what).show()
    for name in ("lexicon", "translator") if given.only != "shape" else ():
        lm = tp.load(name)
        here = argparse.Namespace(**vars(given) | {"vocab": len(lm.tokenizer), "batch": 8 * given.batch})
        what = (
            f"{lm.num_layers} layers of width {lm.model.config.hidden_size}, float32; batch {here.batch}, "
            f"{given.context} context and {given.query} query tokens, {given.new} new; "
            f"{given.rounds} rounds, {given.threads} threads."
        )
        measured(name, lm.model, here, what).show()


if __name__ == "__main__":
    main()
