"""Hooks of a user, steering and probing: under a cut they find every token where it stands, as they do under masks.

Run with `-s` to see the largest differences. Shapes: B prompts, T tokens, L tokens of one call, H heads, K keys.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from families import (
    CONFIGS,
    CUTS,
    FAMILIES,
    FEW_LAYERS,
    LAYERS,
    PROMPTS,
    TOKENS,
    TOLERANCE,
    Prompt,
    family,
    fresh,
    inputs,
    untouched,
)
from first_logits import prefix_logits
from hooking import ON_LAYERS, WITHIN, adding, everywhere, hooks, last, on, part
from pictures import DEEPSTACK, is_picture, pictures, seeing
from torch import Tensor, nn

from taskpoint.engine.compiled import compile_context, prefix_generate
from taskpoint.engine.context import read_context
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits, sweep_logits
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of, with_cache

# In "pieces", whose holes are 2-7, 10 and 13-14: the first token, one before a hole, one after it, the last.
PLACES = (0, 1, 8 - TOKENS, -1)
HOLES = ("pieces", "ragged, rows differ")
STEPS, NEW = 2, 4

pytestmark = pytest.mark.filterwarnings("ignore:hooks inside layer", "ignore:the model is hooked")


def run(model: Any, prompt: Prompt) -> tuple[Tensor, Tensor]:
    """Logits of the kept tokens and of greedy steps on the cache [kept + B * S, vocab]; and the tokens written."""
    out = model(prompt.input_ids, **inputs(model, prompt.mask), use_cache=True)
    logits, written = [out.logits[prompt.kept]], [out.logits[:, -1].argmax(-1)]
    for step in range(STEPS):
        seen = None if prompt.mask is None else torch.nn.functional.pad(prompt.mask, (0, step + 1), value=1)
        named = inputs(model, seen, 1) | with_cache(model, cache_of(out)) | {"use_cache": True}
        out = model(written[-1][:, None], **named)
        logits.append(out.logits[:, -1])
        written.append(out.logits[:, -1].argmax(-1))
    return torch.cat(logits), torch.stack(written, dim=1)


def far(model: Any, prompt: Prompt, cuts: Iterable[int]) -> float:
    """The largest difference between cutting and masking, at every cut; hooks are on the model."""
    worst = 0.0
    for cut in cuts:
        with mask_context(model, cut, prompt.drop):
            masked, tokens = run(model, prompt)
        with cut_context(model, cut, prompt.drop):
            gone, written = run(model, prompt)
        assert gone.isfinite().all()
        assert torch.equal(tokens, written), cut
        worst = max(worst, float((gone - masked).abs().max()))
    return worst


@pytest.mark.parametrize("where", ON_LAYERS + WITHIN)
@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_vectors_added_at_four_places_do_what_they_do_under_masks(name: str, where: str) -> None:
    """On layers below, at and above the cut, and on their parts."""
    model = family(name)
    for hole in HOLES if where in ON_LAYERS else HOLES[1:]:
        prompt = PROMPTS[hole]
        ordinary = model(prompt.input_ids, **inputs(model, prompt.mask)).logits[prompt.kept]
        with hooks(on(model, where, adding(PLACES, TOKENS))):
            steered = model(prompt.input_ids, **inputs(model, prompt.mask)).logits[prompt.kept]
            assert (steered - ordinary).abs().max() > 0.1
            worst = far(model, prompt, CUTS[:-1] if where in ON_LAYERS else (0, 2, LAYERS - 1))
        print(f"{name}, {where}, {hole}: {worst:.1e}")
        assert worst <= TOLERANCE


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_every_family_is_steered_alike(name: str) -> None:
    model = family(name, None, FEW_LAYERS)
    for where in (ON_LAYERS[0], "attention"):
        with hooks(on(model, where, adding(PLACES, TOKENS))):
            worst = far(model, PROMPTS["ragged, rows differ"], (0, 2))
        print(f"{name}, {where}: {worst:.1e}")
        assert worst <= TOLERANCE


@pytest.mark.parametrize("where", [ON_LAYERS[1], "MLP"])
@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_steering_of_every_call_goes_on_while_answers_are_written(name: str, where: str) -> None:
    """On a cache, in a second turn on it, without a cache, and with beams."""
    model, prompt, cut = family(name), PROMPTS["ragged, rows differ"], 2
    for edit, options in ((everywhere, {"use_cache": False}), (last, {"num_beams": 2})):
        with hooks(on(model, where, edit)):
            assert far(model, prompt, (cut,)) <= TOLERANCE
            with mask_context(model, cut, prompt.drop):
                expected, masked = answers(model, prompt, **options), second_turn(model, prompt)
            with cut_context(model, cut, prompt.drop):
                assert torch.equal(answers(model, prompt, **options), expected)
                assert (second_turn(model, prompt) - masked).abs().max() <= TOLERANCE


def answers(model: Any, prompt: Prompt, **options: Any) -> Tensor:
    """The tokens that `generate` adds. [B, new]"""
    written: Tensor = model.generate(prompt.input_ids, **prompt.padding, max_new_tokens=NEW, do_sample=False, **options)
    return written[:, TOKENS:]


def second_turn(model: Any, prompt: Prompt) -> Tensor:
    """Logits of five tokens at once, on the cache that the prompt filled. [B, 5, vocab]"""
    mask = torch.ones_like(prompt.input_ids) if prompt.mask is None else prompt.mask
    cache = cache_of(model(prompt.input_ids, **inputs(model, mask), use_cache=True))
    mask = torch.nn.functional.pad(mask, (0, 5), value=1)
    more = torch.arange(15).view(3, 5) + 7
    logits: Tensor = model(more, **inputs(model, mask, 5), **with_cache(model, cache), use_cache=True).logits
    return logits


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_probes_see_what_they_see_under_masks(name: str) -> None:
    """On layers, on parts of them, and in the states and attentions that the model gives back beside them."""
    model, prompt = family(name, "eager"), PROMPTS["ragged, rows differ"]

    def seen(context: AbstractContextManager[Any]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        noted: list[Tensor] = []

        def note(hidden: Tensor) -> Tensor:
            noted.append(hidden)
            return hidden

        with context, hooks([*on(model, ON_LAYERS[0], note), *on(model, "attention", note, layers=[1, 3])]):
            asked = {"output_hidden_states": True, "output_attentions": True}
            out = model(prompt.input_ids, **inputs(model, prompt.mask), **asked)
        return noted, list(out.hidden_states), [weights.transpose(1, 2) for weights in out.attentions]  # [B, L, H, K]

    for cut in (0, 2, LAYERS - 1):
        gone, masked = (seen(context(model, cut, prompt.drop)) for context in (cut_context, mask_context))
        assert list(map(len, gone)) == list(map(len, masked)) == [LAYERS + 2, LAYERS + 1, LAYERS]
        for mine, theirs in zip(itertools.chain(*gone), itertools.chain(*masked), strict=True):
            assert mine.shape == theirs.shape
            assert (mine - theirs)[prompt.kept].abs().max() <= TOLERANCE
        _, states, attentions = gone
        for above in (*states[cut + 1 : LAYERS], *attentions[cut:]):
            assert not above[~prompt.kept].any()


@pytest.mark.parametrize("where", [ON_LAYERS[0], "attention"])
@pytest.mark.parametrize("name", ["llama", "gpt_neo", "mpt"])
@torch.inference_mode()
def test_sweeps_of_a_hooked_model_are_its_single_runs(name: str, where: str) -> None:
    model, prompt = family(name), PROMPTS["ragged, rows differ"]
    given = (prompt.input_ids, prompt.drop, prompt.mask)
    with hooks(on(model, where, adding(PLACES, TOKENS))):
        swept, written = sweep_logits(model, *given), sweep_generate(model, *given, max_new_tokens=STEPS + 1)
        context = read_context(model, prompt.input_ids[:1, :9], prompt.drop[:1, :9])
        rest = prompt.input_ids[:1, 9:], prompt.drop[:1, 9:]
        shared = sweep_last_logits(model, *rest, last=1, context=context)[:, :, 0]
        for cut in CUTS:
            with mask_context(model, cut, prompt.drop):
                expected = model(prompt.input_ids, **inputs(model, prompt.mask)).logits[:, -1]
                assert (swept[cut] - expected).abs().max() <= TOLERANCE
                # Not `generate`, which makes MPT no cache: hooks would find longer calls.
                assert cut == LAYERS or torch.equal(written[cut], run(model, prompt)[1])
            with mask_context(model, cut, prompt.drop[:1]):
                assert (shared[cut] - model(prompt.input_ids[:1]).logits[:, -1]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("where", [*ON_LAYERS, "MLP"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
@torch.inference_mode()
def test_early_exit_of_a_hooked_model_skips_layers_with_their_hooks(name: str, where: str) -> None:
    """What leaves layer r - 1 goes through norm and head, and nothing of what hooks do to later layers."""
    model, prompt = family(name), PROMPTS["ragged, rows differ"]
    edit = adding(PLACES, TOKENS)
    with hooks(on(model, where, edit)):
        exits = sweep_last_logits(model, prompt.input_ids, prompt.drop, prompt.mask, last=2, skip=True)
    for cut in CUTS:
        left: list[Any] = []
        layer = anatomy(model).layers[max(cut, 1) - 1]
        with hooks(on(model, where, edit, layers=range(cut))):
            put = layer.register_forward_hook if cut else layer.register_forward_pre_hook
            with hooks([put(lambda module, *seen, left=left: left.append(seen[-1]))]):
                model(prompt.input_ids, **inputs(model, prompt.mask))
        decoder = anatomy(model).decoder
        norm = next(module for name, module in decoder.named_children() if name in ("norm", "ln_f"))
        state = left[0][0] if isinstance(left[0], tuple) else left[0]
        assert (exits[cut] - model.lm_head(norm(state))[:, -2:]).abs().max() <= TOLERANCE, cut


@pytest.mark.parametrize("where", [*ON_LAYERS, "MLP", "out projection"])
@pytest.mark.parametrize("name", ["llama", "mistral", "bloom"])
@torch.inference_mode()
def test_queries_after_a_compiled_prompt_are_steered_as_whole_prompts(name: str, where: str) -> None:
    model, ids = family(name), PROMPTS["pieces"].input_ids
    start, queries = ids[:1, :14], ids[:, 14:]
    whole = torch.cat([start.expand(3, -1), queries], dim=1)
    hidden = torch.nn.functional.pad(PROMPTS["pieces"].drop[:, :14], (0, 6))
    with hooks(on(model, where, everywhere)):
        for cut in (0, 2, LAYERS):
            context = compile_context(model, start, hidden[:1, :14], cut)
            logits, written = (
                prefix_logits(model, context, queries),
                prefix_generate(model, context, queries, None, NEW),
            )
            with cut_context(model, cut, hidden):
                assert (logits - model(whole).logits[:, -1]).abs().max() <= TOLERANCE
                assert torch.equal(written, answers(model, Prompt(whole, hidden)))


@pytest.mark.parametrize("where", [ON_LAYERS[0], "attention"])
@pytest.mark.parametrize("name", ["llama", "mistral", "bloom"])
def test_the_gradient_of_a_steering_vector_is_that_under_masks(name: str, where: str) -> None:
    model, prompt = fresh(name), PROMPTS["ragged, rows differ"]
    gradients = []
    for context in (mask_context, cut_context):
        steering = torch.zeros(32, requires_grad=True)
        steered = on(model, where, lambda hidden, steering=steering: hidden + steering)
        with hooks(steered), context(model, 2, prompt.drop):
            loss = model(prompt.input_ids, **inputs(model, prompt.mask), labels=prompt.input_ids).loss
            gradients += torch.autograd.grad(loss, steering)
    assert gradients[0].abs().max() > 1e-3
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-5


@pytest.mark.parametrize("name", DEEPSTACK)
@torch.inference_mode()
def test_steering_beside_a_picture(name: str) -> None:
    """Before the picture, within it, after it, and at the end."""
    model, named = seeing(name), pictures(name)
    drop = torch.zeros_like(named["input_ids"], dtype=torch.bool)
    drop[1, [2, 3, -6, -5]] = True
    length, within = drop.shape[1], int(is_picture(named["input_ids"])[1].nonzero()[1])
    worst = 0.0
    for where in (ON_LAYERS[0], "attention"):
        with hooks(on(model, where, adding((1, within, -3, -1), length))):
            for cut in range(anatomy(model).num_layers):
                with mask_context(model, cut, drop):
                    masked = model(**named).logits
                with cut_context(model, cut, drop):
                    worst = max(worst, float((model(**named).logits - masked)[~drop].abs().max()))
    print(f"{name}: {worst:.1e}")
    assert worst <= TOLERANCE


@torch.inference_mode()
def test_hooks_put_on_within_the_block_and_on_all_modules_are_found() -> None:
    model, prompt, edit = family("llama"), PROMPTS["ragged, rows differ"], adding(PLACES, TOKENS)
    chosen = (anatomy(model).layers[0], anatomy(model).layers[2], anatomy(model).layers[3].mlp)
    results = []
    for context in (mask_context, cut_context):
        with context(model, 2, prompt.drop):
            with hooks([*on(model, "attention", edit), *on(model, ON_LAYERS[1], edit)]):
                steered, _ = run(model, prompt)
            put = torch.nn.modules.module.register_module_forward_hook(
                lambda module, args, out: edit(out) if any(module is one for one in chosen) else None
            )
            with hooks([put]):
                results.append(torch.stack([steered, run(model, prompt)[0]]))
    assert (results[0] - results[1]).abs().max() <= TOLERANCE


@torch.inference_mode()
def test_handles_stay_good_and_the_model_is_as_before() -> None:
    model, prompt = fresh("llama"), PROMPTS["pieces"]
    handles = [handle for where in (ON_LAYERS[0], "attention") for handle in on(model, where, everywhere)]
    before = model(prompt.input_ids).logits
    with untouched(model):
        with cut_context(model, 2, prompt.drop):
            run(model, prompt)
        sweep_logits(model, prompt.input_ids, prompt.drop)
    assert torch.equal(model(prompt.input_ids).logits, before)
    for handle in handles:
        handle.remove()
    assert torch.equal(model(prompt.input_ids).logits, family("llama")(prompt.input_ids).logits)


@pytest.mark.parametrize(("where", "warned"), [(ON_LAYERS[0], 0), ("MLP", 1)])
@torch.inference_mode()
def test_one_warning_says_that_layers_with_hooks_inside_save_nothing(where: str, warned: int) -> None:
    model, prompt = family("llama"), PROMPTS["pieces"]
    with warnings.catch_warnings(record=True) as caught, hooks(on(model, where, everywhere)):
        warnings.simplefilter("always")
        with cut_context(model, 2, prompt.drop):
            run(model, prompt)
    assert [str(one.message).startswith("hooks inside layer 2") for one in caught].count(True) == warned


def test_threads_with_prompts_of_their_own_are_steered_alike() -> None:
    model, prompt = family("llama"), PROMPTS["rows differ"]
    found: dict[int, Tensor] = {}

    def use(thread: int) -> None:
        with torch.no_grad():
            found[thread] = torch.stack([model(prompt.input_ids.roll(thread, 1)).logits for _ in range(5)])

    with hooks(on(model, "attention", adding(PLACES, TOKENS))), cut_context(model, 2, prompt.drop):
        for thread in range(3):
            use(thread)
        alone = dict(found)
        threads = [threading.Thread(target=use, args=(thread,)) for thread in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert all(torch.equal(alone[thread], found[thread]) for thread in range(3))


def steered(value: Any) -> Any:
    """Edits tokens of prompts, of any length that the self-check tries; not of decoding steps."""
    if isinstance(value, tuple):
        return (steered(value[0]), *value[1:])
    return value if value.shape[1] < 9 else adding((0, 1, 8, -1), value.shape[1])(value)


class Around(nn.Module):
    """A module in the place of another, which it calls."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return steered(self.inner(*args, **kwargs))


@contextmanager
def other_forward(layer: nn.Module, where: str | None) -> Iterator[None]:
    """A forward of ours on a layer, or on a part of it."""
    module: Any = layer if where is None else part(layer, where)
    own, forward = vars(module).get("forward"), module.forward
    module.forward = lambda *args, **kwargs: steered(forward(*args, **kwargs))
    try:
        yield
    finally:
        vars(module).pop("forward")
        if own is not None:
            module.forward = own


@contextmanager
def other_module(layer: nn.Module, where: str | None) -> Iterator[None]:
    """A module of ours around a part of a layer."""
    inner = part(layer, str(where))
    name = next(name for name, child in layer.named_children() if child is inner)
    setattr(layer, name, Around(inner))
    try:
        yield
    finally:
        setattr(layer, name, inner)


@pytest.mark.filterwarnings("ignore:.*masks are used instead")
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("put", "where"),
    [(other_forward, None), (other_forward, "attention"), (other_forward, "MLP"), (other_module, "MLP")],
)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
@torch.inference_mode()
def test_code_put_on_a_model_before_or_inside_the_block(name: str, put: Any, where: str | None, inside: bool) -> None:
    """After a first cut, when the model was found to be cut exactly."""
    model, prompt = fresh(name), PROMPTS["ragged, rows differ"]
    layer, results = anatomy(model).layers[3], []
    with cut_context(model, 2, prompt.drop):
        ordinary, _ = run(model, prompt)
    for context in (mask_context, cut_context):
        before, within = (nullcontext(), put(layer, where)) if inside else (put(layer, where), nullcontext())
        with before, context(model, 2, prompt.drop), within:
            results.append(run(model, prompt)[0])
    assert (results[0] - ordinary).abs().max() > 0.1
    assert (results[0] - results[1]).abs().max() <= TOLERANCE
    with put(layer, where):
        swept = sweep_logits(model, prompt.input_ids, prompt.drop, prompt.mask)[2]
    assert (swept - results[0][prompt.kept.sum(1).cumsum(0) - 1]).abs().max() <= TOLERANCE


@torch.inference_mode()
def test_a_layer_replaced_inside_the_block_is_refused_and_nothing_is_left_behind() -> None:
    model, prompt = fresh("llama"), PROMPTS["pieces"]
    layers = anatomy(model).layers
    other = fresh("llama").model.layers[3]
    with cut_context(model, 2, prompt.drop):
        own, layers[3] = layers[3], other
        with pytest.raises(PlanError, match="layer 3 was not cut"):
            model(prompt.input_ids)
        layers[3] = own
        forward = own.forward
        own.forward = lambda *args, **kwargs: forward(*args, **kwargs)
        expected = model(prompt.input_ids).logits
    ordinary = family("llama")(prompt.input_ids).logits
    assert torch.equal(model(prompt.input_ids).logits, ordinary)  # with the forward that was put on in the block
    own.forward = forward
    assert torch.equal(model(prompt.input_ids).logits, ordinary)
    with cut_context(model, 2, prompt.drop):
        assert (model(prompt.input_ids).logits - expected)[prompt.kept].abs().max() <= TOLERANCE
