"""Cutting beside masking in what people do: `generate` with the cache that it makes, a second turn, a compiled prompt.

Shapes: B batch, T tokens, S answer tokens, N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from taskpoint.engine.calls.pristine import forget
from taskpoint.engine.checks.compare import STEPS, Prompt, run
from taskpoint.engine.paths.cut_layers import cut_layers
from taskpoint.engine.paths.queries import Queries, read_compiled
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.plan import CutPlan
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import accepts, cache_of, generate_with_cache, generates

_QUERY = 3
"""Tokens of the short prompt that stand for a query; all tokens before them are compiled."""


def used(model: nn.Module, parts: Anatomy, prompt: Prompt, masked: dict[int, Tensor]) -> Iterator[tuple[str, float]]:
    """What was compared, at which cut, and the largest difference; `masked` is by cut what `run_masked` gives."""
    for cut, reference in masked.items():
        if generates(model):
            plan = CutPlan(parts.num_layers, cut, prompt.drop)
            by_cut = _generated(model, prompt, cut_layers(parts, plan))
            by_masks = _generated(model, prompt, mask_context(model, cut, prompt.drop))
            for turn in range(len(by_cut)):
                yield f"turn {turn + 1} of generate at cut {cut}", float((by_cut[turn] - by_masks[turn]).abs().max())
        if prompt.mask is None and not bool(prompt.drop[:, -_QUERY:].any()):
            yield f"a compiled prompt at cut {cut}", _compiled(model, prompt, cut, reference)


def takes_by_other_names(model: nn.Module, prompt: Prompt, rounding: float) -> str | None:
    """Why the engine cannot hand padding or positions to the model; None where it can.

    A forward that has another name for them may swallow those that it is given, under a cut and under masks alike;
    `generate` knows the names. `rounding` is the largest difference, as a share of the largest logit.
    """
    lacking = [name for name in ("attention_mask", "position_ids") if not accepts(model, name)]
    if not lacking or not generates(model):
        return None
    rows = prompt.input_ids.shape[0]
    called = run(model, prompt, nullcontext())
    ends = [int(prompt.kept[: row + 1].sum()) - 1 for row in range(rows)]
    wanted = torch.stack([called[ends], called[-rows * STEPS :][:rows]])  # [2, B, vocab]
    written = _generated(model, prompt, nullcontext())[0][:2]
    difference = float((written - wanted.to(written.device)).abs().max() / max(1.0, float(wanted.abs().max())))
    if difference <= rounding:
        return None
    return (
        f"its forward takes no {' and no '.join(lacking)}, and generate gives other logits than a call without "
        f"({difference:.1e} of the largest): it may have another name for it"
    )


def _generated(model: Any, prompt: Prompt, context: AbstractContextManager[Any]) -> list[Tensor]:
    """Logits of two turns, the second on the cache that the first gives back; the answers are those of the prompt."""
    ids, turns, cache = prompt.input_ids, [], None
    mask = torch.ones_like(ids) if prompt.mask is None else prompt.mask
    forget(model)
    with context:
        for _ in range(2):
            forced = _Forced(prompt.answer, ids.shape[1])
            output = model.generate(
                ids,
                attention_mask=mask,
                **generate_with_cache(cache),
                max_new_tokens=STEPS - 1,
                do_sample=False,
                num_beams=1,
                use_cache=True,
                eos_token_id=None,
                pad_token_id=0,
                logits_processor=[forced],
                return_dict_in_generate=True,
                output_logits=True,
            )
            turns.append(torch.stack(output.logits).float())
            cache = cache_of(output)
            ids = torch.cat([output.sequences, prompt.answer[:, :1]], dim=1)
            mask = torch.nn.functional.pad(mask, (0, ids.shape[1] - mask.shape[1]), value=1)
    return turns


class _Forced:
    """Lets `generate` write given tokens, so that a tie between two logits decides nothing."""

    def __init__(self, answer: Tensor, start: int) -> None:
        self._answer, self._start = answer, start

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        token = self._answer[:, ids.shape[1] - self._start, None].to(scores.device)
        return torch.full_like(scores, torch.finfo(scores.dtype).min).scatter(1, token, 0.0)


def _compiled(model: nn.Module, prompt: Prompt, cut: int, masked: Tensor) -> float:
    """Largest difference between a query after a compiled context, then its answer, and the whole prompt."""
    ids, drop = prompt.input_ids, prompt.drop
    context = read_compiled(model, ids[:, :-_QUERY], drop[:, :-_QUERY], cut)
    queries = Queries(model, context, ids[:, -_QUERY:], None)
    read = [queries.read(), *(queries.step(prompt.answer[:, step]) for step in range(STEPS))]
    return float((torch.cat(read).float() - masked[-STEPS - 1 :].to(read[0].device)).abs().max())
