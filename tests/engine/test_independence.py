"""Cuts leave nothing behind and do not meet: memory, threads, Ctrl-C, compiled code, two models at once."""

from __future__ import annotations

import gc
import itertools
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import jaxtyping
import pytest
import torch
import transformers as hf
from families import LAYERS, PROMPTS, TOKENS, Prompt, family, fresh, inputs, randomised, untouched

from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of, with_cache

CONTEXTS = pytest.mark.parametrize("context", [cut_context, mask_context])
RAGGED = PROMPTS["ragged, rows differ"]


@pytest.fixture(autouse=True)
def _shapes_are_not_checked_for_users() -> Iterator[None]:
    """The tests' own type checks remember what they have seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def answer(model: Any, prompt: Prompt, **settings: Any) -> torch.Tensor:
    tokens: torch.Tensor = model.generate(
        prompt.input_ids, **prompt.padding, **{"max_new_tokens": 4, "do_sample": False} | settings
    )
    return tokens


def alive() -> tuple[int, int, int]:
    """Objects, tensors, and bytes of tensors that Python can reach."""
    gc.collect()
    everything = gc.get_objects()
    tensors = [thing for thing in everything if type(thing) in (torch.Tensor, torch.nn.Parameter)]
    return len(everything), len(tensors), sum(t.untyped_storage().nbytes() for t in tensors)


@pytest.mark.parametrize(("context", "cuts"), [(cut_context, 200), (mask_context, 40)])
def test_two_hundred_cuts_in_a_row_leave_no_object_and_no_tensor(context: Any, cuts: int) -> None:
    """In all that a cut may go through: a plain call, `generate`, an error, a backward pass."""
    model, prompt = fresh("llama"), RAGGED

    def use(index: int) -> None:
        with context(model, index % LAYERS, prompt.drop):
            if index % 4 == 0:
                answer(model, prompt, max_new_tokens=2)
            elif index % 4 == 1:
                model(prompt.input_ids, **inputs(model, prompt.mask), labels=prompt.input_ids).loss.backward()
            elif index % 4 == 2:
                with pytest.raises(PlanError):
                    model(prompt.input_ids[:, 1:])
            else:
                model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=True)

    for index in range(8):  # gradients, and whatever is set up once
        use(index)
    counts = [alive()]
    for index in range(cuts):
        use(index)
        if (index + 1) % (cuts // 4) == 0:
            counts.append(alive())
    assert len({count[1:] for count in counts}) == 1, "tensors"
    growth = [after[0] - before[0] for before, after in itertools.pairwise(counts)]
    # Caches of Python and of the library fill now and then; what every cut leaves would grow in every quarter.
    assert min(growth) < cuts // 8, growth


@torch.inference_mode()
def test_a_cut_lets_go_of_a_cache_while_its_block_goes_on() -> None:
    model, prompt = family("llama"), RAGGED
    for context in (cut_context, mask_context):
        with context(model, 2, prompt.drop):
            out = model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=True)
            held = weakref.ref(cache_of(out))
            del out
            gc.collect()
            assert held() is None
            cache = hf.DynamicCache()
            held = weakref.ref(cache)
            with pytest.raises(ZeroDivisionError), hooked(anatomy(model).layers[3], before=lambda *_: 1 // 0):
                model(prompt.input_ids, **inputs(model, prompt.mask), **with_cache(model, cache))
            del cache
            gc.collect()
            assert held() is None, "after a failure: out of memory, say, where less is tried next"


@CONTEXTS
def test_two_models_in_two_threads_do_not_meet(context: Any) -> None:
    models, cuts = (fresh("llama"), fresh("gpt2")), (1, 3)
    prompts = PROMPTS["pieces"], RAGGED
    alone = []
    for model, cut, prompt in zip(models, cuts, prompts, strict=True):
        with context(model, cut, prompt.drop):
            alone.append(answer(model, prompt))
    found: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    start = threading.Barrier(2)

    def work(index: int) -> None:
        start.wait()
        for _ in range(4):
            with context(models[index], cuts[index], prompts[index].drop):
                found[index].append(answer(models[index], prompts[index]))

    in_threads(work)
    for index, expected in enumerate(alone):
        assert len(found[index]) == 4
        assert all(torch.equal(tokens, expected) for tokens in found[index])


@CONTEXTS
def test_two_threads_may_generate_inside_one_block(context: Any) -> None:
    """Their forward calls take turns layer by layer here, so that one would meet the state of the other."""
    model = fresh("llama")
    prompts = [RAGGED, Prompt(RAGGED.input_ids.flip(0), RAGGED.drop, RAGGED.mask)]
    expected = []
    for prompt in prompts:
        with context(model, 2, prompt.drop):
            expected.append(answer(model, prompt))
    turns = threading.Barrier(2)
    found: dict[int, torch.Tensor] = {}

    def wait(*_: Any) -> None:
        turns.wait(timeout=60)

    def work(index: int) -> None:
        found[index] = answer(model, prompts[index])

    layers = anatomy(model).layers
    with context(model, 2, RAGGED.drop), hooked(layers[1], before=wait), hooked(layers[3], before=wait):
        in_threads(work)
    assert all(torch.equal(found[index], tokens) for index, tokens in enumerate(expected))


def in_threads(work: Any) -> None:
    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_cache_of_a_thread_that_failed_is_closed_with_the_block() -> None:
    model, caches = fresh("llama"), []

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def work(index: int) -> None:
        caches.append(hf.DynamicCache())
        with pytest.raises(KeyboardInterrupt):
            model(PROMPTS["pieces"].input_ids, **with_cache(model, caches[-1]))

    with cut_context(model, 2, PROMPTS["pieces"].drop), hooked(anatomy(model).layers[4], before=stop):
        in_threads(work)
    for cache in caches:
        with pytest.raises(PlanError, match="cut that is over"):
            model(PROMPTS["pieces"].input_ids[:, :1], **with_cache(model, cache))


@CONTEXTS
@pytest.mark.parametrize("where", ["layer", "processor", "streamer"])
def test_ctrl_c_anywhere_inside_leaves_the_model_as_it_was(context: Any, where: str) -> None:
    model, prompt = fresh("gpt2"), Prompt(RAGGED.input_ids[:1], RAGGED.drop[:1])
    expected = answer(model, prompt)

    class Stop:
        def __call__(self, *_: Any) -> None:
            raise KeyboardInterrupt

        put = end = __call__

    settings: dict[str, Any] = {"processor": {"logits_processor": [Stop()]}, "streamer": {"streamer": Stop()}}
    hook = hooked(anatomy(model).layers[3], before=Stop()) if where == "layer" else nullcontext()
    with untouched(model), pytest.raises(KeyboardInterrupt), context(model, 2, prompt.drop), hook:
        answer(model, prompt, **settings.get(where, {}))
    assert torch.equal(answer(model, prompt), expected)


def test_a_block_that_catches_ctrl_c_goes_on_where_it_was() -> None:
    model, prompt = fresh("llama"), RAGGED

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    for context in (cut_context, mask_context):
        with context(model, 2, prompt.drop):
            expected = answer(model, prompt)
            with pytest.raises(KeyboardInterrupt), hooked(anatomy(model).layers[3], before=stop):
                answer(model, prompt)
            assert torch.equal(answer(model, prompt), expected)


@CONTEXTS
def test_ctrl_c_while_hooks_are_put_on_or_taken_off_leaves_none_behind(context: Any) -> None:
    """The signal comes at one line of the engine's code after another, a sample of them."""
    model, drop = fresh("gpt2"), RAGGED.drop
    line, lines, late = 1, Lines(), 0
    with untouched(model):
        while lines.ran >= lines.at:  # until there are not so many lines
            came = None
            lines.interrupt_at(line)
            try:
                with context(model, 2, drop):
                    pass
            except KeyboardInterrupt as error:
                came = error  # held, as an interactive Python does, with every frame that it went through
            finally:
                sys.settrace(None)
            assert came is not None or lines.ran < lines.at, f"the interrupt at line {line} was lost"
            late += hooks_left(model)
            came = None
            assert not hooks_left(model), line
            line += 7
    # Between a block and its end Python's own `with` can be interrupted; then hooks go when the exception is let go.
    assert late <= 3
    assert line > 200, "hardly a line was interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def hooks_left(model: Any) -> bool:
    parts = anatomy(model)
    return hasattr(parts.decoder, "taskpoint_cut") or any(layer._forward_pre_hooks for layer in parts.layers)


class Lines:
    """Counts the lines that open or close a block, and sends what Ctrl-C sends when one of them is reached."""

    def __init__(self) -> None:
        self.ran, self.at = 0, 0

    def interrupt_at(self, line: int) -> None:
        self.ran, self.at = 0, line
        sys.settrace(self.trace)

    def trace(self, frame: Any, event: str, _: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in ("taskpoint/engine", "utils/hooks")):
            return None
        if event == "line":
            self.ran += 1
            if self.ran == self.at:
                signal.raise_signal(signal.SIGINT)
        return self.trace


def test_a_real_interrupt_in_the_middle_of_work_leaves_the_model_as_it_was() -> None:
    """Blocks are opened, used and closed in a loop while signals come in from outside."""
    model, prompt = fresh("llama"), RAGGED
    answer(model, prompt)

    def work() -> None:
        while True:
            with cut_context(model, 2, prompt.drop):
                answer(model, prompt, max_new_tokens=2)

    with untouched(model):
        for delay in (0.001, 0.004, 0.007, 0.011, 0.016, 0.023, 0.031, 0.043):
            with pytest.raises(KeyboardInterrupt):
                interrupted(work, delay)


def interrupted(work: Callable[[], None], delay: float) -> None:
    """Sends what Ctrl-C sends until it is noticed: Python swallows one that falls into a finaliser."""
    over = threading.Event()

    def send() -> None:
        wait = delay
        while not over.wait(wait):
            signal.raise_signal(signal.SIGINT)
            wait = 5.0

    alarm = threading.Thread(target=send)
    alarm.start()
    try:
        work()
    finally:
        over.set()
        alarm.join()


def two_layers() -> Any:
    """A model that is quick to compile."""
    config = type(family("llama").config)(**family("llama").config.to_dict() | {"num_hidden_layers": 2})
    torch.manual_seed(0)
    return randomised(hf.LlamaForCausalLM(config))


def test_functions_that_were_compiled_run_under_the_cut_and_are_themselves_again_after_it() -> None:
    """Compiled code sees no hooks: compiled before, it would pass the cut by; inside, it would keep it for ever."""
    model, prompt = two_layers(), PROMPTS["pieces"]

    def logits(function: Any) -> torch.Tensor:
        return function(prompt.input_ids).logits[prompt.kept].detach()

    ordinary = logits(model)
    torch.compiler.reset()
    before, inside = torch.compile(model, backend="eager"), torch.compile(model, backend="eager")
    assert torch.equal(logits(before), ordinary)
    for context in (cut_context, mask_context):
        with context(model, 1, prompt.drop):
            cut = logits(model)
            assert torch.equal(logits(before), cut)
            assert torch.equal(logits(inside), cut)
        assert torch.equal(logits(before), ordinary)
        assert torch.equal(logits(inside), ordinary)
        assert not torch.allclose(cut, ordinary, atol=1e-2)
    torch.compiler.reset()


@pytest.mark.parametrize("part", ["decoder", "function around the model"])
def test_other_compiled_code_runs_under_the_cut_too(part: str) -> None:
    model, prompt = two_layers(), PROMPTS["pieces"]
    torch.compiler.reset()
    parts = {"decoder": model.model, "function around the model": lambda ids: model(ids, labels=ids)}
    traces: list[str] = []

    def backend(graph: Any, _: Any) -> Any:
        traces.extend(str(node.meta.get("stack_trace")) for node in graph.graph.nodes)
        return graph.forward

    compiled = torch.compile(parts[part], backend=backend)

    def result(function: Any) -> torch.Tensor:
        out = function(prompt.input_ids)
        return out.loss.detach() if part != "decoder" else out.last_hidden_state[prompt.kept].detach()

    ordinary = result(compiled)
    for drop in (prompt.drop, prompt.drop.roll(1, 1)):
        with cut_context(model, 1, drop):
            torch.testing.assert_close(result(compiled), result(parts[part]))
            assert not torch.allclose(result(compiled), ordinary, atol=1e-2)
    torch.testing.assert_close(result(compiled), ordinary)
    assert any("modeling_llama" in trace for trace in traces)
    assert not any("taskpoint/engine" in trace for trace in traces), "hooks became part of compiled code"
    torch.compiler.reset()


@pytest.mark.parametrize("how", ["wrapped", "in place", "one layer"])
def test_a_compiled_model_is_refused(how: str) -> None:
    model, drop = fresh("llama"), PROMPTS["pieces"].drop
    if how == "wrapped":
        model = torch.compile(model, backend="eager")
    elif how == "in place":
        model.compile(backend="eager")
    else:
        model.model.layers[3].compile(backend="eager")
    ids = PROMPTS["pieces"].input_ids
    for use in (lambda: cut_context(model, 2, drop).__enter__(), lambda: sweep_logits(model, ids, drop)):
        with pytest.raises(ModelError, match=r"compiled.*pass the model as it was") as caught:
            use()
        assert "\n" not in str(caught.value)


@CONTEXTS
def test_a_layer_that_runs_outside_of_its_model_is_refused(context: Any) -> None:
    model = family("llama")
    with context(model, 2, RAGGED.drop), pytest.raises(PlanError, match="ran by itself"):
        anatomy(model).layers[3](torch.zeros(3, TOKENS, 32))
