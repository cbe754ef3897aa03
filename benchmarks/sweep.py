"""Every cut in one pass, against one ordinary pass and against masking cut by cut, side by side on one machine.

    python benchmarks/sweep.py                       # 16 layers, 400 context and 40 query tokens
    python benchmarks/sweep.py --layers 32 --batch 2

Each round runs all competitors one after the other; ratios are taken within a round, so that a machine that slows down
slows both. Weights are random: time does not depend on them, and the largest difference shows that the work is done.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from taskpoint.engine.reference import mask_context, reference_sweep_logits
from taskpoint.engine.sweep import sweep_logits
from taskpoint.engine.sweep_decode import sweep_generate

# What the design measured on two cores (section 6), with room for another machine.
MOST_PASSES, LEAST_SPEED_UP = 2.0, 8.0


@dataclass(frozen=True)
class Spread:
    """Median and extremes of one figure over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:8.2f}   ({self.low:.2f} to {self.high:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """The median of some rounds, and how far they lie apart."""
    return Spread(statistics.median(values), min(values), max(values))


def seconds(run: Callable[[], Any], device: torch.device) -> float:
    """Time of one call, on a GPU including the work that it has started."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


def rounds(competitors: dict[str, Callable[[], Any]], count: int, device: torch.device) -> dict[str, list[float]]:
    """Times of every competitor, round by round; a first round that is not counted warms up."""
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for round_ in range(count + 1):
        for name, run in competitors.items():
            taken = seconds(run, device)
            if round_:
                times[name].append(taken)
    return times


def llama(given: argparse.Namespace) -> Any:
    """A Llama with random weights."""
    torch.manual_seed(given.seed)
    config = LlamaConfig(
        vocab_size=given.vocab,
        hidden_size=given.width,
        intermediate_size=given.mlp,
        num_hidden_layers=given.layers,
        num_attention_heads=given.heads,
        num_key_value_heads=given.heads,
        max_position_embeddings=2 * (given.context + given.query + given.new),
        bos_token_id=None,
        eos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config).eval()
    model.generation_config.pad_token_id = 0
    return model.to(device=given.device, dtype=getattr(torch, given.dtype))


def prompts(given: argparse.Namespace, batch: int) -> tuple[Tensor, Tensor]:
    """Random prompts whose context is hidden."""
    tokens = given.context + given.query
    ids = torch.randint(1, given.vocab, (batch, tokens), generator=torch.Generator().manual_seed(given.seed))
    drop = (torch.arange(tokens) < given.context).expand(batch, -1)
    return ids.to(given.device), drop.to(given.device)


def passes(model: Any, given: argparse.Namespace) -> None:
    """First table: logits of every cut."""
    ids, drop = prompts(given, given.batch)

    @torch.inference_mode()
    def ordinary() -> Any:
        return model(ids, use_cache=False, logits_to_keep=1)

    competitors = {
        "ordinary": ordinary,
        "sweep": lambda: sweep_logits(model, ids, drop),
        "masking": lambda: reference_sweep_logits(model, ids, drop),
    }
    times = rounds(competitors, given.rounds, torch.device(given.device))
    cost = spread([a / b for a, b in zip(times["sweep"], times["ordinary"], strict=True)])
    speed_up = spread([a / b for a, b in zip(times["masking"], times["sweep"], strict=True)])
    difference = (sweep_logits(model, ids, drop) - reference_sweep_logits(model, ids, drop)).abs().max()
    print(
        f"logits of all {given.layers + 1} cuts, batch {given.batch}, {given.rounds} rounds: median (lowest to highest)"
    )
    print(f"  one ordinary pass, s          {spread(times['ordinary'])}")
    print(f"  sweep_logits, s               {spread(times['sweep'])}")
    print(f"  masking cut by cut, s         {spread(times['masking'])}")
    print(f"  sweep, in ordinary passes     {cost}   {verdict(cost.median <= MOST_PASSES, f'at most {MOST_PASSES}')}")
    met = verdict(speed_up.median >= LEAST_SPEED_UP, f"at least {LEAST_SPEED_UP}")
    print(f"  times faster than masking     {speed_up}   {met}")
    print(f"  largest difference to masking {float(difference):10.1e}")


def answers(model: Any, given: argparse.Namespace) -> None:
    """Second table: answers of every cut."""
    ids, drop = prompts(given, given.decode_batch)

    def ordinary() -> Tensor:
        tokens: Tensor = model.generate(ids, max_new_tokens=given.new, do_sample=False)
        return tokens

    def masking() -> list[Tensor]:
        rows = []
        for cut in range(given.layers + 1):
            with mask_context(model, cut, drop):
                rows.append(ordinary()[:, ids.shape[1] :])
        return rows

    competitors: dict[str, Callable[[], Any]] = {
        "ordinary": ordinary,
        "sweep": lambda: sweep_generate(model, ids, drop, max_new_tokens=given.new),
    }
    times = rounds(competitors, given.rounds, torch.device(given.device))
    cost = spread([a / b for a, b in zip(times["sweep"], times["ordinary"], strict=True)])
    print(f"{given.new} new tokens of all {given.layers + 1} cuts, batch {given.decode_batch}, {given.rounds} rounds")
    print(f"  one ordinary generate, s      {spread(times['ordinary'])}")
    print(f"  sweep_generate, s             {spread(times['sweep'])}")
    print(f"  sweep, in ordinary generates  {cost}")
    swept = competitors["sweep"]()
    if given.decode_masking:
        taken = seconds(lambda: swept_equals(swept, masking()), torch.device(given.device))
        print(f"  masking cut by cut, s         {taken:8.2f}   (one round)")
        print(f"  times faster than masking     {taken / statistics.median(times['sweep']):8.2f}")
    else:
        same = torch.equal(swept[-1], ordinary()[:, ids.shape[1] :])
        print(f"  tokens of the last cut are those of the ordinary model: {'yes' if same else 'NO'}")


def swept_equals(swept: Tensor, masked: list[Tensor]) -> None:
    """Says how many tokens agree; with random weights a near tie may fall either way."""
    same = (swept == torch.stack(masked)).float().mean()
    print(f"  tokens equal to masking       {float(same):8.2%}")


def verdict(met: bool, target: str) -> str:
    """Whether a target was met, in words."""
    return f"target {target}: {'met' if met else 'NOT MET'}"


def main() -> None:
    """Reads the command line and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"layers": 16, "width": 512, "heads": 8, "mlp": 1408, "vocab": 8000, "context": 400, "query": 40}
    numbers |= {"batch": 4, "decode-batch": 8, "new": 20, "rounds": 5, "threads": 2, "seed": 0}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"[default: {default}]")
    parser.add_argument("--device", default="cpu", help="where to run [default: cpu]")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 [default: float32]")
    parser.add_argument("--only", choices=["passes", "answers"], help="one of the two tables")
    parser.add_argument("--decode-masking", action="store_true", help="also time masking for answers: N + 1 generates")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = llama(given)
    weights = sum(p.numel() for p in model.parameters()) / 1e6
    shape = f"{given.layers} layers of width {given.width}, {weights:.0f} M weights"
    print(f"Llama shape, {shape}, {given.dtype} on {given.device}")
    print(f"{given.context} context + {given.query} query tokens; torch {torch.__version__}, {given.threads} threads")
    sys.stdout.flush()
    if given.only != "answers":
        passes(model, given)
    sys.stdout.flush()
    if given.only != "passes":
        answers(model, given)


if __name__ == "__main__":
    main()
