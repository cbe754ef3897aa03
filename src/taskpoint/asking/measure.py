"""Prompts in, answers out: what a model says and thinks of the reference at every cut.

Shapes: B prompts, T tokens, C cuts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.finite_on_prompts import check_finite_on_prompts
from taskpoint.asking.references import Part, References
from taskpoint.asking.references import ReferenceScores as ReferenceScores
from taskpoint.asking.same_context import Group, grouped_by_context
from taskpoint.asking.token_device import token_device
from taskpoint.engine.calls.projections import OutputProjection, output_projections
from taskpoint.engine.context import read_context
from taskpoint.engine.cut import cut_context
from taskpoint.engine.finite import nowhere
from taskpoint.engine.paths.greedy import Ending, greedy
from taskpoint.engine.paths.sweep_context import SweepContext
from taskpoint.engine.sweep_ablations import ablation_generate, ablation_logits
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits
from taskpoint.models.library import inputs_for
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.batch import Batch, pad_left
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.writing import Template

# From so many cuts on, one sweep (about two ordinary passes) is cheaper than a pass for each cut.
_SWEEP_FROM = 3

# Contexts kept for the next cells; answers and references of one cell ask for the same one.
_MOST_CONTEXTS = 4

_Mask = Bool[np.ndarray, " _"]


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

    def part(self, some: slice) -> _Asked:
        """Some of the prompts."""
        batch = Batch(self.batch.input_ids[some], self.batch.attention_mask[some], self.batch.hidden[some])
        return _Asked(self.rows[some], batch, self.context, None if self.lone is None else self.lone[some])


class Measure:
    """Asks one model in one form: a template, its stop text and a longest answer."""

    def __init__(self, lm: LanguageModel, template: Template, max_new_tokens: int) -> None:
        self._lm, self._new = lm, max_new_tokens
        self._end = AnswerEnd(lm, template)
        self._contexts: dict[tuple[bytes, bytes, bool], SweepContext] = {}

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
        model, sweep = self._lm.model, newest_only or len(cuts) >= _SWEEP_FROM
        scores = self._references(prompts, len(cuts))
        for asked in self._asked(prompts, hidden, sweep, newest_only):
            for part in scores.parts(asked.rows, asked.batch.input_ids):
                some = asked.part(part.some)
                if sweep:
                    every = sweep_last_logits(model, *some.inputs, last=part.last, context=some.context, lone=some.lone)
                    logits = every[list(cuts)]  # [C, B, last, V]
                else:
                    under = []
                    ids, drop, mask = some.inputs
                    for cut in cuts:
                        with cut_context(model, cut, drop):
                            under.append(model(ids, **inputs_for(model, mask)).logits[:, -part.last :])
                    logits = torch.stack(under)  # [C, B, last, V]
                self._add(scores, part, logits, "under a cut, though not without one")
        return scores.found

    def answers_without_attention(self, prompts: Sequence[SegmentedPrompt]) -> list[list[str]]:
        """Greedy answers without the attention of each layer in turn, and at last with all of it; [N + 1][B].

        Raises:
            ModelError: a layer has no output projection.
        """
        texts = [[""] * len(prompts) for _ in range(self._lm.num_layers + 1)]
        for asked in self._asked_ablated(prompts):
            ids, _, mask = asked.inputs
            found = ablation_generate(
                *(self._lm.model, ids, mask, self._new, self._end.tokens),
                context=asked.context,
                projections=self._projections,
            )
            self._place(texts, asked, list(found))
        return texts

    @torch.inference_mode()
    def reference_without_attention(self, prompts: Sequence[SegmentedPrompt]) -> ReferenceScores:
        """As `reference`, without the attention of each layer in turn, and at last with all of it."""
        model, removed = self._lm.model, self._projections
        scores = self._references(prompts, self._lm.num_layers + 1)
        for asked in self._asked_ablated(prompts):
            for part in scores.parts(asked.rows, asked.batch.input_ids):
                ids, _, mask = asked.part(part.some).inputs
                logits = ablation_logits(
                    model, ids, mask, last=part.last, context=asked.context, projections=removed
                )  # [N + 1, B, last, V]
                self._add(scores, part, logits, "without the attention of a layer, though not with it")
        return scores.found

    @cached_property
    def _projections(self) -> tuple[OutputProjection, ...]:
        return output_projections(self._lm.model)

    def _asked_ablated(self, prompts: Sequence[SegmentedPrompt]) -> Iterator[_Asked]:
        nothing = [np.zeros(len(prompt), dtype=bool) for prompt in prompts]
        return self._asked(prompts, nothing, share_context=True, removed=self._projections)

    def _references(self, prompts: Sequence[SegmentedPrompt], settings: int) -> References:
        return References(prompts, settings, len(self._lm.tokenizer))

    def _add(self, scores: References, part: Part, logits: Float[Tensor, "C B last V"], when: str) -> None:
        """Adds the scores of some prompts; `when` says under which settings they were computed."""
        if not scores.add(part, logits):
            check_finite_on_prompts(self._lm, [scores.prompts[row] for row in part.rows])
            raise nowhere(self._lm.model, when)

    def _asked(
        self,
        prompts: Sequence[SegmentedPrompt],
        hidden: Sequence[_Mask],
        share_context: bool,
        newest_only: bool = False,
        removed: Sequence[OutputProjection] = (),
    ) -> Iterator[_Asked]:
        """The prompts in batches: all in one, or a batch for each context that is read once for all of its prompts."""
        device = token_device(self._lm)
        together = Group(tuple(range(len(prompts))), 0)
        for group in grouped_by_context(prompts, hidden) if share_context else [together]:
            start, first = group.context, group.rows[0]
            context: SweepContext | None = None
            if start:
                ids, mask = prompts[first].ids[:start], hidden[first][:start]
                key = ids.tobytes(), mask.tobytes(), bool(removed)
                if key not in self._contexts:
                    if len(self._contexts) >= _MOST_CONTEXTS:
                        self._contexts.clear()
                    tokens, drop = (torch.from_numpy(part.copy())[None].to(device) for part in (ids, mask))
                    self._contexts[key] = read_context(self._lm.model, tokens, drop, removed=removed)
                context = self._contexts[key]
            rest = [prompts[row].since(start) for row in group.rows]
            batch = pad_left(rest, [hidden[row][start:] for row in group.rows], self._end.pad)
            parts = (part.to(device) for part in (batch.input_ids, batch.attention_mask, batch.hidden))
            lone: Tensor | None = None
            if newest_only:
                lone = pad_left(rest, [prompt.newest for prompt in rest], self._end.pad).hidden.to(device)
            yield _Asked(group.rows, Batch(*parts), context, lone)

    def _place(self, texts: list[list[str]], asked: _Asked, tokens: Sequence[Int[Tensor, "B _"]]) -> None:
        for by_prompt, written in zip(texts, tokens, strict=True):
            for row, text in zip(asked.rows, self._end.texts(written), strict=True):
                by_prompt[row] = text
