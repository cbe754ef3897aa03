"""Prefill and decoding with keys and values pruned by kvpress, at the share of them that a cut saves."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial
from typing import Any

import torch
from kvpress import KnormPress
from serving import FOLDER, prompts, serve
from transformers import AutoModelForCausalLM, DynamicCache

saved_share, new = float(sys.argv[3]), int(sys.argv[4])
ids, _ = prompts()
model: Any = AutoModelForCausalLM.from_pretrained(FOLDER / "model")


@torch.inference_mode()
def run(press: KnormPress | None) -> dict[str, float]:
    """One prefill and some decoding steps, as kvpress's own pipeline does them."""
    cache: Any = DynamicCache(config=model.config)
    start = time.perf_counter()
    with press(model) if press is not None else contextlib.nullcontext():
        logits = model(ids, past_key_values=cache, logits_to_keep=1).logits
    read = time.perf_counter()
    stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    tokens, position = logits.argmax(-1), torch.full((ids.shape[0], 1), ids.shape[1])
    begun = time.perf_counter()
    for step in range(new):
        tokens = model(tokens, past_key_values=cache, position_ids=position + step).logits.argmax(-1)
    wrote = time.perf_counter()
    return {"prefill": read - start, "step": (wrote - begun) / new, "bytes": stored}


serve(
    "kvpress",
    {"ordinary": partial(run, None), "pruned": partial(run, KnormPress(compression_ratio=saved_share))},
)
