"""A Llama-3.1-8B shape with random weights in bfloat16 on one GPU: contexts of 512 to 32k tokens, uncut and cut.

    python benchmarks/gpu.py                      # without a GPU it says so and does nothing

One prompt of a context and 64 query tokens; the context leaves after a quarter, a half, three quarters of the layers.
"""

from __future__ import annotations

import argparse
import datetime
import math
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from cut import Context, read_and_write
from taskpoint.analysis.costs.cost import prefill_cost
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.engine.cut import cut_context
from taskpoint.engine.sweep_logits import sweep_logits
from timing import Competitor, digits, ratios, rounds, timed

# meta-llama/Llama-3.1-8B, config.json.
SIZES = {"layers": 32, "width": 4096, "heads": 32, "kv-heads": 8, "mlp": 14336, "vocab": 128256}
CONTEXTS = [512, 1024, 2048, 4096, 8192, 16384, 32768]
HEAD = ["context", "r", "prefill, ms", "ms a token", "KV, MiB", "peak, MiB", "speed-up", "share of the ideal"]
SWEEP_HEAD = ["context", "one pass, ms", "`sweep_logits`, ms", "in passes"]


def llama(given: argparse.Namespace) -> Any:
    """The model, made where it will run: its weights are never on the CPU."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=given.vocab,
        hidden_size=given.width,
        intermediate_size=given.mlp,
        num_hidden_layers=given.layers,
        num_attention_heads=given.heads,
        num_key_value_heads=given.kv_heads,
        max_position_embeddings=131072,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.device(given.device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def with_peak(model: Any, ids: Tensor, context: Context, new: int) -> dict[str, float]:
    """`read_and_write`, and the most memory that it took beyond what was taken before, in bytes."""
    if ids.device.type != "cuda":
        return {**read_and_write(model, ids, context, new), "peak": float("nan")}
    before = torch.cuda.memory_allocated(ids.device)
    torch.cuda.reset_peak_memory_stats(ids.device)
    parts = read_and_write(model, ids, context, new)
    return {**parts, "peak": torch.cuda.max_memory_allocated(ids.device) - before}


@torch.inference_mode()
def ordinary(model: Any, ids: Tensor) -> Any:
    """One pass without a cache."""
    return model(ids, use_cache=False, logits_to_keep=1)


def measure(model: Any, given: argparse.Namespace, length: int) -> tuple[list[list[str]], list[str]]:
    """Rows of both tables for one length of the context."""
    layers, tokens = given.layers, length + given.query
    ids = torch.randint(0, given.vocab, (1, tokens), generator=torch.Generator().manual_seed(0)).to(given.device)
    drop = (torch.arange(tokens, device=given.device) < length)[None]
    cuts = [3 * layers // 4, layers // 2, layers // 4]
    contexts: dict[int, Context] = {layers: nullcontext} | {r: partial(cut_context, model, r, drop) for r in cuts}
    runs: dict[str, Competitor] = {
        str(r): partial(with_peak, model, ids, context, given.new) for r, context in contexts.items()
    }
    whole = {"pass": partial(ordinary, model, ids), "sweep": partial(sweep_logits, model, ids, drop)}
    times = rounds(runs | timed(whole, ids.device), given.rounds)
    shape = ModelShape.from_config(model.config)
    dense = prefill_cost(shape, tokens).flops
    rows = []
    for r in contexts:
        ideal = dense / prefill_cost(shape, tokens, length, r).flops
        scales = {"prefill": 1e3, "step": 1e3, "bytes": 2**-20, "peak": 2**-20}
        row = [f"{length:,}", str(r)]
        row += [cell([scale * one for one in times[f"{r} {part}"]]) for part, scale in scales.items()]
        row += [cell(ratios(times, f"{layers} prefill", f"{r} prefill", over)) for over in (1.0, ideal)]
        rows.append(row)
    passes = [cell([1e3 * one for one in times[name]]) for name in ("pass", "sweep")]
    return rows, [f"{length:,}", *passes, cell(ratios(times, "sweep", "pass"))]


def cell(values: Sequence[float]) -> str:
    """Median of some rounds, and extremes where they differ in what is printed; a dash for what cannot be measured."""
    if any(math.isnan(value) for value in values):
        return "-"
    found = [digits(value) for value in (statistics.median(values), min(values), max(values))]
    return found[0] if len(set(found)) == 1 else f"{found[0]} ({found[1]} to {found[2]})"


def show(head: list[str], rows: list[list[str]]) -> None:
    """Prints a Markdown table."""
    for row in (head, ["---:"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def arguments() -> argparse.ArgumentParser:
    """The command line; sizes are hidden options, for trying the script where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, nargs="+", default=CONTEXTS, help="lengths of the context in tokens")
    for name, default in {"query": 64, "new": 20, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"[default: {default}]")
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    return parser


def main(words: list[str] | None = None) -> None:
    """Reads the command line and prints both tables."""
    given = arguments().parse_args(words)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: torch.cuda.is_available() is False; nothing was measured")
        return
    place = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    model = llama(given)
    weights = sum(p.numel() for p in model.parameters()) / 1e9
    print(f"### {place}, {datetime.date.today()}\n")
    print(
        f"Llama shape, {given.layers} layers of width {given.width}, {weights:.2f} G random weights, bfloat16; one "
        f"prompt of a context and {given.query} query tokens, {given.new} decoding steps; {given.rounds} rounds; torch "
        f"{torch.__version__}, transformers {transformers.__version__}. Peak: memory beyond the weights.\n"
    )
    rows, sweeps = [], []
    for length in given.contexts:
        found, sweep = measure(model, given, length)
        rows += found
        sweeps.append(sweep)
    show(HEAD, rows)
    show(SWEEP_HEAD, sweeps)


if __name__ == "__main__":
    main()
