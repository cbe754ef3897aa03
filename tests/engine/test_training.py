"""Training through a cut: losses and gradients are those of masking; what cannot be equal is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from families import LAYERS, PROMPTS, Prompt, family, fresh, inputs, untouched

from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.errors import PlanError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of, replays_calls, with_cache

FAMILIES = ("llama", "gpt2", "bloom", "gemma2", "mistral")
CONTEXTS = pytest.mark.parametrize("context", [cut_context, mask_context])
RAGGED = PROMPTS["ragged, rows differ"]


def without_dropout(name: str) -> Any:
    """A model of that family, in training mode and without dropout."""
    model = fresh(name).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for key, value in vars(module).items():
            if "drop" in key and isinstance(value, float):
                setattr(module, key, 0.0)
    return model


def loss_of(model: Any, prompt: Prompt, labels: torch.Tensor, **named: Any) -> torch.Tensor:
    loss = model(prompt.input_ids, **inputs(model, prompt.mask), labels=labels, **named).loss
    assert isinstance(loss, torch.Tensor)
    return loss


def gradients(model: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def by_hand(prompt: Prompt, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens that are kept and that stand right after a kept one."""
    scored = prompt.kept[:, 1:] & prompt.kept[:, :-1] & (labels[:, 1:] != -100)
    return torch.nn.functional.cross_entropy(logits[:, :-1][scored].float(), labels[:, 1:][scored])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("hole", ["pieces", "ragged, rows differ"])
def test_a_loss_counts_kept_tokens_that_a_kept_token_predicts(name: str, hole: str) -> None:
    model, prompt = family(name), PROMPTS[hole]
    every = prompt.input_ids.clone()
    marked = every.masked_fill(~prompt.kept, -100)
    answer = every.clone()
    answer[:, :-3] = -100
    for cut in (0, 2):
        for labels in (every, marked, answer):
            with mask_context(model, cut, prompt.drop):
                masked = loss_of(model, prompt, labels)
                logits = model(prompt.input_ids, **inputs(model, prompt.mask)).logits
            with cut_context(model, cut, prompt.drop):
                gone = loss_of(model, prompt, labels)
            torch.testing.assert_close(masked, by_hand(prompt, logits, labels), atol=1e-5, rtol=0)
            torch.testing.assert_close(gone, masked, atol=1e-5, rtol=0)


def test_the_last_cut_counts_every_label_like_the_ordinary_model() -> None:
    model, prompt = family("llama"), PROMPTS["pieces"]
    expected = loss_of(model, prompt, prompt.input_ids)
    for context in (cut_context, mask_context):
        with context(model, LAYERS, prompt.drop):
            assert torch.equal(loss_of(model, prompt, prompt.input_ids), expected)
    with cut_context(model, 1, prompt.drop):
        assert not torch.isclose(loss_of(model, prompt, prompt.input_ids), expected, atol=1e-2)


@CONTEXTS
def test_labels_in_other_forms_are_left_out_alike(context: Any) -> None:
    """Given by position, already shifted, on a second turn, and for tokens rather than for what follows them."""
    model, prompt = family("llama"), RAGGED
    with context(model, 2, prompt.drop):
        expected = loss_of(model, prompt, prompt.input_ids)
        named = inputs(model, prompt.mask)
        by_place = model(prompt.input_ids, named["attention_mask"], named["position_ids"], None, None, prompt.input_ids)
        shifted = torch.nn.functional.pad(prompt.input_ids[:, 1:], (0, 1), value=-100)
        torch.testing.assert_close(by_place.loss, expected)
        torch.testing.assert_close(loss_of(model, prompt, prompt.input_ids, shift_labels=shifted), expected)
    with context(model, 2, prompt.drop), torch.no_grad():
        cache = cache_of(model(prompt.input_ids, **named, use_cache=True))
        turn = torch.full((3, 3), 7)
        mask = torch.nn.functional.pad(prompt.mask, (0, 3), value=1)
        out = model(turn, **inputs(model, mask, 3), **with_cache(model, cache), labels=turn)
        plain = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), turn[:, 1:].flatten())
        torch.testing.assert_close(out.loss, plain)


def test_labels_of_a_token_classifier_stand_at_the_token_itself() -> None:
    torch.manual_seed(0)
    config = family("llama").config
    model = hf.LlamaForTokenClassification(config).eval()
    prompt = RAGGED
    labels = prompt.input_ids % 2
    for context in (mask_context, cut_context):
        with context(model, 2, prompt.drop):
            out = model(prompt.input_ids, **inputs(model, prompt.mask), labels=labels)
        expected = torch.nn.functional.cross_entropy(out.logits[prompt.kept], labels[prompt.kept])
        torch.testing.assert_close(out.loss, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_a_loss_equal_those_under_masking(name: str) -> None:
    model = without_dropout(name)
    found = []
    for context in (mask_context, cut_context):
        model.zero_grad()
        with context(model, 2, RAGGED.drop):
            loss_of(model, RAGGED, RAGGED.input_ids).backward()
        found.append(gradients(model))
    assert found[0].abs().max() > 1e-2
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # of the call without gradients
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_gradient_checkpointing_changes_no_gradient(name: str, reentrant: bool, inside: bool) -> None:
    """Layers are computed again in the backward pass, which may also come after the block, and after another call."""
    model = without_dropout(name)
    with mask_context(model, 2, RAGGED.drop):
        loss_of(model, RAGGED, RAGGED.input_ids).backward()
    expected = gradients(model)
    model.zero_grad()
    computed: list[Any] = []
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    if replays_calls(anatomy(model).layers[0]):
        with cut_context(model, 2, RAGGED.drop), pytest.raises(PlanError, match=r"install transformers 5\.23 or later"):
            loss_of(model, RAGGED, RAGGED.input_ids, use_cache=False)
        return
    with cut_context(model, 2, RAGGED.drop):
        loss = loss_of(model, RAGGED, RAGGED.input_ids, use_cache=False)
        with torch.no_grad():
            model(RAGGED.input_ids.flip(0), **inputs(model, RAGGED.mask))
        if inside:
            computed = again(model, loss.backward)
    if not inside:
        computed = again(model, loss.backward)
    assert len(computed) == LAYERS, "nothing was computed again"
    torch.testing.assert_close(gradients(model), expected, atol=1e-4, rtol=1e-3)


def again(model: Any, backward: Callable[[], None]) -> list[Any]:
    """Runs a backward pass; one entry for each layer whose attention ran in it."""
    seen: list[Any] = []
    for layer in anatomy(model).layers:
        attention = next(module for name, module in layer.named_children() if "att" in name)
        attention.register_forward_hook(lambda module, *_: seen.append(module))
    backward()
    return seen


@CONTEXTS
@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "opt"])
def test_training_mode_with_dropout_is_refused(context: Any, name: str) -> None:
    """Whether dropout is a module, a number that attention is given, or one in a layer's own code."""
    model = fresh(name).train()
    if name == "llama":
        anatomy(model).layers[4].self_attn.attention_dropout = 0.1
    elif name == "bloom":
        anatomy(model).layers[0].mlp.hidden_dropout = 0.1
    prompt = PROMPTS["pieces"]
    with untouched(model), context(model, 2, prompt.drop):
        for call in (model, lambda ids: model.generate(ids, max_new_tokens=2)):
            with pytest.raises(PlanError, match=r"dropout.*model\.eval\(\)") as caught:
                call(prompt.input_ids)
            assert "\n" not in str(caught.value)
        model.eval()
        model(prompt.input_ids)
        anatomy(model).layers[4 if name == "llama" else 0].train()
        with pytest.raises(PlanError, match="dropout"):
            model(prompt.input_ids)
        model.train()
    with context(model, LAYERS, prompt.drop):
        model(prompt.input_ids)  # the ordinary model, which may


@CONTEXTS
def test_a_call_that_fails_in_training_mode_fails_for_its_own_reason(context: Any) -> None:
    model, prompt = fresh("gpt2").train(), PROMPTS["pieces"]
    with warnings.catch_warnings(), context(model, 2, prompt.drop):
        warnings.simplefilter("error")  # of what a hook raises after a failure, torch makes a warning
        with pytest.raises(ZeroDivisionError), hooked(anatomy(model).layers[3], before=lambda *_: 1 // 0):
            model(prompt.input_ids)


@CONTEXTS
def test_training_mode_without_dropout_and_random_numbers_of_others_are_no_harm(context: Any) -> None:
    model, prompt = without_dropout("gpt2"), PROMPTS["pieces"]
    with context(model, 2, prompt.drop):
        model(prompt.input_ids)
        torch.rand(3)
        model(prompt.input_ids)
    model.eval()
    noise = hooked(anatomy(model).layers[1], before=lambda *_: (torch.rand(1), None)[1])
    with context(model, 2, prompt.drop), noise:
        model(prompt.input_ids)


def test_a_trained_model_learns_under_a_cut_what_it_learns_under_masking() -> None:
    """Some steps of an optimizer, so that small differences would add up."""
    losses = []
    for context in (mask_context, cut_context):
        model = without_dropout("llama")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(5):
            with context(model, 2, RAGGED.drop):
                loss = loss_of(model, RAGGED, RAGGED.input_ids)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
    torch.testing.assert_close(torch.tensor(losses[5:]), torch.tensor(losses[:5]), atol=1e-4, rtol=0)
    assert losses[4] < losses[0] - 0.1
