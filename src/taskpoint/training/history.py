"""What a training leaves behind on its way: snapshots of the model at log-spaced steps, and a log of loss and score.

```
DIR/log.jsonl                one JSON object a line, by step:
    step                     optimiser steps done
    seconds                  time spent in them, over all the processes that did them
    loss                     of that step, nats per taught token
    bleu                     only where a snapshot was taken, once the model ends its answers: what `score` gave
DIR/snapshots/step-NNNNNN    the model after that step, in the usual Hugging Face form
```
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from taskpoint.results.atomic import write_whole
from taskpoint.training.export import export
from taskpoint.training.trainer import Training

_LOG = "log.jsonl"

# Steps between lines of the log, and before which a model has not learnt to end an answer: scoring it then
# takes long and tells nothing.
_EVERY, _SCORED_FROM = 20, 100


def log_spaced(steps: int) -> tuple[int, ...]:
    """Steps of which two lie in each doubling, from 1 on, and the last one."""
    found = {round(2 ** (half / 2)) for half in range(2 * math.floor(math.log2(steps)) + 2)}
    return tuple(sorted({step for step in found if step < steps} | {steps}))


class History:
    """Called after each step of a training; a run that is continued does again what came after its checkpoint.

    A snapshot is taken after each of the given steps; `score` gives the score of the model in a folder.
    """

    def __init__(
        self,
        out: Path,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        steps: Sequence[int],
        score: Callable[[Path], float],
        stop: str = "\n",
    ) -> None:
        self._out, self._model, self._tokenizer, self._stop = out, model, tokenizer, stop
        self._steps, self._score = frozenset(steps), score
        self._records = {int(record["step"]): record for record in _readable(out / _LOG)}

    def __call__(self, done: Training) -> None:
        """Writes what is due after this step."""
        record: dict[str, float] = {"step": done.steps, "seconds": round(done.seconds, 1), "loss": round(done.loss, 4)}
        if done.steps in self._steps:
            folder = self._out / "snapshots" / f"step-{done.steps:06d}"
            draft = folder.with_suffix(".tmp")
            shutil.rmtree(draft, ignore_errors=True)
            try:
                export(self._model, self._tokenizer, draft, self._stop)
                if done.steps >= _SCORED_FROM:
                    record["bleu"] = round(self._score(draft), 2)
                shutil.rmtree(folder, ignore_errors=True)
                draft.replace(folder)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        elif done.steps % _EVERY:
            return
        self._records[done.steps] = record
        # A run that is continued writes again what came after its checkpoint.
        self._records = {step: each for step, each in sorted(self._records.items()) if step <= done.steps}
        text = "".join(json.dumps(each) + "\n" for each in self._records.values())
        write_whole(self._out / _LOG, text.encode())


def _readable(log: Path) -> Iterator[dict[str, float]]:
    """The lines of a log, less those that are damaged: the log is for people, and no reason to stop a training."""
    if not log.is_file():
        return
    for line in log.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            yield record
