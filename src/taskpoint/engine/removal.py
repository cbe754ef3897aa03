"""The hooks of one cut: hidden tokens leave at layer r, and every layer above it gets narrowed arguments.

Nobody above the cut reads the rows of hidden tokens, so they need not exist there (design, section 6). Hooks on the
decoder layers take the present rows at layer r, narrow every argument that has a token axis in the layers from r on,
and put zeros back at the hidden places after the last layer.

Shapes: B batch, T tokens of the prompt, L tokens of one forward call, P present tokens of it, D width, N layers, r cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from taskpoint.engine.arguments import LayerCall, Sight, first_tensor, like_output, read_call
from taskpoint.engine.cache import Book, Ledger, book_of
from taskpoint.engine.forward import DecoderCall, hooked, read_decoder_call, under_cut
from taskpoint.engine.plan import CutPlan, Present
from taskpoint.models.anatomy import Anatomy


@contextmanager
def removal(parts: Anatomy, plan: CutPlan) -> Iterator[None]:
    """Takes the hidden tokens out of the layers from the cut on, for everything the model does inside the block.

    Raises:
        PlanError: the model is already under a cut, the plan does not fit the prompt, or the cache is not supported.
        ModelError: the layers take arguments that are not known.
    """
    with under_cut(parts), _Removal(parts, plan).hooks():
        yield


class _Removal:
    """What the hooks share: the forward call that runs, and the books that it opened."""

    def __init__(self, parts: Anatomy, plan: CutPlan) -> None:
        self._parts, self._plan = parts, plan
        self._call: _Running | None = None
        self._first = True

    @contextmanager
    def hooks(self) -> Iterator[None]:
        parts, first = self._parts, self._plan.after
        with ExitStack() as stack:
            stack.callback(self._close)
            stack.enter_context(hooked(parts.decoder, before=self._begin, after=self._end))
            for index in range(first, parts.num_layers):
                last = index == parts.num_layers - 1
                stack.enter_context(
                    hooked(parts.layers[index], before=self._narrow(index), after=self._restore if last else None)
                )
            yield

    def _begin(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self._close()  # after an exception in the call before
        call = read_decoder_call(decoder, self._parts.config, args, kwargs)
        book = book_of(call.cache, self._plan.num_layers, self._plan.after) if call.cache is not None else Book()
        past = book.ledger.length
        if past == 0:
            self._plan.check_prompt(call.length, grown=call.cache is None and not self._first)
        present = self._plan.present(past, call.length, call.padding(past), call.batch)
        self._call = _Running(call, book, present, book.ledger.after(present, call.length))
        self._first, book.open = False, True
        return call.args, call.kwargs

    def _end(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self._call is not None:
            self._call.book.ledger = self._call.ledger
        self._close()

    def _close(self) -> None:
        if self._call is not None:
            self._call.book.open = False
        self._call = None

    def _narrow(self, index: int) -> Any:
        window = self._parts.index_window(index)

        def before(
            layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[Any, dict[str, Any]] | None:
            running = self._call
            if running is None:  # the layer is called by itself, outside the model's forward
                return None
            call = read_call(layer, args, kwargs)
            hidden = running.present.take(call.hidden) if index == self._plan.after else call.hidden  # [B, P, D]
            return (hidden,), call.named | running.narrow(call, window)

        return before

    def _restore(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        if self._call is None:
            return None
        # Some families reshape the last hidden state to the input's length, and `generate` reads its last place.
        full = self._call.present.put_back(first_tensor(output), self._call.decoder.length)  # [B, L, D]
        return like_output(output, full)


class _Running:
    """One forward call under the cut. Arguments shared by layers are narrowed once, not once a layer."""

    def __init__(self, decoder: DecoderCall, book: Book, present: Present, ledger: Ledger) -> None:
        self.decoder, self.book, self.present, self.ledger = decoder, book, present, ledger
        self._narrowed: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, Any]]] = {}

    def narrow(self, call: LayerCall, window: int | None) -> dict[str, Any]:
        key = (window, *((name, id(value)) for name, value in call.named.items()))
        if key not in self._narrowed:
            sight = Sight(
                self.present, self.ledger.keys, self.ledger.filler, self.book.ledger.length, self.decoder.length, window
            )
            # The arguments are kept beside the result: an id is only unique as long as its object lives.
            self._narrowed[key] = (call.named, sight.narrow(call))
        return self._narrowed[key][1]
