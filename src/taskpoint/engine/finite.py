"""Where a model's numbers end: the layer that first gives NaN or infinity, and what mends it.

Such a model answers all the same: greedy decoding takes some token, a score is computed of it, and nothing looks odd.

Shapes: B rows, T tokens, N layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.forward import hooked
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import inputs_for

# Tokens of the prompt that is read where the caller has none.
_TOKENS = 16

# The precisions whose numbers can be looked at, and what to load instead of those that hold less.
_MENDS = {
    torch.float16: "float16 holds no number above 65504: load the model with dtype 'bfloat16' or 'float32'",
    torch.bfloat16: "load the model with dtype 'float32'",
    torch.float32: "none of its weights does, so they are too large even for float32: load other weights",
    torch.float64: "none of its weights does, so they are too large even for float64: load other weights",
}


def check_finite(
    model: nn.Module, input_ids: Int[Tensor, "B T"] | None = None, attention_mask: Int[Tensor, "B T"] | None = None
) -> None:
    """Reads prompts once, without a cut, and looks at what every layer gives.

    Args:
        model: any transformers decoder.
        input_ids: the prompts, left-padded; None takes a few tokens at random.
        attention_mask: 1 for tokens, 0 for padding, where any number may stand; None when there is none.

    Raises:
        ModelError: a number is NaN or infinite; the message names the layer that first gave one, and the weight or the
            precision that causes it. A logit of minus infinity is a token that the model never writes; all of them
            are a fault.
    """
    if input_ids is None:
        input_ids = _random_ids(model)
    looked = _Looking(attention_mask)
    parts = anatomy(model)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(hooked(parts.layers[0], before=looked.before("the embeddings")))
        for index, layer in enumerate(parts.layers):
            stack.enter_context(hooked(layer, after=looked.after(f"layer {index} (of 0 to {parts.num_layers - 1})")))
        stack.enter_context(hooked(parts.decoder, after=looked.after("the final norm")))
        logits: Tensor = model(input_ids, **inputs_for(model, attention_mask, last=1)).logits
    if looked.found is None and not finite_logits(logits[:, -1]):
        looked.found = "the head", _kind(logits[:, -1])
    if looked.found is not None:
        place, kind = looked.found
        raise ModelError(f"{type(model).__name__} computes {kind}, first in {place}; {_mend(model)}")


def finite_logits(logits: Float[Tensor, "*B V"]) -> bool:
    """Whether logits can be chosen from: no NaN, no plus infinity, and something above minus infinity in every row."""
    return bool(logits.amax(-1).isfinite().all())  # the largest of numbers with NaN among them is NaN


@contextmanager
def watching(model: nn.Module, explain: Callable[[], None]) -> Iterator[None]:
    """Stops the model, by a ModelError, at the first call within the block whose last logits cannot be chosen from.

    `explain` raises what a user is told, by `check_finite` on the prompts; it finds nothing where only what was written
    after them gives NaN.
    """

    def look(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not finite_logits(output.logits[:, -1]):
            raise _NotFiniteError

    try:
        with hooked(model, after=look):
            yield
    except _NotFiniteError:
        explain()
        raise nowhere(model, "while it writes an answer") from None


def nowhere(model: nn.Module, when: str) -> ModelError:
    """The error for numbers that an ordinary pass over the same prompts does not give; `when` says when they came."""
    return ModelError(f"{type(model).__name__} computes NaN or infinity {when}; {_mend(model)}")


class _NotFiniteError(Exception):
    """Logits that cannot be chosen from."""


class _Looking:
    """Hooks that note where a number is first NaN or infinite: the place, and what it gave."""

    def __init__(self, attention_mask: Tensor | None) -> None:
        self._mask = attention_mask
        self.found: tuple[str, str] | None = None

    def before(self, place: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._look(place, args[0] if args else kwargs.get("hidden_states"))

        return hook

    def after(self, place: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else getattr(output, "last_hidden_state", output)
            self._look(place, hidden)

        return hook

    def _look(self, place: str, hidden: Any) -> None:
        if self.found is not None or not isinstance(hidden, Tensor):
            return
        if not bool(hidden.isfinite().all()):
            mask = self._mask
            if mask is not None and hidden.shape[:2] == mask.shape:
                hidden = hidden[mask.to(hidden.device).bool()]  # [present tokens, ...]
            if not bool(hidden.isfinite().all()):
                self.found = place, _kind(hidden)


def _kind(numbers: Tensor) -> str:
    return "NaN" if bool(numbers.isnan().any()) else "infinity"


def _mend(model: nn.Module) -> str:
    """What to do about the weight that causes it, or else about the precision."""
    dtype = next((weight.dtype for weight in model.parameters() if weight.dtype in _MENDS), torch.float32)
    for name, weight in model.named_parameters():
        if weight.is_meta or weight.dtype not in _MENDS or bool(weight.isfinite().all()):
            continue
        kind = _kind(weight.detach())
        holds = f"its weight {name!r} holds {kind}"
        # A number of the file that is too large becomes infinity in float16; NaN was NaN before.
        if kind == "infinity" and dtype == torch.float16:
            return f"{holds}: {_MENDS[dtype]}"
        return f"{holds}: load sound weights"
    return _MENDS[dtype]


def _random_ids(model: nn.Module) -> Int[Tensor, "1 T"]:
    embedding: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    weight: Tensor = embedding.weight  # type: ignore[assignment]
    random = torch.Generator().manual_seed(0)  # its own, so that the caller's random numbers stay what they were
    ids = torch.randint(weight.shape[0], (1, _TOKENS), generator=random)
    return ids if weight.is_meta else ids.to(weight.device)
