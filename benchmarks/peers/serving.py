"""What the peers' processes share: they load one saved model and run what they are told to, line by line.

These files run under interpreters that have a peer installed and not taskpoint; `benchmarks/peers.py` starts them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

FOLDER, THREADS = Path(sys.argv[1]), int(sys.argv[2])


def prompts() -> tuple[Tensor, Tensor]:
    """Token ids, and which of them are hidden; the same in every row. [batch, tokens] each."""
    torch.set_num_threads(THREADS)
    saved = torch.load(FOLDER / "prompts.pt")
    return saved["ids"], saved["drop"]


def serve(name: str, runs: Mapping[str, Callable[[], Tensor | Mapping[str, float]]]) -> None:
    """Answers each line of the input, the name of a run, with one line of JSON: its seconds, by part where it says so.

    A tensor that a run returns is saved beside the prompts as NAME-RUN.pt, outside the time taken.

    Args:
        name: the peer's.
        runs: what can be run.
    """
    # Libraries that print must not disturb the answers.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(parts: Mapping[str, float]) -> None:
        print(json.dumps(parts), file=answers, flush=True)

    answer({})
    for line in sys.stdin:
        run = line.strip()
        start = time.perf_counter()
        result = runs[run]()
        taken = time.perf_counter() - start
        if isinstance(result, Tensor):
            torch.save(result, FOLDER / f"{name}-{run}.pt")
            result = {"": taken}
        answer(result)
