"""Prompts in, answers out: what a model says and thinks of the reference at every cut.

Shapes: B prompts, T tokens, C cuts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.finite_on_prompts import check_finite_on_prompts
from taskpoint.asking.same_context import Group, grouped_by_context
from taskpoint.asking.token_device import token_device
from taskpoint.engine.context import read_context
from taskpoint.engine.cut import cut_context
from taskpoint.engine.finite import nowhere
from taskpoint.engine.paths.greedy import Ending, greedy
from taskpoint.engine.paths.sweep_context import SweepContext
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits
from taskpoint.models.library import inputs_for
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.batch import Batch, pad_left
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.writing import Template

# From so many cuts on, one sweep (about two ordinary passes) is cheaper than a pass for each cut.
_SWEEP_FROM = 3

# Logits held at once while references are scored (512 MiB in float32).
_MOST_LOGITS = 2**27

# Contexts kept for the next cells; answers and references of one cell ask for the same one.
_MOST_CONTEXTS = 4

_Mask = Bool[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class ReferenceScores:
    """What the model thinks of the reference answer.

    Attributes:
        logprob: summed log-probability of its tokens, natural logarithm. [C, B]
        rank: worst rank of one of its tokens among the vocabulary, where the tokens before it are given; 0 = greedy
            decoding writes the reference. [C, B]
    """

    logprob: Float[np.ndarray, "C B"]
    rank: Int[np.ndarray, "C B"]


@dataclass(frozen=True, eq=False)
class _Asked:
    """Prompts that are computed together, by their places among all prompts.

    The batch holds their tokens; where all of them begin with a context that is read once, those that follow it. `lone`
    as for `sweep_generate`.
    """

    rows: tuple[int, ...]
    batch: Batch
    context: SweepContext | None
    lone: Bool[Tensor, "B T"] | None

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor | None]:
        padded = not bool(self.batch.attention_mask.all())
        return self.batch.input_ids, self.batch.hidden, self.batch.attention_mask if padded else None


class Measure:
    """Asks one model in one form: a template, its stop text and a longest answer."""

    def __init__(self, lm: LanguageModel, template: Template, max_new_tokens: int) -> None:
        self._lm, self._new = lm, max_new_tokens
        self._end = AnswerEnd(lm, template)
        self._contexts: dict[tuple[bytes, bytes], SweepContext] = {}

    def answers(
        self,
        prompts: Sequence[SegmentedPrompt],
        hidden: Sequence[_Mask],
        cuts: Sequence[int],
        *,
        newest_only: bool = False,
    ) -> list[list[str]]:
        """Greedy answers by cut and prompt, each ended at the template's stop text.

        `newest_only` as `Selector` has it: the tokens of the answer are hidden from each other too.
        """
        texts = [[""] * len(prompts) for _ in cuts]
        sweep, model = newest_only or len(cuts) >= _SWEEP_FROM, self._lm.model
        for asked in self._asked(prompts, hidden, sweep, newest_only):
            if sweep:
                at_every_cut = sweep_generate(
                    model, *asked.inputs, self._new, self._end.tokens, context=asked.context, lone=asked.lone
                )
                tokens = [at_every_cut[cut] for cut in cuts]
            else:
                tokens, ending = [], Ending(model, self._end.tokens)
                for cut in cuts:
                    with cut_context(model, cut, asked.batch.hidden):
                        tokens.append(
                            greedy(model, asked.batch.input_ids, asked.batch.attention_mask, self._new, ending)
                        )
            self._place(texts, asked, tokens)
        return texts

    def exit_answers(self, prompts: Sequence[SegmentedPrompt], cuts: Sequence[int]) -> list[list[str]]:
        """Greedy answers by r and prompt when layers r ... N-1 are skipped for every token."""
        texts = [[""] * len(prompts) for _ in cuts]
        nothing = [np.zeros(len(prompt), dtype=bool) for prompt in prompts]
        for asked in self._asked(prompts, nothing, share_context=True, newest_only=False):
            at_every_layer = sweep_generate(
                self._lm.model, *asked.inputs, self._new, self._end.tokens, skip=True, context=asked.context
            )
            self._place(texts, asked, [at_every_layer[cut] for cut in cuts])
        return texts

    @torch.inference_mode()
    def reference(
        self,
        prompts: Sequence[SegmentedPrompt],
        hidden: Sequence[_Mask],
        cuts: Sequence[int],
        *,
        newest_only: bool = False,
    ) -> ReferenceScores:
        """Log-probability and rank of the OUTPUT segment of each prompt under each cut; arguments as for `answers`.

        Raises:
            ModelError: the model computes NaN or infinity.
        """
        logprob = np.zeros((len(cuts), len(prompts)))
        rank = np.zeros((len(cuts), len(prompts)), dtype=np.int64)
        lengths = torch.tensor([len(prompt) - prompt.prompt_length for prompt in prompts])
        model, longest = self._lm.model, int(lengths.max()) + 1
        sweep = newest_only or len(cuts) >= _SWEEP_FROM
        for asked in self._asked(prompts, hidden, sweep, newest_only):
            ids, drop, mask = asked.inputs
            last = min(longest, ids.shape[1])
            step = max(1, _MOST_LOGITS // (len(cuts) * longest * len(self._lm.tokenizer)))
            for start in range(0, len(asked.rows), step):
                some = slice(start, start + step)
                rows = list(asked.rows[some])
                given = ids[some], drop[some], None if mask is None else mask[some]
                if sweep:
                    lone = None if asked.lone is None else asked.lone[some]
                    every = sweep_last_logits(model, *given, last=last, context=asked.context, lone=lone)
                    logits = every[list(cuts)]  # [C, B, last, V]
                else:
                    under = []
                    for cut in cuts:
                        with cut_context(model, cut, given[1]):
                            under.append(model(given[0], **inputs_for(model, given[2])).logits[:, -last:])
                    logits = torch.stack(under)  # [C, B, last, V]
                found = _scored(logits, given[0], lengths[rows])
                if np.isnan(found.logprob).any():  # one NaN or infinity among the logits makes all of a row's NaN
                    check_finite_on_prompts(self._lm, [prompts[row] for row in rows])
                    raise nowhere(model, "under a cut, though not without one")
                logprob[:, rows], rank[:, rows] = found.logprob, found.rank
        return ReferenceScores(logprob, rank)

    def _asked(
        self, prompts: Sequence[SegmentedPrompt], hidden: Sequence[_Mask], share_context: bool, newest_only: bool
    ) -> Iterator[_Asked]:
        """The prompts in batches: all in one, or a batch for each context that is read once for all of its prompts."""
        device = token_device(self._lm)
        together = Group(tuple(range(len(prompts))), 0)
        for group in grouped_by_context(prompts, hidden) if share_context else [together]:
            start, first = group.context, group.rows[0]
            context: SweepContext | None = None
            if start:
                ids, mask = prompts[first].ids[:start], hidden[first][:start]
                key = ids.tobytes(), mask.tobytes()
                if key not in self._contexts:
                    if len(self._contexts) >= _MOST_CONTEXTS:
                        self._contexts.clear()
                    tokens, drop = (torch.from_numpy(part.copy())[None].to(device) for part in (ids, mask))
                    self._contexts[key] = read_context(self._lm.model, tokens, drop)
                context = self._contexts[key]
            rest = [prompts[row].since(start) for row in group.rows]
            batch = pad_left(rest, [hidden[row][start:] for row in group.rows], self._end.pad)
            parts = (part.to(device) for part in (batch.input_ids, batch.attention_mask, batch.hidden))
            newest = pad_left(rest, [prompt.newest for prompt in rest], self._end.pad).hidden
            yield _Asked(group.rows, Batch(*parts), context, newest.to(device) if newest_only else None)

    def _place(self, texts: list[list[str]], asked: _Asked, tokens: Sequence[Int[Tensor, "B _"]]) -> None:
        for by_prompt, written in zip(texts, tokens, strict=True):
            for row, text in zip(asked.rows, self._end.texts(written), strict=True):
                by_prompt[row] = text


def _scored(
    logits: Float[Tensor, "C B last V"], ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
) -> ReferenceScores:
    """How likely the last tokens of each prompt are, as many as its answer has."""
    cuts, _, last, _ = logits.shape
    scored = logits[:, :, :-1].float().log_softmax(-1)
    targets = ids[:, -last + 1 :].to(scored.device).expand(cuts, -1, -1)[..., None]
    chosen = scored.gather(-1, targets)  # [C, B, last - 1, 1]
    ranks = (scored > chosen).sum(-1)  # [C, B, last - 1]
    answer = torch.arange(last - 1) >= (last - 1 - lengths)[:, None]  # [B, last - 1]
    answer = answer.to(scored.device)
    logprob = chosen[..., 0].masked_fill(~answer, 0).sum(-1)
    return ReferenceScores(logprob.double().cpu().numpy(), ranks.masked_fill(~answer, 0).amax(-1).cpu().numpy())
