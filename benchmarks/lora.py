"""An adapter on every layer in turn, from kept states, against plain loops over the whole model that peft wraps.

    python benchmarks/lora.py                     # 16 layers, 24 tokens of a prompt and 24 of its answer

Both make the same steps on the same sequences and give the same adapters. Forward and backward of a layer cost about
the same where its weights are not trained; a plain step of layer l is N forward and N - l backward, one from kept
states N - l of each: two thirds of it on average, less what the head of unneeded places costs.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shape import about, arguments, llama, prompts
from taskpoint.training.adapter_training import AdapterTraining, Lesson, Lessons, batches
from taskpoint.training.adapters import AdapterSettings, adapted, trained
from timing import Table, ratio, rounds, spread, timed

MOST_RATIO, MOST_DIFFERENCE = 0.65, 1e-3
ADAPTER = AdapterSettings(dropout=0.0)

Adapters = list[Tensor]


def plainly(model: Any, ids: Tensor, given: argparse.Namespace, settings: AdapterTraining) -> Adapters:
    """Whole passes in every step, as a loop over a model of peft has them."""
    found = []
    labels = ids.clone()
    labels[:, : given.context] = -100
    for layer in range(model.config.num_hidden_layers):
        with adapted(model, [layer], ADAPTER) as wrapped:
            weights, order = trained(model), batches(range(len(ids)), settings.batch, settings.seed)
            optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=0.0)
            for number in range(settings.steps):
                optimizer.param_groups[0]["lr"] = settings.lr * (1 - number / settings.steps)
                rows = next(order)
                optimizer.zero_grad()
                wrapped(input_ids=ids[rows], labels=labels[rows], use_cache=False).loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
            found += [weight.detach().clone() for weight in weights]
    return found


def from_kept_states(model: Any, ids: Tensor, given: argparse.Namespace, settings: AdapterTraining) -> Adapters:
    """The layers below the adapter run once for all steps, and once for all layers."""
    taught = np.arange(ids.shape[1]) >= given.context
    lessons = Lessons(model, [Lesson(row, taught) for row in ids.cpu().numpy()], 0, ids.device, 2**33)
    found = []
    for layer in range(model.config.num_hidden_layers):
        with adapted(model, [layer], ADAPTER):
            lessons.train(layer, range(len(ids)), settings)
            found += [weight.detach().clone() for weight in trained(model)]
    return found


def measure(model: Any, given: argparse.Namespace) -> Table:
    """All figures of one model."""
    ids, _ = prompts(given, given.sequences)
    settings = AdapterTraining(steps=given.steps, batch=given.batch, lr=1e-3)
    ways = {"plain": plainly, "kept": from_kept_states}
    made: dict[str, Adapters] = {}

    def run(name: str) -> None:
        made[name] = ways[name](model, ids, given, settings)

    times = rounds(timed({name: partial(run, name) for name in ways}, ids.device), given.rounds)
    pairs = zip(*made.values(), strict=True)
    apart = max(float((one - other).abs().max() / one.abs().max()) for one, other in pairs)
    table = Table(
        f"An adapter on each of {model.config.num_hidden_layers} layers in turn",
        about(model, given, given.batch, f", {given.steps} steps for each layer, {given.sequences} sequences"),
    )
    table.add("whole passes, s", spread(times["plain"]))
    table.add("from kept states, s", spread(times["kept"]))
    table.add("ratio of the times", ratio(times, "kept", "plain"), at_most=MOST_RATIO)
    table.add("largest difference of the adapters, share of the largest weight", apart, at_most=MOST_DIFFERENCE)
    return table


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints a table for each model."""
    small = {"width": 256, "heads": 4, "mlp": 704, "context": 24, "query": 24, "batch": 4}
    parser = arguments(__doc__, rounds=3, **small, steps=9, sequences=12)
    parser.set_defaults(layers=[16])
    given = parser.parse_args(words)
    for layers in given.layers:
        measure(llama(given, layers, given.context + given.query), given).show()


if __name__ == "__main__":
    main()
