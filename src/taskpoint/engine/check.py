"""The self-check: does cutting equal masking on this model?

Both paths run on a prompt of 12 tokens with holes, alone and in a ragged batch, at a few cuts: a prefill, then decoding
steps on a cache, and the same for the sweeps. The prompt is too short to meet a window of more than 12 tokens; windows
that the library applies by mask need no check, those that attention counts by cache index are listed in
`taskpoint.models.anatomy`.

Shapes: B batch, T tokens, S decoding steps, C cuts (N + 1), N layers, r cut.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from taskpoint.engine.forward import inputs_for
from taskpoint.engine.plan import CutPlan
from taskpoint.engine.reference import mask_context
from taskpoint.engine.removal import removal
from taskpoint.engine.riding import ride
from taskpoint.engine.stepping import Stepping, can_step
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import Anatomy, anatomy

# Families that tests/engine compares, in every way a cut can be used; they pay nothing here.
COVERED_FAMILIES = frozenset(
    {"bloom", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "llama", "mistral", "opt", "qwen3", "starcoder2"}
)

_TOKENS, _STEPS = 12, 3

# What a layer of an unknown family may raise when it gets fewer tokens than it counts on.
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError)

# The one thing the engine remembers between calls: what was found for a model object, for as long as that object lives.
# It is kept beside the model, because the model must stay bit for bit as it is.
_VERDICTS: WeakKeyDictionary[nn.Module, CheckResult] = WeakKeyDictionary()


@dataclass(frozen=True)
class CheckResult:
    """What the self-check found.

    Attributes:
        family: the model type.
        largest_difference: between the logits of the two paths, as a share of the largest logit; infinite where the
            fast path could not run.
        exact: the difference is no more than rounding.
        reason: what was compared, or where it differs.
    """

    family: str
    largest_difference: float
    exact: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.family}: {'can be cut exactly' if self.exact else 'cannot be cut exactly'}, {self.reason}"


def check(model: nn.Module) -> CheckResult:
    """Compares cutting with masking on a short prompt.

    Args:
        model: any transformers decoder with a language-model head.

    Returns:
        The verdict; `exact` is up to 1e-4 of the largest logit in float32, 8 roundings in half precision.

    Raises:
        ModelError: the model can be neither cut nor masked.
        PlanError: the model is under a cut.
    """
    parts = anatomy(model)
    cuts = sorted({0, parts.num_layers // 2, parts.num_layers - 1})
    worst, where = 0.0, ""
    with torch.no_grad(), _evaluating(model):
        for prompt in _prompts(model):
            masked = {cut: _masked(model, prompt, cut) for cut in cuts}
            largest = max(1.0, *(float(logits.abs().max()) for logits in masked.values()))
            try:
                for name, cut, difference in _differences(model, parts, prompt, masked):
                    if not difference / largest <= worst:  # also true of what is not a number
                        worst, where = difference / largest, f"{name} at cut {cut}"
            except ModelError as error:
                return CheckResult(parts.family, float("inf"), False, str(error))
            except torch.OutOfMemoryError:
                raise
            except _FAILURES as error:
                return CheckResult(parts.family, float("inf"), False, f"a layer failed on fewer tokens: {_line(error)}")
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    exact = worst <= max(1e-4, 8 * torch.finfo(dtype).eps)
    reason = f"largest difference to masking {worst:.1e} of the largest logit{'' if exact else f', in {where}'}"
    return CheckResult(parts.family, worst, exact, reason)


def exact(model: nn.Module) -> bool:
    """Whether this model can be cut exactly; families that the tests do not cover are checked once per model object.

    Where they cannot, a warning says so and that nothing will be saved.
    """
    parts = anatomy(model)
    # Code from elsewhere may borrow the name of a family.
    if parts.family in COVERED_FAMILIES and type(parts.decoder).__module__.startswith("transformers."):
        return True
    if model not in _VERDICTS:
        _VERDICTS[model] = verdict = check(model)
        if not verdict.exact:
            warnings.warn(f"{verdict}; masks are used instead, so nothing is saved", stacklevel=3)
    return _VERDICTS[model].exact


@dataclass(frozen=True, eq=False)
class _Prompt:
    input_ids: Tensor  # [B, T]
    drop: Tensor  # [B, T]
    mask: Tensor | None  # [B, T]
    answer: Tensor  # [B, S], what is read in decoding, whatever the model would write

    @property
    def kept(self) -> Tensor:
        return ~self.drop if self.mask is None else ~self.drop & self.mask.bool()  # [B, T]


def _prompts(model: nn.Module) -> tuple[_Prompt, _Prompt]:
    embedding: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    weight: Tensor = embedding.weight  # type: ignore[assignment]
    random = torch.Generator().manual_seed(0)  # its own, so that the caller's random numbers stay what they were
    ids = torch.randint(weight.shape[0], (3, _TOKENS + _STEPS), generator=random).to(weight.device)
    places = torch.arange(_TOKENS, device=weight.device)
    hole = (places > 0) & (places < 5) | (places == 7)
    drop = torch.stack([hole, (places > 3) & (places < 6)])
    mask = torch.stack([torch.ones_like(places), (places > 2).long()])
    one = _Prompt(ids[:1, :_TOKENS], hole[None], None, ids[:1, _TOKENS:])
    return one, _Prompt(ids[1:, :_TOKENS], drop, mask, ids[1:, _TOKENS:])


def _run(model: nn.Module, prompt: _Prompt, context: AbstractContextManager[Any]) -> Tensor:
    """Logits of the kept prompt tokens, one after the other, then of every decoding step: [kept + B * S, vocab]."""
    with context:
        output = model(prompt.input_ids, **inputs_for(model, prompt.mask) | {"use_cache": True})
        logits = [output.logits[prompt.kept]]
        for step in range(_STEPS):
            seen = None if prompt.mask is None else torch.nn.functional.pad(prompt.mask, (0, step + 1), value=1)
            named = inputs_for(model, seen) | {"past_key_values": output.past_key_values, "use_cache": True}
            if "position_ids" in named:
                named["position_ids"] = named["position_ids"][:, -1:]
            output = model(prompt.answer[:, step : step + 1], **named)
            logits.append(output.logits[:, -1])
    return torch.cat(logits).float()


def _masked(model: nn.Module, prompt: _Prompt, cut: int) -> Tensor:
    try:
        return _run(model, prompt, mask_context(model, cut, prompt.drop))
    except torch.OutOfMemoryError:
        raise
    except _FAILURES as error:
        family = anatomy(model).family
        raise ModelError(f"models of type {family!r} can be neither cut nor masked: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else repr(error)


def _differences(
    model: nn.Module, parts: Anatomy, prompt: _Prompt, masked: dict[int, Tensor]
) -> Iterator[tuple[str, int, float]]:
    """What was compared, at which cut, and the largest difference."""
    rows = prompt.input_ids.shape[0]
    for cut, reference in masked.items():
        taken_out = _run(model, prompt, removal(parts, CutPlan(parts.num_layers, cut, prompt.drop)))
        difference = (taken_out - reference).abs().amax(-1)  # [kept + B * S]
        yield "prefill", cut, float(difference[: -rows * _STEPS].max())
        yield "decoding", cut, float(difference[-rows * _STEPS :].max())
    # The last kept token of every prompt row is its last token.
    last = torch.tensor([int(prompt.kept[: row + 1].sum()) - 1 for row in range(rows)])
    swept = ride(model, parts, prompt.input_ids, prompt.drop, prompt.mask, last=1)[:, :, 0].float()  # [B, C, vocab]
    for cut, reference in masked.items():
        yield "a sweep", cut, float((swept[:, cut] - reference[last.to(reference.device)]).abs().max())
    if not can_step(model, parts, _TOKENS + _STEPS * (parts.num_layers + 1)):
        return
    stepping = Stepping(model, parts, prompt.input_ids, prompt.drop, prompt.mask, skip=False)
    stepping.prefill()
    for step in range(_STEPS):
        tokens = prompt.answer[:, step, None].expand(-1, parts.num_layers + 1)  # [B, C]
        swept = stepping.step(tokens, step).float()
        for cut, reference in masked.items():
            decoded = reference[-rows * _STEPS :][step * rows : (step + 1) * rows]  # [B, vocab]
            yield "a decoded sweep", cut, float((swept[:, cut] - decoded).abs().max())


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off, as a comparison needs it; every module's flag is put back."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training
