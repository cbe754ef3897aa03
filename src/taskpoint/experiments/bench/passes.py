"""One pass of the benchmark: read a prompt, then some tokens one by one, with or without a cut; timed or weighed.

Shapes: B batch, T tokens of the prompt (context, then query), S decoding steps, r cut.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from taskpoint.engine.cut import cut_context
from taskpoint.errors import SettingError
from taskpoint.models.library import cache_of, inputs_for, with_cache

Clock = Callable[[], float]
"""Seconds since any moment, such as `time.perf_counter`."""


@dataclass(frozen=True)
class Timed:
    """What one pass took and left.

    Attributes:
        prefill_seconds: reading the prompts, entering the cut included.
        decode_seconds: one decoding step, the mean over all.
        kv_bytes: memory that the tensors of the cache hold afterwards.
    """

    prefill_seconds: float
    decode_seconds: float
    kv_bytes: int


class Passes:
    """Passes over prompts of one batch size and length, whose context is hidden."""

    def __init__(self, model: Any, batch: int, context: int, query: int, new: int, clock: Clock) -> None:
        """Makes prompts of random tokens, for no time depends on which they are; numbers as in `BenchConfig`."""
        self._model, self._new, self._clock = model, new, clock
        self._device: torch.device = model.get_input_embeddings().weight.device
        vocab = model.get_input_embeddings().weight.shape[0]
        with _in_memory(self._device, batch, context + query + new):
            ids = torch.randint(vocab, (batch, context + query + new), generator=torch.Generator().manual_seed(0))
        self._prompt, self._answer = ids.to(self._device).split([context + query, new], dim=1)  # [B, T], [B, S]
        self._drop = torch.zeros_like(self._prompt, dtype=torch.bool)  # [B, T]
        self._drop[:, :context] = True

    @torch.inference_mode()
    def run(self, cut: int | None) -> Timed:
        """One pass, timed.

        Args:
            cut: the cut r; None for the model without one.

        Raises:
            SettingError: the device's memory does not hold it.
            PlanError, ModelError: the model cannot be cut.
        """
        with _in_memory(self._device, *self._prompt.shape), ExitStack() as stack:
            start = self._now()
            if cut is not None:
                stack.enter_context(cut_context(self._model, cut, self._drop))
            named = inputs_for(self._model, None, last=1) | {"use_cache": True}
            cache = cache_of(self._model(self._prompt, **named))
            read = self._now()
            for step in range(self._new):
                self._model(self._answer[:, step, None], **with_cache(self._model, cache), use_cache=True)
            end = self._now()
        return Timed(read - start, (end - read) / self._new, held_bytes(cache))

    def peak_bytes(self, cut: int | None) -> int | None:
        """Most memory at one time during a pass, above what was in use before it; None where the device does not tell.

        On the CPU: what torch's allocator handed out, as its profiler records it. That leaves out what libraries below
        torch take for themselves, and is the same in each run, unlike the resident size of the process.
        """
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
            self.run(cut)
            return torch.cuda.max_memory_allocated(self._device) - before
        if self._device.type != "cpu":
            return None
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            self.run(cut)
        return _largest(recorded)

    def _now(self) -> float:
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
        return self._clock()


@contextmanager
def _in_memory(device: torch.device, batch: int, tokens: int) -> Iterator[None]:
    """Raises a SettingError of one line where the device's memory does not hold what the block makes."""
    try:
        yield
    except RuntimeError as error:
        # The CPU's allocator raises a plain RuntimeError, and says of sizes over 64 bits that they overflow.
        ends = any(words in str(error) for words in ("can't allocate memory", "verflow"))
        if not isinstance(error, torch.OutOfMemoryError) and not ends:
            raise
        raise SettingError(
            f"{device} has not enough memory for batch {batch} with {tokens} tokens each; give smaller --batch or "
            "--context"
        ) from None


def held_bytes(cache: Any) -> int:
    """Memory that the keys and values of a cache keep from others; a slice of a tensor keeps the whole of it."""
    tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def _largest(recorded: profile) -> int:
    """Largest sum of all that was taken and not yet given back, from the trace that the profiler exports."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(trace))
        events = json.loads(trace.read_bytes())["traceEvents"]
    changes = sorted((event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"])
    held = largest = 0
    for change in changes:
        held += int(change["args"]["Bytes"])
        largest = max(largest, held)
    return largest
