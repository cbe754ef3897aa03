"""Prompts in, answers out: what a model says and thinks of the reference at every cut.

Shapes: B prompts, T tokens, C cuts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from taskpoint.engine.forward import inputs_for
from taskpoint.engine.sweep import sweep_last_logits
from taskpoint.engine.sweep_decode import sweep_generate
from taskpoint.engine.truncated import cut_context
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.batch import Batch, pad_left
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.writing import Template

# From this many cuts on, one sweep is cheaper than one cut run each (a sweep costs about two ordinary passes).
_SWEEP_FROM = 3


@dataclass(frozen=True, eq=False)
class ReferenceScores:
    """What the model thinks of the reference answer.

    Attributes:
        logprob: summed log-probability of its tokens, natural logarithm. [C, B]
        rank: rank among the vocabulary of its least likely token; 0 = greedy decoding writes the reference. [C, B]
    """

    logprob: Float[np.ndarray, "C B"]
    rank: Int[np.ndarray, "C B"]


class Measure:
    """Asks one model in one form: a template, its stop text and a longest answer."""

    def __init__(self, lm: LanguageModel, template: Template, max_new_tokens: int) -> None:
        self._lm, self._template, self._new = lm, template, max_new_tokens
        pad = lm.tokenizer.pad_token_id
        self._pad = int(pad if pad is not None else lm.tokenizer.eos_token_id or 0)
        self._ends = _end_tokens(lm, template.stop)

    def answers(
        self, prompts: Sequence[SegmentedPrompt], hidden: Sequence[Bool[np.ndarray, " _"]], cuts: Sequence[int]
    ) -> list[list[str]]:
        """Greedy answers by cut and prompt, each ended at the template's stop text."""
        batch = self._batch(prompts, hidden)
        if len(cuts) >= _SWEEP_FROM:
            tokens = sweep_generate(self._lm.model, *_inputs(batch), self._new, self._ends)  # [N + 1, B, new]
            return [self._texts(tokens[cut]) for cut in cuts]
        return [self._texts(self._generate(batch, cut)) for cut in cuts]

    def exit_answers(self, prompts: Sequence[SegmentedPrompt], cuts: Sequence[int]) -> list[list[str]]:
        """Greedy answers by r and prompt when layers r ... N-1 are skipped for every token."""
        batch = self._batch(prompts, [np.zeros(len(prompt), dtype=bool) for prompt in prompts])
        tokens = sweep_generate(self._lm.model, *_inputs(batch), self._new, self._ends, skip=True)
        return [self._texts(tokens[cut]) for cut in cuts]

    @torch.inference_mode()
    def reference(
        self, prompts: Sequence[SegmentedPrompt], hidden: Sequence[Bool[np.ndarray, " _"]], cuts: Sequence[int]
    ) -> ReferenceScores:
        """Log-probability and rank of the OUTPUT segment of each prompt under each cut."""
        lengths = [len(prompt) - prompt.prompt_length for prompt in prompts]
        batch = self._batch(prompts, hidden)
        last = max(lengths) + 1
        if len(cuts) >= _SWEEP_FROM:
            logits = sweep_last_logits(self._lm.model, *_inputs(batch), last=last)[list(cuts)]  # [C, B, last, V]
        else:
            logits = torch.stack([self._forward(batch, cut)[:, -last:] for cut in cuts])
        scored = logits[:, :, :-1].float().log_softmax(-1)
        targets = batch.input_ids[:, -last + 1 :].to(scored.device).expand(len(cuts), -1, -1)[..., None]
        chosen = scored.gather(-1, targets)  # [C, B, last - 1, 1]
        ranks = (scored > chosen).sum(-1)  # [C, B, last - 1]
        answer = torch.arange(last - 1) >= (last - 1 - torch.tensor(lengths))[:, None]  # [B, last - 1]
        answer = answer.to(scored.device)
        logprob = chosen[..., 0].masked_fill(~answer, 0).sum(-1)
        return ReferenceScores(logprob.double().cpu().numpy(), ranks.masked_fill(~answer, 0).amax(-1).cpu().numpy())

    def _batch(self, prompts: Sequence[SegmentedPrompt], hidden: Sequence[Bool[np.ndarray, " _"]]) -> Batch:
        batch = pad_left(prompts, hidden, self._pad)
        device: torch.device = self._lm.model.get_input_embeddings().weight.device  # type: ignore[assignment]
        return Batch(batch.input_ids.to(device), batch.attention_mask.to(device), batch.hidden.to(device))

    def _generate(self, batch: Batch, cut: int) -> Tensor:
        model: Any = self._lm.model
        with cut_context(model, cut, batch.hidden):
            tokens: Tensor = model.generate(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                do_sample=False,
                num_beams=1,
                max_new_tokens=self._new,
                eos_token_id=self._ends or None,
                pad_token_id=self._pad,
            )
        return tokens[:, batch.input_ids.shape[1] :]

    def _forward(self, batch: Batch, cut: int) -> Tensor:
        with cut_context(self._lm.model, cut, batch.hidden):
            logits: Tensor = self._lm.model(batch.input_ids, **inputs_for(self._lm.model, batch.attention_mask)).logits
        return logits

    def _texts(self, tokens: Int[Tensor, "B new"]) -> list[str]:
        ends = set(self._ends)
        rows = []
        for row in tokens.tolist():
            # The ending token may carry text before the stop text, so it is decoded too.
            end = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
            text = self._lm.tokenizer.decode(row[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            rows.append(self._template.answer(str(text)))
        return rows


def _inputs(batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    padded = not bool(batch.attention_mask.all())
    return batch.input_ids, batch.hidden, batch.attention_mask if padded else None


def _end_tokens(lm: LanguageModel, stop: str | None) -> list[int]:
    """The model's own end tokens, and every token that carries the whole stop text."""
    own = getattr(lm.model.generation_config, "eos_token_id", None)
    ends = set(own if isinstance(own, list) else [] if own is None else [own])
    if stop is not None:
        pieces = lm.tokenizer.batch_decode([[token] for token in range(len(lm.tokenizer))])
        ends |= {token for token, piece in enumerate(pieces) if stop in piece}
    return sorted(ends)
