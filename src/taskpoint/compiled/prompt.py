"""A prompt whose context has been read, and that answers queries.

Shapes: B queries, T tokens of one prompt, L tokens of the longest rest after the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.encoding import encoded
from taskpoint.asking.finite_on_prompts import check_finite_on_prompts
from taskpoint.asking.token_device import token_device
from taskpoint.compiled.file import CompiledFile, CompiledFrom, write_compiled
from taskpoint.engine.compiled import CompiledContext, compile_context, prefix_generate
from taskpoint.engine.finite import watching
from taskpoint.engine.paths.batch_sizes import InBatches
from taskpoint.errors import ModelError, PromptError, SettingError
from taskpoint.models.head_gates import gates_on
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.encode import check_length
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.stable import StablePrefix
from taskpoint.prompts.template import template as template_of
from taskpoint.prompts.writing import Template
from taskpoint.settings import place, shown, text, whole


@dataclass(frozen=True)
class Answer:
    """The answer to one query.

    Attributes:
        text: what the model wrote, up to the template's stop text, without surrounding white space.
        compiled: whether the compiled context served it; False where the tokens of the context merge with this query,
            so that the whole prompt had to be read.
    """

    text: str
    compiled: bool


@dataclass(frozen=True, eq=False, repr=False)
class CompiledPrompt:
    """A prompt whose context has been read; made by `compile_prompt` and `load_prompt`.

    The examples are fixed: a query that is itself among them finds its answer there.

    Its keys and values are those of the model as it was: once the model is trained further, compile it again.
    """

    lm: LanguageModel
    file: CompiledFile

    @property
    def recipe(self) -> CompiledFrom:
        """What was compiled: instruction, examples, template, what is hidden, the cut."""
        return self.file.recipe

    @property
    def context(self) -> CompiledContext:
        """Tokens of the context, and their keys and values."""
        return self.file.context

    def __repr__(self) -> str:
        recipe, hidden = self.recipe, int(self.context.drop.sum())
        return (
            f"CompiledPrompt({recipe.task}, {recipe.shots} shots, seed {recipe.seed}: {len(self.context.tokens)} tokens"
            f", {hidden} of them hidden from layer {recipe.after} on, {self.context.nbytes / 1e6:.1f} MB)"
        )

    def save(self, path: str | Path) -> Path:
        """Writes the prompt as safetensors, whole or not at all, over another compiled prompt; gives the path.

        Raises:
            DataError: something else stands there, or it cannot be written.
        """
        target = place("path", path)
        write_compiled(self.file, target)
        return target

    def generate(self, queries: Sequence[str], max_new_tokens: int = 50, batch_size: int = 64) -> list[str]:
        """Answers queries greedily, as `cut_context` on the whole prompt would.

        Args:
            queries: what is asked, each as it shall stand in the prompt.
            max_new_tokens: longest answer in tokens; it ends earlier at the template's stop text.
            batch_size: queries that are answered at once; half as many where memory does not hold them.

        Raises:
            SettingError: `queries` is no list of texts, or a number is below 1.
            PromptError: prompt and answer do not fit the model's positions.
            ModelError: the model computes NaN or infinity, or has other gates on its heads than when it was compiled.
        """
        return [answer.text for answer in self.answers(queries, max_new_tokens, batch_size)]

    def answers(self, queries: Sequence[str], max_new_tokens: int = 50, batch_size: int = 64) -> list[Answer]:
        """As `generate`; every answer says whether the compiled context served it."""
        max_new_tokens, batch_size = whole("max_new_tokens", max_new_tokens, 1), whole("batch_size", batch_size, 1)
        self._check_gates()
        prompts = self._encoded(queries, max_new_tokens)
        hidden = [self._hidden(prompt) for prompt in prompts]
        served = [self._stable.begins(prompt, mask) for prompt, mask in zip(prompts, hidden, strict=True)]
        texts = [""] * len(prompts)
        # Queries of like length together: a batch costs as much as its longest.
        order = sorted((place for place, yes in enumerate(served) if yes), key=lambda place: len(prompts[place]))
        with watching(self.lm.model, lambda: check_finite_on_prompts(self.lm, prompts)):
            found: list[str] = []
            batches = InBatches(len(order), batch_size)
            for rows in batches:
                with batches.trying():
                    some = [prompts[place] for place in order[rows]]
                    found += self._end.texts(self._continue(self.context, some, max_new_tokens))
            for place, text in zip(order, found, strict=True):
                texts[place] = text
            for place in (place for place, yes in enumerate(served) if not yes):
                texts[place] = self._whole(prompts[place], hidden[place], max_new_tokens)
        return [Answer(text, yes) for text, yes in zip(texts, served, strict=True)]

    def check(self, queries: Sequence[str], max_new_tokens: int = 50) -> None:
        """Refuses what `generate` would refuse, without answering anything; errors as there."""
        self._encoded(queries, max_new_tokens)

    def check_model(self, query: str) -> None:
        """Reads the whole prompt of a query without a cut; a ModelError where the model computes NaN or infinity."""
        check_finite_on_prompts(self.lm, self._encoded([query], 1))

    def serves(self, query: str) -> bool:
        """Whether the compiled context serves a query: its prompt begins with the same tokens."""
        (prompt,) = self._encoded([query], 1)
        return self._stable.begins(prompt, self._hidden(prompt))

    def _check_gates(self) -> None:
        """Refuses, by a ModelError, other gates on the model's heads than the context was read with."""
        if gates_on(self.lm.model) != self.file.origin.fingerprint.get("gates"):
            raise ModelError(
                "this prompt was compiled with other gates on the model's heads, or with none; answer within "
                "gated_heads with those gates, or compile it again"
            )

    def _encoded(self, queries: Sequence[str], max_new_tokens: int) -> list[SegmentedPrompt]:
        if isinstance(queries, str):
            raise SettingError("queries is one text; expected a list of texts, such as [text]")
        if isinstance(queries, bytes | set | frozenset) or not isinstance(queries, Iterable):
            raise SettingError(f"queries is {shown(queries)}; expected a list of texts")
        queries = [text(f"query {number}", query) for number, query in enumerate(queries)]
        contents = [self.recipe.content(query) for query in queries]
        prompts = encoded(self.lm, self._template, contents)
        for number, prompt in enumerate(prompts):
            if self.lm.max_positions is not None:
                try:
                    check_length(prompt, self.lm.max_positions, max_new_tokens)
                except PromptError as error:
                    raise PromptError(f"query {number}: {error}") from None
        return prompts

    def _hidden(self, prompt: SegmentedPrompt) -> Bool[np.ndarray, " T"]:
        return parse_selector(self.recipe.hide).mask(prompt)

    def _continue(
        self, context: CompiledContext, prompts: Sequence[SegmentedPrompt], new: int
    ) -> Int64[torch.Tensor, "B new"]:
        """Answers, in tokens, to prompts that begin with the tokens of a context."""
        device = token_device(self.lm)
        begun = len(context.tokens)
        longest = max(len(prompt) for prompt in prompts) - begun
        ids = torch.full((len(prompts), longest), self._end.pad, dtype=torch.long)  # [B, L]
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            rest = prompt.ids[begun:]
            ids[row, longest - len(rest) :], mask[row, longest - len(rest) :] = torch.from_numpy(rest), 1
        padded = None if bool(mask.all()) else mask.to(device)
        ends = self._end.tokens or None
        return prefix_generate(self.lm.model, context, ids.to(device), padded, new, ends)

    def _whole(self, prompt: SegmentedPrompt, hidden: Bool[np.ndarray, " T"], new: int) -> str:
        """The answer to a prompt that begins with other tokens: all of it but the last one is read as its context."""
        context = compiled_context(self.lm, prompt.ids[:-1], hidden[:-1], self.recipe.after)
        return self._end.texts(self._continue(context, [prompt], new))[0]

    @cached_property
    def _stable(self) -> StablePrefix:
        return StablePrefix(self.context.tokens.cpu().numpy(), self.context.drop.cpu().numpy())

    @cached_property
    def _template(self) -> Template:
        return template_of(self.recipe.template)

    @cached_property
    def _end(self) -> AnswerEnd:
        return AnswerEnd(self.lm, self._template)


def compiled_context(
    lm: LanguageModel, ids: Int64[np.ndarray, " T"], hidden: Bool[np.ndarray, " T"], after: int
) -> CompiledContext:
    """Reads tokens once under a cut; errors as `compile_context`."""
    device = token_device(lm)
    tokens, drop = torch.from_numpy(ids)[None].to(device), torch.from_numpy(hidden)[None].to(device)
    return compile_context(lm.model, tokens, drop, after)
