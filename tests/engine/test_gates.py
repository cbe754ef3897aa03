"""Gates on heads: in every family a gate of 0 is a head that attends to nothing, and all gates 1 the model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from families import CONFIGS, FEW_LAYERS, LAYERS, PROMPTS, VOCAB, family, fresh, inputs, untouched
from torch import Tensor
from torch.overrides import TorchFunctionMode

from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.calls.projections import OutputProjection, output_projections, without_attention
from taskpoint.engine.cut import cut_context
from taskpoint.engine.gates import gated_heads, heads_of
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.errors import ModelError, PlanError, SettingError
from taskpoint.models.head_gates import HeadGates, gates_on

IDS = torch.randint(3, VOCAB, (2, 9), generator=torch.Generator().manual_seed(2))
HEADS = 4
GATES = torch.rand(LAYERS, HEADS, generator=torch.Generator().manual_seed(4))
PROMPT = PROMPTS["ragged, rows differ"]


class Blind(TorchFunctionMode):
    """One head of every layer attends to nothing: its attention weights are zeros, wherever a family computes them."""

    def __init__(self, head: int) -> None:
        self.head, self.layers = head, 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if getattr(function, "__name__", "") == "softmax" and result.shape[-1] >= IDS.shape[1]:
            self.layers += 1
            result = result.clone()
            result.view(len(IDS), HEADS, *result.shape[-2:])[:, self.head] = 0
        return result


def logits(model: Any) -> Tensor:
    return model(PROMPT.input_ids, **inputs(model, PROMPT.mask), use_cache=False).logits[PROMPT.mask.bool()]


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_a_gate_of_zero_is_a_head_that_attends_to_nothing_in_every_family(name: str) -> None:
    model, gates = family(name, "eager", FEW_LAYERS), torch.ones(FEW_LAYERS, HEADS)
    plain = model(IDS, use_cache=False).logits
    with gated_heads(model, gates):
        assert torch.equal(model(IDS, use_cache=False).logits, plain)
    gates[:, 1] = 0
    with gated_heads(model, gates):
        found = model(IDS, use_cache=False).logits
    with Blind(1) as blind:
        expected = model(IDS, use_cache=False).logits
    assert blind.layers == FEW_LAYERS
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - plain).abs().max() > 0.1


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom"])
@torch.inference_mode()
def test_a_gate_scales_the_columns_of_the_projection_that_read_its_head(name: str) -> None:
    model, scaled = family(name), fresh(name)
    for row, projection in zip(GATES, output_projections(scaled), strict=True):
        factors = row.repeat_interleave(projection.head_size)
        turned = type(projection.module).__name__ == "Conv1D"  # GPT-2's, with rows for columns
        projection.module.weight.mul_(factors[:, None] if turned else factors)
    with gated_heads(model, GATES):
        torch.testing.assert_close(logits(model), logits(scaled), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@torch.inference_mode()
def test_a_layer_with_all_gates_closed_keeps_nothing_of_attention_but_its_bias(name: str) -> None:
    model, gates = fresh(name), torch.ones(LAYERS, HEADS)
    gates[2] = 0
    found = output_projections(model)[2]
    if found.module.bias is not None:
        found.module.bias.zero_()
    with gated_heads(model, gates):
        gated = logits(model)
    with without_attention([found]):
        torch.testing.assert_close(gated, logits(model), rtol=0, atol=1e-5)
    if found.module.bias is not None:
        found.module.bias.copy_(torch.linspace(-1, 1, len(found.module.bias)))
        with gated_heads(model, gates):
            assert (logits(model) - gated).abs().max() > 0.1


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2", "bloom"])
@torch.inference_mode()
def test_cuts_sweeps_and_generate_compute_with_the_gates(name: str) -> None:
    model, new = family(name), 4
    arguments = (PROMPT.input_ids, PROMPT.drop, PROMPT.mask)

    def answers() -> Tensor:
        written = model.generate(PROMPT.input_ids, **PROMPT.padding, max_new_tokens=new, do_sample=False)
        return written[:, PROMPT.input_ids.shape[1] :]

    kept = PROMPT.kept
    with gated_heads(model, GATES):
        every, written = sweep_logits(model, *arguments), sweep_generate(model, *arguments, max_new_tokens=new)
        for cut in (0, 2, LAYERS):
            with mask_context(model, cut, PROMPT.drop):
                expected = model(PROMPT.input_ids, **inputs(model, PROMPT.mask)).logits
            with cut_context(model, cut, PROMPT.drop):
                found = model(PROMPT.input_ids, **inputs(model, PROMPT.mask)).logits
                assert torch.equal(written[cut], answers())
            torch.testing.assert_close(found[kept], expected[kept], rtol=0, atol=1e-4)
            torch.testing.assert_close(every[cut], expected[:, -1], rtol=0, atol=1e-4)
        assert torch.equal(written[LAYERS], answers())


def test_adapters_of_peft_read_gated_heads_too() -> None:
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(
        fresh("llama"), peft.LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights=False)
    ).eval()
    with torch.inference_mode():
        with gated_heads(model, GATES):
            found = model(IDS, use_cache=False).logits
        merged = model.merge_and_unload()
        with gated_heads(merged, GATES):
            torch.testing.assert_close(found, merged(IDS, use_cache=False).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom"])
def test_the_model_is_bit_for_bit_as_before_also_after_an_exception(name: str) -> None:
    model = family(name)
    with torch.inference_mode(), untouched(model):
        with gated_heads(model, GATES):
            logits(model)

        def stop(*_: Any) -> None:
            raise KeyError

        with pytest.raises(KeyError), gated_heads(model, GATES), hooked(output_projections(model)[1].module, stop):
            logits(model)
        with pytest.raises(SettingError), gated_heads(model, GATES[1:]):
            pass


def test_gradients_reach_gates_and_are_those_of_finite_differences() -> None:
    model = fresh("gpt2").double().requires_grad_(requires_grad=False)
    gates = GATES.double().requires_grad_()
    step, place = 1e-6, (1, 2)

    def loss(values: Tensor) -> Tensor:
        with gated_heads(model, values):
            return model(IDS, use_cache=False).logits.log_softmax(-1)[..., 0].mean()

    loss(gates).backward()
    assert gates.grad is not None
    with torch.no_grad():
        up, down = gates.clone(), gates.clone()
        up[place] += step
        down[place] -= step
        slope = (loss(up) - loss(down)) / (2 * step)
    torch.testing.assert_close(gates.grad[place], slope, rtol=1e-4, atol=1e-9)
    assert (gates.grad != 0).all()


@torch.inference_mode()
def test_gates_are_what_they_say_in_half_precision_too() -> None:
    model = fresh("llama").to(torch.bfloat16)
    plain = logits(model)
    with gated_heads(model, torch.ones(LAYERS, HEADS, dtype=torch.bool)):
        assert torch.equal(logits(model), plain)
    with gated_heads(model, np.zeros((LAYERS, HEADS), dtype=np.float32)):
        assert not torch.equal(logits(model), plain)


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        (torch.ones(LAYERS + 1, HEADS), "6 layers of 4 heads; this model .* has 5 layers of 4"),
        (torch.ones(LAYERS), r"shape \[5\]; expected one for each layer and head"),
        (torch.full((LAYERS, HEADS), torch.nan), "NaN or infinity"),
        (torch.ones(LAYERS, HEADS, dtype=torch.complex64), "complex"),
        ("gates.safetensors", "expected a number for each layer and head"),
        (None, "expected a number for each layer and head"),
        ([[1.0, 2.0], [1.0]], "expected a number for each layer and head"),
        (HeadGates(np.ones((12, 4), np.float32), "lexicon", "llama"), "of 'lexicon' .* 12 layers of 4 heads"),
        (HeadGates(np.ones((LAYERS, HEADS), np.float32), "a/b", "gpt2"), "are not for a model of type 'llama'"),
    ],
    ids=["layers", "axes", "nan", "complex", "text", "none", "ragged", "another model", "another family"],
)
def test_gates_that_do_not_fit_are_refused(gates: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message), gated_heads(family("llama"), gates):
        pass


def test_gates_go_around_a_cut_and_not_into_it_and_are_not_nested() -> None:
    model = family("llama")
    with (
        cut_context(model, 2, PROMPT.drop),
        pytest.raises(PlanError, match="cut_context within"),
        gated_heads(model, GATES),
    ):
        pass
    with gated_heads(model, GATES), pytest.raises(PlanError, match="already"), gated_heads(model, GATES):
        pass
    assert gates_on(model) is None


def test_layers_with_different_numbers_of_heads_are_refused() -> None:
    layers = [OutputProjection(torch.nn.Identity(), "", heads, 8) for heads in (4, 2, 4)]
    assert heads_of(layers[::2], "openelm") == 4
    with pytest.raises(ModelError, match=r"'openelm'.* 2 and 4 heads"):
        heads_of(layers, "openelm")


def test_a_digest_tells_gates_apart_by_what_they_compute() -> None:
    ones = np.ones((2, 3), np.float32)
    closed = ones.copy()
    closed[1, 2] = 0
    minus = ones.copy()
    minus[1, 2] = -0.0
    same = {HeadGates(ones, "a", "llama").digest, HeadGates(ones.copy(order="F"), "b").digest}
    assert len(same) == 1
    assert HeadGates(closed).digest == HeadGates(minus).digest != HeadGates(ones).digest
    assert HeadGates(ones.reshape(3, 2)).digest not in same
