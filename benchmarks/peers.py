"""The masked sweep as one would write it with nnsight and with TransformerLens; the cache of kvpress beside a cut's.

    python benchmarks/peers.py                       # installs the peers on first use; 16 layers
    python benchmarks/peers.py --only nnsight --layers 8

Each peer lives in an environment of its own (`benchmarks/.peers/`, ignored by git) and runs in a process of its own on
the same saved model and prompts; all take turns within a round. Their sweeps are checked against masking cut by cut.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import venv
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from cut import MOST_DIFFERENCE, read_and_write
from shape import about, arguments, llama, prompts, uneven
from taskpoint.analysis.costs.cost import prefill_cost
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import reference_sweep_logits
from taskpoint.engine.sweep_logits import sweep_logits
from timing import Competitor, Table, ratio, rounds, spread, timed

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".peers"
# Peers whose requirements allow it run on the same transformers as taskpoint; kvpress asks for one before 5.3.
SAME = f"transformers=={importlib.metadata.version('transformers')}"
REQUIREMENTS = {
    "nnsight": ["nnsight==0.8.1", SAME],
    "transformer-lens": ["transformer-lens==4.3.0", SAME],
    "kvpress": ["kvpress==0.5.5"],
}
SWEEPS = {"nnsight": ["cut by cut", "from the cut"], "transformer-lens": ["cut by cut"]}


def interpreter(name: str) -> Path:
    """Python of a peer's environment, which is made on first use.

    Raises:
        SystemExit: it cannot be installed; what pip said last stands in the message.
    """
    folder, wanted = ENVIRONMENTS / name, " ".join(REQUIREMENTS[name])
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"installing {wanted}", file=sys.stderr, flush=True)
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(HERE.parent / "constraints.txt")]
    for packages in (["torch"], REQUIREMENTS[name]):
        ended = subprocess.run([*pip, *packages], capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"{name} cannot be installed: {' '.join(ended.stderr.split())[-500:]}")
    done.write_text(wanted)
    return python


class Peer:
    """A peer's process: runs what it is told by name, and says how long that took."""

    def __init__(self, name: str, folder: Path, *words: float) -> None:
        """Starts it and waits until it has loaded the model."""
        self.name, self._log = name, folder / f"{name}.log"
        script = HERE / "peers" / f"with_{name.replace('-', '_')}.py"
        command = [str(part) for part in (interpreter(name), script, folder, *words)]
        quiet = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "PYTHONPATH": ""}
        with self._log.open("w") as log:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=os.environ | quiet
            )
        self._answer("")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, what: str) -> dict[str, float]:
        """Runs something there: its seconds, those of its parts by name.

        Raises:
            SystemExit: the process ended; what it said last stands in the message.
        """
        return self._answer(f"{what}\n")

    def _answer(self, line: str) -> dict[str, float]:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a peer's process needs pipes")
        self._process.stdin.write(line)
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name} ended: {' '.join(self._log.read_text().split())[-500:]}")
        parts: dict[str, float] = json.loads(answer)
        return parts


def save(model: Any, given: argparse.Namespace, folder: Path) -> None:
    """Writes what the peers load: prompts, model, and a tokenizer, which TransformerLens asks for and nobody uses."""
    ids, drop = prompts(given, given.batch)
    model.save_pretrained(folder / "model")
    words = {str(token): token for token in range(given.vocab)}
    special = dict.fromkeys(("unk_token", "bos_token", "eos_token", "pad_token"), "0")
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder / "model")
    torch.save({"ids": ids, "drop": drop}, folder / "prompts.pt")


def sweeps(model: Any, given: argparse.Namespace, folder: Path, names: list[str]) -> Table:
    """The masked sweep, theirs and ours."""
    layers = model.config.num_hidden_layers
    ids, drop = prompts(given, given.batch)
    ours, masking = partial(sweep_logits, model, ids, drop), partial(reference_sweep_logits, model, ids, drop)
    runs = timed({"`sweep_logits`": ours, "masking": masking}, ids.device)
    with ExitStack() as stack:
        for name in names:
            peer = stack.enter_context(Peer(name, folder, given.threads))
            runs |= {f"{name}, {way}": partial(peer.run, way) for way in SWEEPS[name]}
        times = rounds(runs, given.rounds)
    table = Table(f"The masked sweep of all {layers + 1} cuts, by peers", about(model, given, given.batch))
    for name, taken in times.items():
        table.add(f"{name}, s", spread(taken))
    for name in list(times)[1:]:
        table.add(f"{name}: times as long as `sweep_logits`", ratio(times, name, "`sweep_logits`"))
    reference = masking()
    swept = {"`sweep_logits`": ours()}
    swept |= {f"{name}, {way}": torch.load(folder / f"{name}-{way}.pt") for name in names for way in SWEEPS[name]}
    for name, logits in swept.items():
        found = float((logits - reference).abs().max())
        table.add(f"{name}: largest difference to masking", found, at_most=MOST_DIFFERENCE)
    return table


def caches(model: Any, given: argparse.Namespace, folder: Path) -> Table:
    """A cut beside kvpress at the same share of keys and values, each against its own ordinary model."""
    layers, tokens = model.config.num_hidden_layers, given.context + given.query
    ids, drop = prompts(given, given.batch)
    shape, cut = ModelShape.from_config(model.config), layers // 2
    saved = 1 - prefill_cost(shape, tokens, given.context, cut).kv_bytes / prefill_cost(shape, tokens).kv_bytes
    ours = partial(read_and_write, model, ids, new=given.new)
    runs: dict[str, Competitor] = {
        "ordinary": partial(ours, nullcontext),
        "cut": partial(ours, partial(cut_context, model, cut, drop)),
    }
    with Peer("kvpress", folder, given.threads, saved, given.new) as peer:
        runs |= {f"kvpress {run}": partial(peer.run, run) for run in ("ordinary", "pruned")}
        times = rounds(runs, given.rounds)
    what = f", {given.new} decoding steps"
    table = Table(f"Keys and values: r = {cut} of {layers} layers, and kvpress", about(model, given, given.batch, what))
    for name, one, other in (("cut", "cut", "ordinary"), ("kvpress", "kvpress pruned", "kvpress ordinary")):
        table.add(f"{name}: keys and values, share of the ordinary", ratio(times, f"{one} bytes", f"{other} bytes"))
        table.add(f"{name}: prefill, share of the ordinary's time", ratio(times, f"{one} prefill", f"{other} prefill"))
        table.add(f"{name}: decoding step, share of the ordinary's time", ratio(times, f"{one} step", f"{other} step"))
    table.add("kvpress: ordinary prefill / ours", ratio(times, "kvpress ordinary prefill", "ordinary prefill"))
    return table


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints the tables."""
    parser = arguments(__doc__, rounds=3, batch=4, new=20)
    parser.set_defaults(layers=[16])
    parser.add_argument("--only", nargs="+", choices=list(REQUIREMENTS), default=list(REQUIREMENTS), help="some peers")
    given = parser.parse_args(words)
    if (given.device, given.dtype) != ("cpu", "float32"):
        parser.error("peers are compared on the CPU in float32")
    given.context = uneven(given.context)
    for name in given.only:
        interpreter(name)
    for layers in given.layers:
        model = llama(given, layers, given.context + given.query + given.new)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            save(model, given, folder)
            names = [name for name in SWEEPS if name in given.only]
            if names:
                sweeps(model, given, folder, names).show()
            if "kvpress" in given.only:
                caches(model, given, folder).show()


if __name__ == "__main__":
    main()
