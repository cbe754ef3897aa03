"""Some of a model's layers alone: from hidden states that were kept, or up to those that are to be kept.

The model's own forward runs. Layers below the first hand on what they are given, the first takes what was kept instead,
and layers from the end on hand on again. So embeddings, masks, positions, norm and head are those of the family,
whichever it is; only the embeddings are computed for nothing.

Shapes: B rows, T tokens, D width of the residual stream, V vocabulary, N layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from taskpoint.engine.calls.arguments import LayerCall
from taskpoint.engine.calls.forward import around, check_free, hooked
from taskpoint.engine.calls.pristine import pristine
from taskpoint.engine.calls.uninterrupted import uninterrupted
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import inputs_for, read_out
from taskpoint.settings import whole


class SomeLayers:
    """Runs some layers of one model, on prompts that are padded on the right: no token sees what comes after it."""

    def __init__(self, model: nn.Module) -> None:
        """Runs two tokens, to see in which form each layer gives its output.

        Raises:
            ModelError: the layers are not found.
        """
        self._model, self._parts = model, anatomy(model)
        self.num_layers = self._parts.num_layers
        self._forms = self._seen_forms()

    def states(
        self, input_ids: Int[Tensor, "B T"], end: int, first: int = 0, hidden: Float[Tensor, "_ _ D"] | None = None
    ) -> Float[Tensor, "B T D"]:
        """What enters layer `end`, computed without gradients by the layers from `first` to before it.

        Args:
            input_ids: the prompts, padded on the right.
            end: 0 ... N-1.
            first: the layer that `hidden` enters.
            hidden: None begins with the embeddings.

        Raises:
            PlanError: hidden states without a layer below that they come from, or the model is under a cut.
            SettingError: layers that are not there.
        """
        whole("end", end, 0, self.num_layers - 1)
        whole("first", first, 0, end)
        found: list[Tensor] = []
        with torch.no_grad(), self._only(first, end, hidden, found):
            self._parts.decoder(input_ids, use_cache=False)
        return found[0]

    def logits(
        self,
        input_ids: Int[Tensor, "B T"],
        first: int = 0,
        hidden: Float[Tensor, "_ _ D"] | None = None,
        last: int | None = None,
    ) -> Float[Tensor, "B last V"]:
        """The model's logits where `hidden` enters layer `first`; errors as `states`.

        Args:
            input_ids: the prompts, padded on the right.
            first: the layer that `hidden` enters.
            hidden: None begins with the embeddings.
            last: number of positions, from the end, whose logits are wanted; None for all.
        """
        whole("first", first, 0, self.num_layers - 1)
        with self._only(first, self.num_layers, hidden, []):
            logits = read_out(self._model(input_ids, **inputs_for(self._model, None, last)))
        return logits if last is None else logits[:, -last:]  # not every family can leave the others out

    @contextmanager
    def _only(self, first: int, end: int, hidden: Tensor | None, found: list[Tensor]) -> Iterator[None]:
        if (hidden is None) != (first == 0):
            raise PlanError(f"hidden states enter layer {first}; expected some for every first layer above 0 alone")
        check_free(self._parts)

        def entering(inner: Callable[..., Any], call: LayerCall) -> Any:
            kept: Any = hidden
            if kept.shape[:2] != call.hidden.shape[:2]:
                raise PlanError(
                    f"hidden states of shape {list(kept.shape)} enter layer {first}; expected "
                    f"{list(call.hidden.shape)}, one for each token"
                )
            return inner(kept.to(call.hidden), **call.named)

        contexts: list[AbstractContextManager[Any]] = []
        for index, layer in enumerate(self._parts.layers):
            if index < first or index >= end:
                contexts.append(around(layer, self._handing_on(index, found if index == end else None)))
            elif index == first and hidden is not None:
                contexts.append(around(layer, entering))
        if first == end and hidden is not None:
            found.append(hidden)
        with uninterrupted(*contexts):
            yield

    def _handing_on(self, index: int, found: list[Tensor] | None) -> Callable[..., Any]:
        rest = self._forms[index]

        def run(inner: Callable[..., Any], call: LayerCall) -> Any:
            if found is not None:
                found.append(call.hidden)
            return call.hidden if rest is None else (call.hidden, *[None] * rest)

        return run

    def _seen_forms(self) -> list[int | None]:
        """By layer: None where it gives hidden states alone, else the number of things beside them."""
        forms: list[int | None] = [None] * self.num_layers

        def noting(index: int) -> Callable[..., None]:
            def note(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
                forms[index] = len(output) - 1 if isinstance(output, tuple) else None

            return note

        with ExitStack() as stack:
            stack.enter_context(pristine(self._model))
            for index, layer in enumerate(self._parts.layers):
                stack.enter_context(hooked(layer, after=noting(index)))
            with torch.inference_mode():
                device = next(self._parts.decoder.parameters()).device
                self._parts.decoder(torch.zeros(1, 2, dtype=torch.long, device=device), use_cache=False)
        return forms
