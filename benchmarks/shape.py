"""The model that the benchmarks run: a Llama with random weights, whose time does not depend on what it has learned."""

from __future__ import annotations

import argparse
import datetime
import os
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

# Kernels work in blocks of tokens. Where the context is whole blocks, cutting and masking may round alike and differ by
# nothing at all; the differences that are printed are taken on a context that is not.
BLOCK = 16


def arguments(description: str | None, rounds: int, **defaults: int) -> argparse.ArgumentParser:
    """The command line that the benchmarks share; `defaults` adds options of one's own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[16, 32], help="models to run [default: 16 32]")
    numbers = {"width": 512, "heads": 8, "mlp": 1408, "vocab": 8000, "context": 400, "query": 40}
    for name, default in (numbers | defaults | {"rounds": rounds, "threads": 2, "seed": 0}).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"[default: {default}]")
    parser.add_argument("--device", default="cpu", help="where to run [default: cpu]")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16 [default: float32]")
    return parser


def llama(given: argparse.Namespace, layers: int, tokens: int) -> Any:
    """A Llama with random weights that never ends an answer by itself.

    Args:
        given: sizes, seed, device and dtype.
        layers: number of layers.
        tokens: longest prompt with its answer.
    """
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    config = LlamaConfig(
        vocab_size=given.vocab,
        hidden_size=given.width,
        intermediate_size=given.mlp,
        num_hidden_layers=layers,
        num_attention_heads=given.heads,
        num_key_value_heads=given.heads,
        max_position_embeddings=tokens,
        bos_token_id=None,
        eos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config).eval()
    model.generation_config.pad_token_id = 0
    return model.to(device=given.device, dtype=getattr(torch, given.dtype))


def prompts(given: argparse.Namespace, batch: int, context: int | None = None) -> tuple[Tensor, Tensor]:
    """Random prompts, and which of their tokens are the hidden context: [batch, context + query] each."""
    context = given.context if context is None else context
    tokens = context + given.query
    ids = torch.randint(1, given.vocab, (batch, tokens), generator=torch.Generator().manual_seed(given.seed))
    drop = (torch.arange(tokens) < context).expand(batch, -1)
    return ids.to(given.device), drop.to(given.device)


def uneven(context: int) -> int:
    """A context of about that length that is not whole blocks of the kernels."""
    return context - 3 if context % BLOCK == 0 else context


def about(model: Any, given: argparse.Namespace, batch: int, what: str = "") -> str:
    """One line that says what was measured, where and when."""
    config, weights = model.config, sum(p.numel() for p in model.parameters()) / 1e6
    place = f"{given.threads} threads on {os.cpu_count()} cores"
    if given.device.startswith("cuda"):
        place = torch.cuda.get_device_name()
    return (
        f"Llama shape, {config.num_hidden_layers} layers of width {config.hidden_size}, "
        f"{weights:.0f} M random weights, "
        f"{given.dtype}; batch {batch}, {given.context} context and {given.query} query tokens{what}; "
        f"{given.rounds} rounds; torch {torch.__version__}, transformers {transformers.__version__}, {place}; "
        f"{datetime.date.today()}."
    )
