"""The self-check: does cutting equal masking on this model, and may masking itself be trusted?

Both paths run on a prompt of 12 tokens with holes, alone and in a ragged batch, at a few cuts: a prefill, then decoding
steps on a cache, and the same for the sweeps. What 12 tokens do not show is looked for in two ways: lengths that the
model declares (windows, chunks, numbers of keys to keep) are made small for a moment and the comparison is made again;
and one prompt is long, for lengths that it does not declare.

Shapes: N layers, r cut.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from taskpoint.engine.calls.forward import under_cut
from taskpoint.engine.calls.pristine import FAILURES, pristine
from taskpoint.engine.checks.compare import STEPS, Prompt, differences, long_prompt, prompts, run, run_masked
from taskpoint.engine.checks.declared_lengths import declared_lengths, shrunk
from taskpoint.engine.checks.masking import fault_of_masking, layers_run
from taskpoint.engine.checks.tested_families import TESTED_FAMILIES
from taskpoint.engine.checks.usage import takes_by_other_names, used
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import Anatomy, anatomy
from taskpoint.models.heads import HeadKind, head_of
from taskpoint.models.library import attention_name, if_untested, is_untested, saying_versions

_TOKENS, _SHRUNK = 12, 40
# The long prompt: more than the smallest windows that models have (128: GPT-OSS, ModernBERT), and the most that it may
# be made longer to reach a declared length.
_LONG, _LONGEST = 160, 544

# The one thing the engine remembers between calls: what was found for a model object, for as long as that object lives.
# It is kept beside the model, because the model must stay bit for bit as it is.
_VERDICTS: WeakKeyDictionary[nn.Module, tuple[Any, bool]] = WeakKeyDictionary()


@dataclass(frozen=True)
class CheckResult:
    """What the self-check found.

    Attributes:
        family: the model type.
        largest_difference: between the logits of cutting and masking, as a share of the largest logit; infinite where
            cutting could not run.
        exact: the difference is no more than rounding, and no declared length was left unseen.
        reason: what was compared, or where it differs.
    """

    family: str
    largest_difference: float
    exact: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.family}: {'can be cut exactly' if self.exact else 'cannot be cut exactly'}, {self.reason}"


def check(model: nn.Module) -> CheckResult:
    """Compares cutting with masking on short prompts; without a language-model head by hidden states.

    They are equal up to 1e-4 of the largest logit in float32, 8 roundings in half precision, and up to a hundredth (in
    half precision a tenth) of what hiding tokens changes at all.

    Raises:
        ModelError: the model can be neither cut nor masked.
        PlanError: the model is under a cut.
    """
    with saying_versions():
        return _check(model, anatomy(model))


def _check(model: nn.Module, parts: Anatomy) -> CheckResult:
    if head_of(model).kind is not HeadKind.LANGUAGE_MODEL:
        model = parts.decoder  # whatever stands on its hidden states
    with under_cut(parts):
        pass  # it must not be under one, and its attention must be one that can be cut
    with torch.no_grad(), pristine(model):
        checking = _Checking(model, parts)
        checking.masks_hide()
        try:
            return checking.verdict()
        except (ModelError, PlanError) as error:
            return CheckResult(parts.family, float("inf"), False, str(error))
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            return CheckResult(parts.family, float("inf"), False, f"a layer failed on fewer tokens: {_line(error)}")


def exact(model: nn.Module) -> bool:
    """Whether this model can be cut exactly: asked once of a model object that the tests do not cover.

    They cover some families, on some versions of transformers. Where a model cannot be cut, a warning says so.
    """
    parts = anatomy(model)
    # Modules may be replaced between two uses: the kinds are part of the question.
    asked = (parts.facts, attention_name(parts.config), [type(module) for module in parts.layers.modules()])
    if model not in _VERDICTS or _VERDICTS[model][0] != asked:
        tested = parts.family in TESTED_FAMILIES and not is_untested() and _of_library(parts)
        verdict = None if tested else check(model)
        _VERDICTS[model] = (asked, verdict is None or verdict.exact)
        if verdict is not None and not verdict.exact:
            warnings.warn(f"{verdict}; masks are used instead, so nothing is saved{if_untested()}", stacklevel=3)
    return _VERDICTS[model][1]


def _of_library(parts: Anatomy) -> bool:
    """Whether the library's own code runs: code from elsewhere may borrow a family's name, or take its forward's place.

    Parts without parts of their own (norms, linear maps) know single tokens alone, unless they are quantised.
    """
    inside = [module for module in parts.layers.modules() if any(module.children())]
    kinds = {type(module) for module in (parts.decoder, *inside)}
    homes = {home.partition(".")[0] for kind in kinds for home in (kind.__module__, kind.forward.__module__)}
    return homes <= {"transformers", "torch", "peft"} and not any(map(_quantised, parts.layers.modules()))


def _quantised(module: nn.Module) -> bool:
    """Whether a module may scale a token by what other tokens are, as LLM.int8() and dynamic quantisation do."""
    home = type(module).__module__
    if type(module).__name__ == "Linear4bit":  # weights in 4 bits (bitsandbytes), tokens as they are
        return False
    plain = home.startswith(("torch.nn.", "transformers.", "peft.")) and "transformers.integrations" not in home
    return not (plain and all(type(weight) is nn.Parameter for weight in module.parameters(recurse=False)))


class _Checking:
    """One check of one model."""

    def __init__(self, model: nn.Module, parts: Anatomy) -> None:
        self._model, self._parts = model, parts
        self._cuts = sorted({0, parts.num_layers // 2, parts.num_layers - 1})
        eps = torch.finfo(next(p.dtype for p in model.parameters() if p.is_floating_point())).eps
        self._rounding = max(1e-4, 8 * eps)  # as a share of the largest logit
        self._share = 1e-2 if eps < 1e-5 else 1e-1  # as a share of what hiding changes
        self._one, self._ragged = prompts(model, _TOKENS)
        self._worst, self._where = 0.0, ""
        self._headed = head_of(model).kind is HeadKind.LANGUAGE_MODEL

    def masks_hide(self) -> None:
        """Raises a ModelError where masks, with which cutting is then compared, do not hide tokens, or do not run."""
        family = self._parts.family
        try:
            reason = self._unsound() or self._misnamed()
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            raise ModelError(f"models of type {family!r} can be neither cut nor masked: {_line(error)}") from error
        if reason is not None:
            raise ModelError(f"models of type {family!r} can be neither cut nor masked: {reason}")

    def _unsound(self) -> str | None:
        reason = fault_of_masking(self._model, self._parts, self._one, self._cuts, self._share)
        if reason is not None and any(map(_quantised, self._parts.layers.modules())):
            reason += "; or its quantisation (LLM.int8(), dynamic) scales tokens by one another: load it in 4 bits"
        return reason

    def _misnamed(self) -> str | None:
        reason = None
        for prompt in (self._one, self._ragged):
            run_masked(self._model, prompt, 0)
            if self._headed and reason is None:
                reason = takes_by_other_names(self._model, prompt, self._rounding)
        return reason

    def verdict(self) -> CheckResult:
        """Compares cutting with masking."""
        order = layers_run(self._model, self._parts, self._one)
        if len(order) < self._parts.num_layers:
            skipped = sorted(set(range(self._parts.num_layers)) - set(order))
            reason = f"layers {', '.join(map(str, skipped))} do not run on text alone"
            return CheckResult(self._parts.family, float("inf"), False, reason)
        ordinary = run(self._model, self._one, nullcontext())
        changed = run_masked(self._model, self._one, 0) - ordinary
        effect = float(changed.abs().max() / max(1.0, float(ordinary.abs().max())))
        for prompt in (self._one, self._ragged):
            self._compare(prompt, self._cuts, sweeps=self._headed, people=self._headed)
        lengths = declared_lengths(self._parts, _TOKENS)
        shown = [name for name in lengths if self._shows(name, ordinary)]
        for name in shown:  # one at a time: a small window would leave nothing for a small number of keys to choose
            with shrunk(self._parts, name):
                for prompt in prompts(self._model, self._fitting(_SHRUNK)):
                    self._compare(prompt, self._cuts, f" with {name} made small", sweeps=self._headed)
        unseen = {name: length for name, length in lengths.items() if name not in shown}
        tokens = self._long(unseen.values())
        if tokens > _TOKENS:
            self._compare(long_prompt(self._model, tokens), [0], f" of {tokens} tokens", sweeps=False)
        return self._judged(effect, {name: length for name, length in unseen.items() if length >= tokens})

    def _compare(
        self, prompt: Prompt, cuts: list[int], how: str = "", *, sweeps: bool = True, people: bool = False
    ) -> None:
        masked = {cut: run_masked(self._model, prompt, cut) for cut in cuts}
        largest = max(1.0, *(float(logits.abs().max()) for logits in masked.values()))
        found = differences(self._model, self._parts, prompt, masked, sweeps=sweeps)
        for name, difference in chain(found, used(self._model, self._parts, prompt, masked) if people else ()):
            if not difference / largest <= self._worst:  # also true of what is not a number
                self._worst, self._where = difference / largest, name + how

    def _shows(self, name: str, ordinary: torch.Tensor) -> bool:
        """Whether making a declared length small changes what the model computes, which the comparison can then see."""
        try:
            with shrunk(self._parts, name):
                changed = run(self._model, self._one, nullcontext())
        except torch.OutOfMemoryError:
            raise
        except FAILURES:
            return False
        return float((changed - ordinary).abs().max()) > self._rounding * max(1.0, float(ordinary.abs().max()))

    def _long(self, lengths: Iterable[int]) -> int:
        """Tokens of the long prompt."""
        reachable = [length + 2 * _TOKENS for length in lengths if length + 2 * _TOKENS <= _LONGEST]
        return self._fitting(max([_LONG, *reachable]))

    def _fitting(self, tokens: int) -> int:
        """No more tokens than the model has positions for: its config says how many, or a table of positions."""
        tables = [m for m in self._parts.decoder.modules() if isinstance(m, nn.Embedding)]
        words: Any = self._model.get_input_embeddings()  # type: ignore[operator]
        sizes = [table.num_embeddings for table in tables if table is not words]
        # Smaller tables are of token types and the like.
        most = min([self._parts.max_positions or tokens + STEPS, *(size for size in sizes if size > _TOKENS + STEPS)])
        return min(tokens, most - STEPS)

    def _judged(self, effect: float, unreached: dict[str, int]) -> CheckResult:
        worst, found = self._worst, f"largest difference to masking {self._worst:.1e} of the largest logit"
        if not worst <= self._rounding:
            return CheckResult(self._parts.family, worst, False, f"{found}, in {self._where}")
        if not worst <= self._share * effect:
            reason = f"{found}, but hiding tokens changes only {effect:.1e} of it: too little to tell"
            return CheckResult(self._parts.family, worst, False, reason)
        if unreached:
            names = ", ".join(f"{name}={length}" for name, length in unreached.items())
            reason = (
                f"no prompt of the self-check reaches {names}; where attention masks hold that length, say so with "
                f"taskpoint.register_family({self._parts.family!r}, by_mask=...)"
            )
            return CheckResult(self._parts.family, worst, False, reason)
        return CheckResult(self._parts.family, worst, True, found)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else repr(error)
