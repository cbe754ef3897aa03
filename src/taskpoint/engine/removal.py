"""The hooks of one cut: hidden tokens leave at layer r, and every layer above it gets narrowed arguments.

Nobody above the cut reads the rows of hidden tokens, so they need not exist there (design, section 6). Hooks on the
decoder layers take the present rows at layer r, narrow every argument that has a token axis in the layers from r on,
and put zeros back at the hidden places after the last layer.

Shapes: B batch, T tokens of the prompt, L tokens of one forward call, P present tokens of it, D width, N layers, r cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

from torch import nn

from taskpoint.engine.arguments import LayerCall, Sight, first_tensor, like_output, read_call
from taskpoint.engine.cache import Book, Ledger, book_of, check_cache
from taskpoint.engine.eager import hooked_eagerly
from taskpoint.engine.forward import DecoderCall, by_itself, hooked, read_decoder_call, under_cut
from taskpoint.engine.plan import CutPlan, Present
from taskpoint.engine.states import States
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
    """What the hooks share: the forward call that runs in each thread, and the books that were opened."""

    def __init__(self, parts: Anatomy, plan: CutPlan) -> None:
        self._parts, self._plan, self._together = parts, plan, parts.rows_share_bias
        self._here = threading.local()  # several threads may generate inside one block
        self._books: WeakSet[Book] = WeakSet()
        self._first = True

    @contextmanager
    def hooks(self) -> Iterator[None]:
        parts, first = self._parts, self._plan.after
        with ExitStack() as stack:
            stack.callback(self._close_books)
            stack.enter_context(hooked_eagerly(parts.decoder, before=self._begin, after=self._end))
            for index in range(first, parts.num_layers):
                last = index == parts.num_layers - 1
                stack.enter_context(
                    hooked(parts.layers[index], before=self._narrow(index), after=self._restore if last else None)
                )
            yield

    def _close_books(self) -> None:
        for book in self._books:
            book.open = False

    @property
    def _call(self) -> _Running | None:
        return getattr(self._here, "call", None)

    def _begin(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        check_cache(kwargs.get("past_key_values"))  # first: a static cache also comes with a mask of another form
        call = read_decoder_call(decoder, self._parts.config, args, kwargs)
        book = book_of(call.cache, self._plan.num_layers, self._plan.after) if call.cache is not None else Book()
        past = book.ledger.length
        if past == 0:
            self._plan.check_prompt(call.length, grown=call.cache is None and not self._first)
        present = self._plan.present(past, call.length, call.padding(past), call.batch, self._together)
        hides = self._parts.facts.mask_hides
        self._here.call = _Running(call, book, present, book.ledger.after(present, call.length), hides)
        self._books.add(book)
        self._first, book.open = False, True
        return call.args, call.kwargs

    def _end(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        running = self._call
        if running is None or output is None:  # the call failed
            self._close()
            return None
        running.book.ledger = running.ledger
        self._close()
        return running.put_back(output, self._plan.after)

    def _close(self) -> None:
        if self._call is not None:
            self._call.book.open = False
        self._here.call = None

    def _narrow(self, index: int) -> Any:
        window = self._parts.index_window(index)

        def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            running = self._call
            if running is None:
                raise by_itself()
            call = read_call(layer, args, kwargs)
            hidden = running.present.take(call.hidden) if index == self._plan.after else call.hidden  # [B, P, D]
            return (hidden,), call.named | running.narrow(call, window, running.held(index))

        return before

    def _restore(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        running = self._call
        if running is None:
            return None
        # Some families reshape the last hidden state to the input's length, and `generate` reads its last place.
        full = running.present.put_back(first_tensor(output), running.decoder.length)  # [B, L, D]
        return like_output(output, full)


class _Running:
    """One forward call under the cut. Arguments shared by layers are narrowed once, not once a layer."""

    def __init__(self, decoder: DecoderCall, book: Book, present: Present, ledger: Ledger, mask_hides: bool) -> None:
        self.decoder, self.book, self.present, self.ledger = decoder, book, present, ledger
        self._mask_hides = mask_hides
        self._narrowed: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, Any]]] = {}

    def held(self, layer: int) -> int:
        """Number of keys that a layer holds when it attends: all of them, or those that its cache remembers."""
        before, cache = self.ledger.keys.shape[1] - len(self.present), self.decoder.cache
        return len(self.present) + (before if cache is None else cache.layers[layer].remembers(before))

    def narrow(self, call: LayerCall, window: int | None, held: int) -> dict[str, Any]:
        key = (window, held, *call.named, *map(id, call.named.values()))
        if key not in self._narrowed:
            sight = Sight(
                self.present,
                self.ledger.keys[:, -held:],
                None if self.ledger.filler is None else self.ledger.filler[:, -held:],
                self.book.ledger.length,
                self.decoder.length,
                window,
                self._mask_hides,
            )
            # The arguments are kept beside the result: an id is only unique as long as its object lives.
            self._narrowed[key] = (call.named, sight.narrow(call))
        return self._narrowed[key][1]

    def put_back(self, output: Any, after: int) -> Any:
        return States(after, self.present, self.ledger.keys, self.decoder.length, self.ledger.length).put_back(output)
