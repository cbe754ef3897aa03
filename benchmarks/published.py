"""One curve of paper A on the translator: as its published code measures it, and as a sweep does.

    python benchmarks/published.py                 # eng-fra, 5 examples, 64 sentences of `everyday`, one round

The published code masks and pays in full: for every cut it writes all answers anew with `generate`, with masks from
that layer on. Here that is the library's `generate` under our masks, with the batches, the longest answer and the end
tokens of the sweep, which is kinder than the released settings: batches of 2 to 4, and answers that never end early.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch

import taskpoint as tp
from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.encoding import encoded
from taskpoint.asking.measure import Measure
from taskpoint.engine.paths.reference import mask_context
from taskpoint.prompts.batch import pad_left
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.template import template
from timing import Table, ratio, rounds, spread, timed


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--direction", default="eng-fra", help="direction of the task `everyday`")
    for name, value, what in (
        ("shots", 5, "examples in the prompt"),
        ("items", 64, "sentences"),
        ("batch", 64, "prompts at once"),
        ("new", 24, "longest answer in tokens"),
        ("rounds", 1, "rounds that count"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{what} (default: {value})")
    measure(parser.parse_args(words)).show()


def measure(given: argparse.Namespace) -> Table:
    """Both ways on the same prompts."""
    lm, task, form = tp.load("translator"), tp.task(f"everyday:{given.direction}"), template("qa")
    items = task.items(given.items)
    contents = [task.content(item, given.shots, 0, instruction=False) for item in items]
    prompts = encoded(lm, form, contents)
    hidden = [parse_selector("examples").mask(prompt) for prompt in prompts]
    cuts, end = range(lm.num_layers + 1), AnswerEnd(lm, form)
    batches = [slice(start, start + given.batch) for start in range(0, len(prompts), given.batch)]

    def masked() -> list[list[str]]:
        return [[text for some in batches for text in answers(cut, some)] for cut in cuts]

    def answers(cut: int, some: slice) -> list[str]:
        batch, model = pad_left(prompts[some], hidden[some], end.pad), lm.model
        with torch.inference_mode(), mask_context(model, cut, batch.hidden):
            tokens = model.generate(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                do_sample=False,
                max_new_tokens=given.new,
                eos_token_id=end.tokens,
                pad_token_id=end.pad,
            )
        return end.texts(tokens[:, batch.input_ids.shape[1] :])

    def swept() -> list[list[str]]:
        asking = Measure(lm, form, given.new)  # a new one each round: the context is read anew
        found: list[list[str]] = [[] for _ in cuts]
        for some in batches:
            for texts, more in zip(found, asking.answers(prompts[some], hidden[some], cuts), strict=True):
                texts += more
        return found

    runs: dict[str, Callable[[], Sequence[Any]]] = {"masked": masked, "swept": swept}
    same = [a == b for one, other in zip(masked(), swept(), strict=True) for a, b in zip(one, other, strict=True)]
    times = rounds(timed(runs, torch.device("cpu")), given.rounds)
    about = (
        f"{len(items)} sentences, {given.direction}, {given.shots} examples, which are hidden, {lm.num_layers + 1} "
        f"cuts, batches of {given.batch}; float32, {torch.get_num_threads()} threads"
    )
    table = Table("One curve of paper A, every cut generated anew under masks, and in one sweep", about)
    table.add("every cut generated anew, s", spread(times["masked"]))
    table.add("one sweep, s", spread(times["swept"]))
    table.add("every cut generated anew / one sweep", ratio(times, "masked", "swept"))
    table.add("answers that are the same, %", 100 * sum(same) / len(same), at_least=100)
    return table


if __name__ == "__main__":
    main()
