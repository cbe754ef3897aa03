"""Cutting beside masking on one prompt: a prefill, decoding steps on its cache, and the same for the sweeps.

Shapes: B batch, T tokens, S decoding steps, C cuts (N + 1), N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.pristine import forget
from taskpoint.engine.paths.cut_layers import cut_layers
from taskpoint.engine.paths.every_cut import logits_of_every_cut
from taskpoint.engine.paths.every_cut_decode import EveryCutDecode, can_decode_every_cut
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.plan import CutPlan
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import cache_of, inputs_for, read_out, with_cache

STEPS = 3


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt with its answer, which is read in decoding, whatever the model would write."""

    input_ids: Tensor  # [B, T]
    drop: Tensor  # [B, T], True for hidden tokens
    mask: Tensor | None  # [B, T], 1 for tokens, 0 for padding
    answer: Tensor  # [B, S]

    @property
    def kept(self) -> Tensor:
        """True for tokens that are neither hidden nor padding. [B, T]."""
        return ~self.drop if self.mask is None else ~self.drop & self.mask.bool()


def prompts(model: nn.Module, tokens: int) -> tuple[Prompt, Prompt]:
    """One prompt with holes, and a ragged batch of two that say the same few tokens again and again.

    Attention that chooses among equal keys by their place would choose others under a cut. They have at least 9 tokens.
    """
    ids = torch.cat([_random_ids(model, 1, tokens + STEPS), _random_ids(model, 2, tokens + STEPS, different=4)])
    places = torch.arange(tokens, device=ids.device)
    place, before_last = places % 12, places < tokens - 1
    hole = ((place > 0) & (place < 5) | (place == 7)) & before_last
    drop = torch.stack([hole, (place > 3) & (place < 6) & before_last])
    mask = torch.stack([torch.ones_like(places), (places > 2).long()])
    one = Prompt(ids[:1, :tokens], hole[None], None, ids[:1, tokens:])
    return one, Prompt(ids[1:, :tokens], drop, mask, ids[1:, tokens:])


def long_prompt(model: nn.Module, tokens: int) -> Prompt:
    """A prompt with a hole every few tokens, up to its end."""
    ids = _random_ids(model, 1, tokens + STEPS)
    places = torch.arange(tokens, device=ids.device)
    hole = (places % 16 > 4) & (places % 16 < 11) & (places < tokens - 1)
    return Prompt(ids[:, :tokens], hole[None], None, ids[:, tokens:])


def _random_ids(model: nn.Module, rows: int, tokens: int, different: int | None = None) -> Tensor:
    embedding: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    weight: Tensor = embedding.weight  # type: ignore[assignment]
    random = torch.Generator().manual_seed(0)  # its own, so that the caller's random numbers stay what they were
    pool = torch.randperm(weight.shape[0], generator=random)[:different]
    ids = pool[torch.randint(len(pool), (rows, tokens), generator=random)]
    return ids if weight.is_meta else ids.to(weight.device)  # accelerate moves them to weights that it offloaded


def run(model: nn.Module, prompt: Prompt, context: AbstractContextManager[Any]) -> Tensor:
    """Logits (of a decoder without a head: hidden states) of the kept tokens, then of every decoding step.

    [kept + B * S, vocab]
    """
    forget(model)
    with context:
        output = model(prompt.input_ids, **inputs_for(model, prompt.mask) | {"use_cache": True})
        logits = [read_out(output)[prompt.kept]]
        for step in range(STEPS):
            seen = None if prompt.mask is None else torch.nn.functional.pad(prompt.mask, (0, step + 1), value=1)
            named = inputs_for(model, seen) | with_cache(model, cache_of(output)) | {"use_cache": True}
            if "position_ids" in named:
                named["position_ids"] = named["position_ids"][:, -1:]
            output = model(prompt.answer[:, step : step + 1], **named)
            logits.append(read_out(output)[:, -1])
    return torch.cat(logits).float()


def run_masked(model: nn.Module, prompt: Prompt, cut: int) -> Tensor:
    """`run` under masks."""
    return run(model, prompt, mask_context(model, cut, prompt.drop))


def differences(
    model: nn.Module, parts: Anatomy, prompt: Prompt, masked: dict[int, Tensor], *, sweeps: bool = True
) -> Iterator[tuple[str, float]]:
    """What was compared, at which cut, and the largest difference; `masked` is by cut what `run_masked` gives."""
    rows = prompt.input_ids.shape[0]
    for cut, reference in masked.items():
        cut_logits = run(model, prompt, cut_layers(parts, CutPlan(parts.num_layers, cut, prompt.drop)))
        difference = (cut_logits - reference).abs().amax(-1)  # [kept + B * S]
        yield f"prefill at cut {cut}", float(difference[: -rows * STEPS].max())
        yield f"decoding at cut {cut}", float(difference[-rows * STEPS :].max())
    if not sweeps:
        return
    # The last kept token of every prompt row is its last token.
    last = torch.tensor([int(prompt.kept[: row + 1].sum()) - 1 for row in range(rows)])
    logits = logits_of_every_cut(model, parts, prompt.input_ids, prompt.drop, prompt.mask, last=1)
    logits = logits[:, :, 0].float()  # [B, C, vocab]
    for cut, reference in masked.items():
        yield f"a sweep at cut {cut}", float((logits[:, cut] - reference[last.to(reference.device)]).abs().max())
    if not can_decode_every_cut(model, parts, prompt.input_ids.shape[1] + STEPS * (parts.num_layers + 1)):
        return
    decode = EveryCutDecode(model, parts, prompt.input_ids, prompt.drop, prompt.mask, skip=False)
    decode.prefill()
    for step in range(STEPS):
        tokens = prompt.answer[:, step, None].expand(-1, parts.num_layers + 1)  # [B, C]
        logits = decode.step(tokens).float()
        for cut, reference in masked.items():
            decoded = reference[-rows * STEPS :][step * rows : (step + 1) * rows]  # [B, vocab]
            yield f"a decoded sweep at cut {cut}", float((logits[:, cut] - decoded).abs().max())
