"""The bundled translator on everyday sentences: what a compiled prompt costs and is worth, against what it replaces.

    python benchmarks/translator.py                # eng-fra, 5 examples, r = 8, 150 sentences

Three ways to ask the same sentences: each with all of its examples, read anew (the library's `generate`); after a
compiled prompt, whose examples are kept for the layers below r; and with no examples at all, the least that could be
paid. The speed of an answer says nothing without its worth, so BLEU stands beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import taskpoint as tp
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.batch import pad_left
from taskpoint.prompts.content import Content
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.template import Template, template
from taskpoint.tasks.scores.bleu import corpus_bleu
from timing import Table, ratio, rounds, spread, timed


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--direction", default="eng-fra", help="direction of the task `everyday`")
    for name, value, what in (
        ("shots", 5, "examples in the prompt"),
        ("after", 8, "layers that see them, r"),
        ("items", 150, "sentences"),
        ("batch", 64, "prompts at once"),
        ("new", 24, "longest answer in tokens"),
        ("rounds", 5, "rounds that count"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{what} (default: {value})")
    given = parser.parse_args(words)
    measure(given).show()


def measure(given: argparse.Namespace) -> Table:
    """All figures of one direction."""
    lm, task, form = tp.load("translator"), tp.task(f"everyday:{given.direction}"), template("qa")
    items = task.items(given.items)
    context = task.context(given.shots, 0, instruction=False)
    queries = [item.input for item in items]
    prompt = tp.compile_prompt(lm, task, shots=given.shots, seed=0, after=given.after, instruction=False)

    def asked(examples: tuple[Any, ...]) -> list[str]:
        contents = [Content(None, examples, query) for query in queries]
        return generated(lm, form, contents, given.new, given.batch)

    runs: dict[str, Callable[[], Sequence[str]]] = {
        "compiled": lambda: prompt.generate(queries, given.new, given.batch),
        "whole": lambda: asked(context.examples),
        "zero-shot": lambda: asked(()),
    }
    answers = [item.answers for item in items]
    worth = {name: corpus_bleu([text.strip() for text in run()], answers) for name, run in runs.items()}
    times = rounds(timed(runs, torch.device("cpu")), given.rounds)
    about = (
        f"{len(items)} sentences, {given.direction}, {given.shots} examples, no instruction, batches of {given.batch}; "
        f"float32, {torch.get_num_threads()} threads"
    )
    table = Table(f"Compiled prompt of the translator, r = {given.after} of {lm.num_layers} layers", about)
    for name, words in (
        ("compiled", "compiled prompt"),
        ("whole", "examples read anew for every sentence"),
        ("zero-shot", "no examples"),
    ):
        table.add(f"{words}, s", spread(times[name]))
        table.add(f"{words}, BLEU", worth[name])
    table.add("compiled / no examples", ratio(times, "compiled", "zero-shot"))
    table.add("compiled / examples read anew", ratio(times, "compiled", "whole"))
    return table


def generated(lm: LanguageModel, form: Template, contents: Sequence[Content], new: int, batch: int) -> list[str]:
    """Answers of the library's `generate` without us, prompts of like length in a batch: less padding."""
    prompts = encode_many(lm.tokenizer, form, contents)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    said, model = [""] * len(prompts), lm.model
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        nothing = [np.zeros(len(prompts[place]), dtype=bool) for place in places]
        padded = pad_left([prompts[place] for place in places], nothing, int(lm.tokenizer.pad_token_id))
        tokens = model.generate(
            padded.input_ids, attention_mask=padded.attention_mask, do_sample=False, max_new_tokens=new
        )[:, padded.input_ids.shape[1] :]
        texts = lm.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        for place, text in zip(places, texts, strict=True):
            said[place] = form.answer(text)
    return said


if __name__ == "__main__":
    main()
