"""One cut: layers from r on are computed for the present tokens alone.

Above the cut no present token reads the rows of hidden ones, so they need not be computed there. Around each of these
layers the present rows are taken, every argument that has a token axis is narrowed to them, and what comes out is put
back at its places. Between layers all tokens thus stand where they always stand, so that whatever acts there, the
library (images that are added at their tokens) or the user (hooks that steer or probe), finds the token that it means.

Shapes: B batch, T tokens of the prompt, L tokens of one forward call, P present tokens of it, D width, N layers, r cut.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

from taskpoint.engine.calls.arguments import LayerCall, Sight, first_tensor, like_output
from taskpoint.engine.calls.eager import hooked_eagerly
from taskpoint.engine.calls.forward import DecoderCall, around, by_itself, read_decoder_call, under_cut
from taskpoint.engine.calls.memo import Memo
from taskpoint.engine.calls.returned_states import ReturnedStates
from taskpoint.engine.paths.present_cache import CutCacheState, PresentKeys, check_cache, prepare_cache
from taskpoint.engine.plan import CutPlan, Present
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import Anatomy
from taskpoint.models.library import cache_in
from taskpoint.models.others import forward_of_others, hooked_by_others


@contextmanager
def cut_layers(parts: Anatomy, plan: CutPlan) -> Iterator[None]:
    """Computes the layers from the cut on for present tokens alone, for everything the model does inside the block.

    Raises:
        PlanError: the model is already under a cut, the plan does not fit the prompt, or the cache is not supported.
        ModelError: the layers take arguments that are not known.
    """
    with under_cut(parts), _CutLayers(parts, plan).hooks():
        yield


class _CutLayers:
    """What the hooks share: the forward call that runs in each thread, and the caches that were filled."""

    def __init__(self, parts: Anatomy, plan: CutPlan) -> None:
        self._parts, self._plan, self._together = parts, plan, parts.rows_share_bias
        self._here = threading.local()  # several threads may generate inside one block
        self._cache_states: WeakSet[CutCacheState] = WeakSet()
        self._first, self._warned = True, False
        self._placed: dict[int, tuple[nn.Module, type[nn.Module], Any]] = {}  # what stands where, by layer

    @contextmanager
    def hooks(self) -> Iterator[None]:
        parts, first = self._parts, self._plan.after
        with ExitStack() as stack:
            stack.callback(self._close_caches)
            stack.enter_context(hooked_eagerly(parts.decoder, before=self._begin, after=self._end))
            for index in range(first, parts.num_layers):
                layer = parts.layers[index]
                forward = stack.enter_context(around(layer, self._through(index)))
                self._placed[index] = (layer, type(layer), forward)
            yield

    def _close_caches(self) -> None:
        for state in self._cache_states:
            state.open = False

    @property
    def _call(self) -> _Running | None:
        return getattr(self._here, "call", None)

    def _begin(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        check_cache(cache_in(kwargs))  # first: a static cache also comes with a mask of another form
        call = read_decoder_call(decoder, self._parts.config, args, kwargs)
        state = CutCacheState()
        if call.cache is not None:
            state = prepare_cache(call.cache, self._plan.num_layers, self._plan.after)
        past = state.keys.seen
        if past == 0:
            self._plan.check_prompt(call.length, grown=call.cache is None and not self._first)
        present = self._plan.present(past, call.length, call.padding(past), call.batch, self._together)
        hides = self._parts.facts.mask_hides
        self._here.call = _Running(call, state, present, state.keys.after(present, call.length), hides)
        self._cache_states.add(state)
        self._first, state.open = False, True
        return call.args, call.kwargs

    def _end(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        running = self._call
        if running is None or output is None:  # the call failed
            self._close()
            return None
        running.state.keys = running.keys
        self._close()
        passed_by = [index for index in self._placed if index not in running.ran and self._is_replaced(index)]
        if passed_by:
            raise PlanError(
                f"layer {passed_by[0]} was not cut: inside the block it, or its forward, was replaced by one that does "
                "not call it; replace it before the block"
            )
        return running.put_back(output, self._plan.after)

    def _is_replaced(self, index: int) -> bool:
        """Whether something else stands at a layer's place; a layer may also just not have run (early exit)."""
        layer, kind, forward = self._placed[index]
        there = self._parts.layers[index]
        return there is not layer or type(there) is not kind or vars(there).get("forward") is not forward

    def _close(self) -> None:
        if self._call is not None:
            self._call.state.open = False
        self._here.call = None

    def _through(self, index: int) -> Any:
        window, layer = self._parts.index_window(index), self._parts.layers[index]
        replaced = forward_of_others(layer)  # before the cut's own stands there
        kinds = [type(module) for module in layer.modules()]

        def may_count(modules: list[nn.Module]) -> bool:
            """Whether foreign code in the layer may count tokens; what came inside the block was not checked."""
            return replaced or list(map(type, modules)) != kinds or hooked_by_others(modules[1:])

        def through(forward: Callable[..., Any], call: LayerCall) -> Any:
            running = self._call
            if running is None:
                raise by_itself()
            if type(layer) is kinds[0]:
                running.ran.add(index)
            if running.present.every or not may_count(list(layer.modules())):
                return running.packed(forward, call, index, window)
            self._warn(index)
            return running.whole(forward, call, index, window)

        return through

    def _warn(self, index: int) -> None:
        if not self._warned:
            warnings.warn(
                f"hooks inside layer {index}, or a forward put there, may count tokens: such layers are computed for "
                "all tokens, which saves nothing there; hooks on the layer itself cost nothing",
                stacklevel=2,
            )
        self._warned = True


class _Running:
    """One forward call under the cut. Arguments shared by layers are narrowed once, not once a layer."""

    def __init__(
        self, decoder: DecoderCall, state: CutCacheState, present: Present, keys: PresentKeys, mask_hides: bool
    ) -> None:
        self.decoder, self.state, self.present, self.keys = decoder, state, present, keys
        self.ran: set[int] = set()  # the layers that were computed under the cut
        self._mask_hides = mask_hides
        self._narrowed: Memo[dict[str, Any]] = Memo()

    def packed(self, forward: Callable[..., Any], call: LayerCall, index: int, window: int | None) -> Any:
        """The layer for the present tokens alone, and zeros at the places of the others."""
        narrowed = self._narrow(call, window, self._remembered(index))
        output = forward(self.present.take(call.hidden), **call.named | narrowed)
        return like_output(output, self.present.put_back(first_tensor(output), self.decoder.length))  # [B, L, D]

    def whole(self, forward: Callable[..., Any], call: LayerCall, index: int, window: int | None) -> Any:
        """The layer for all tokens, of which hidden ones see themselves alone and are not stored."""
        length, device = self.decoder.length, self.present.index.device
        gone = ~self.present.mask(length)  # [1|B, L]
        every = Present(torch.arange(length, device=device)[None], gone, every=True)
        sight = self._sight(window, self._remembered(index), every, self.state.keys.after(every, length))
        self.state.storing = self.present
        try:
            output = forward(call.hidden, **call.named | sight.narrow(call))
        finally:
            self.state.storing = None
        hidden = first_tensor(output)
        return like_output(output, hidden.masked_fill(gone.to(hidden.device)[:, :, None], 0))

    def _remembered(self, layer: int) -> int:
        """Number of keys that a layer held before the call: all of them, or those that its cache remembers."""
        before, cache = self.state.keys.positions.shape[1], self.decoder.cache
        return before if cache is None else int(cache.layers[layer].remembers(before))

    def _sight(self, window: int | None, before: int, queries: Present, keys: PresentKeys) -> Sight:
        held = before + len(queries)
        return Sight(
            queries,
            keys.positions[:, -held:],
            None if keys.filler is None else keys.filler[:, -held:],
            self.state.keys.seen,
            self.decoder.length,
            window,
            self._mask_hides,
        )

    def _narrow(self, call: LayerCall, window: int | None, before: int) -> dict[str, Any]:
        def narrow() -> dict[str, Any]:
            return self._sight(window, before, self.present, self.keys).narrow(call)

        return self._narrowed.get(call.named.values(), narrow, window, before, *call.named)

    def put_back(self, output: Any, after: int) -> Any:
        returned = ReturnedStates(after, self.present, self.keys.positions, self.decoder.length, self.keys.seen)
        return returned.put_back(output)
