"""Models in other libraries' hands: adapters of peft, weights that accelerate offloads, quantised weights.

Where a library is not installed its tests are skipped; the dev extra installs them all.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from families import (
    LAYERS,
    PROMPTS,
    TOLERANCE,
    VOCAB,
    computing,
    family,
    fresh,
    inputs,
    randomised,
    snapshot,
    untouched,
)

from taskpoint.engine.calls.forward import hooked
from taskpoint.engine.check import check
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.plan import present_tokens
from taskpoint.engine.sweep_logits import sweep_logits
from taskpoint.errors import ModelError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import cache_of, with_cache

PROMPT = PROMPTS["ragged, rows differ"]


def given(model: Any) -> dict[str, Any]:
    """Tokens, mask and positions; a wrapper does not say that the model inside takes positions."""
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"input_ids": PROMPT.input_ids} | inputs(inside, PROMPT.mask)


@torch.no_grad()
def results(model: Any, context: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of kept tokens, and greedy answers."""
    with context:
        logits = model(**given(model), **named).logits[PROMPT.kept]
        settings = {"max_new_tokens": 4, "do_sample": False} | named
        return logits, model.generate(input_ids=PROMPT.input_ids, **PROMPT.padding, **settings)


def hooks_of(model: torch.nn.Module) -> dict[str, Any]:
    """What is hooked, and what replaces a class's own attributes; accelerate makes new weights at every call."""
    seen = snapshot(model).items()
    return {name: {k: v for k, v in own.items() if k not in ("_parameters", "_buffers")} for name, own in seen}


def assert_cut_equals_masking(model: Any, tolerance: float = TOLERANCE, **named: Any) -> torch.Tensor:
    """Also that the fast path ran, which leaves hidden tokens out, and that the model is as it was."""
    lengths: list[int] = []
    results(model, nullcontext(), **named)  # whatever the libraries set up once
    for cut in (0, 2):
        masked, text = results(model, mask_context(model, cut, PROMPT.drop), **named)
        before = hooks_of(model)
        with computing(anatomy(model).layers[-1], lengths):
            gone, answer = results(model, cut_context(model, cut, PROMPT.drop), **named)
        assert hooks_of(model) == before
        torch.testing.assert_close(gone, masked, atol=tolerance, rtol=0)
        assert tolerance > TOLERANCE or torch.equal(answer, text)
    assert max(lengths) == int(PROMPT.kept.sum(1).max()), "nothing was left out"
    return gone


class TestPeft:
    """Adapters that change weights are cut like the model itself."""

    @pytest.fixture
    def peft(self) -> Any:
        return pytest.importorskip("peft")

    @staticmethod
    def lora(peft: Any, **named: Any) -> Any:
        settings = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear", "init_lora_weights": False}
        return peft.LoraConfig(**settings | named)

    @pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
    def test_lora_before_and_after_it_is_merged(self, peft: Any, name: str) -> None:
        torch.manual_seed(0)
        model = peft.get_peft_model(fresh(name), self.lora(peft, fan_in_fan_out=name == "gpt2")).eval()
        adapted = assert_cut_equals_masking(model)
        with model.disable_adapter():
            plain = assert_cut_equals_masking(model)
        assert not torch.allclose(adapted, plain, atol=0.05)
        model.merge_adapter()
        torch.testing.assert_close(assert_cut_equals_masking(model), adapted, atol=TOLERANCE, rtol=0)
        model.unmerge_adapter()
        torch.testing.assert_close(assert_cut_equals_masking(model.get_base_model()), adapted, atol=TOLERANCE, rtol=0)
        merged = model.merge_and_unload()
        torch.testing.assert_close(assert_cut_equals_masking(merged), adapted, atol=TOLERANCE, rtol=0)

    def test_the_wrapper_may_be_called_when_the_model_inside_is_cut(self, peft: Any) -> None:
        model = peft.get_peft_model(fresh("llama"), self.lora(peft)).eval()
        expected = results(model, cut_context(model, 2, PROMPT.drop))
        found = results(model, cut_context(model.get_base_model(), 2, PROMPT.drop))
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))

    def test_every_row_may_have_an_adapter_of_its_own(self, peft: Any) -> None:
        torch.manual_seed(0)
        model = peft.get_peft_model(fresh("llama"), self.lora(peft), adapter_name="one")
        model.add_adapter("two", self.lora(peft))
        assert_cut_equals_masking(model.eval(), adapter_names=["two", "one", "__base__"])

    def test_an_adapter_trains_through_a_cut_as_under_masking(self, peft: Any) -> None:
        torch.manual_seed(0)
        model = peft.get_peft_model(fresh("llama"), self.lora(peft)).train()
        found = []
        for context in (mask_context, cut_context):
            model.zero_grad()
            with context(model, 2, PROMPT.drop):
                loss = model(**given(model), labels=PROMPT.input_ids).loss
            loss.backward()
            found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
        assert found[0].abs().max() > 1e-2
        torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-3)

    @pytest.mark.parametrize("kind", ["IA3Config", "AdaptionPromptConfig"])
    def test_other_adapters_are_cut_too(self, peft: Any, kind: str) -> None:
        settings = {
            "IA3Config": {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
            "AdaptionPromptConfig": {"adapter_len": 4, "adapter_layers": 3},
        }
        model = peft.get_peft_model(fresh("llama"), getattr(peft, kind)(task_type="CAUSAL_LM", **settings[kind]))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(0, 0.5)
        assert_cut_equals_masking(model.eval())

    @pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig", "PromptEncoderConfig"])
    def test_adapters_that_put_tokens_before_the_prompt_are_refused(self, peft: Any, kind: str) -> None:
        config = getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=3)
        model = peft.get_peft_model(fresh("llama"), config)
        for use in (
            lambda: cut_context(model, 2, PROMPT.drop).__enter__(),
            lambda: mask_context(model, 2, PROMPT.drop).__enter__(),
            lambda: sweep_logits(model, PROMPT.input_ids, PROMPT.drop),
        ):
            with pytest.raises(ModelError, match=r"tokens of its own before the prompt.*LoRA") as caught:
                use()
            assert "\n" not in str(caught.value)

    def test_adapters_that_count_tokens_are_refused(self, peft: Any) -> None:
        model = peft.get_peft_model(fresh("llama"), self.lora(peft, alora_invocation_tokens=[5, 6]))
        for part in (model, model.get_base_model()):
            with pytest.raises(ModelError, match="alora_invocation_tokens"), cut_context(part, 2, PROMPT.drop):
                pass


class TestOffloaded:
    """`device_map` with layers in memory and on disk; accelerate's hooks move weights and arguments."""

    @pytest.mark.parametrize("name", ["llama", "gpt2", "bloom"])
    def test_layers_on_disk(self, name: str, tmp_path: Path) -> None:
        pytest.importorskip("accelerate")
        here = fresh(name)
        here.save_pretrained(tmp_path / "saved")
        layers = anatomy(here).layers
        path = next(path for path, module in here.named_modules() if module is layers)
        places = {path: "cpu" for path, module in here.named_modules() if not any(module.children())}
        places = {place: where for place, where in places.items() if not place.startswith(f"{path}.")}
        places |= {f"{path}.{index}": "disk" if index in (1, 3) else "cpu" for index in range(LAYERS)}
        model = hf.AutoModelForCausalLM.from_pretrained(
            tmp_path / "saved", device_map=places, offload_folder=tmp_path / "offloaded"
        )
        assert {p.device.type for p in model.parameters()} == {"cpu", "meta"}
        gone = assert_cut_equals_masking(model)
        in_memory, _ = results(here, cut_context(here, 2, PROMPT.drop))
        torch.testing.assert_close(gone, in_memory, atol=TOLERANCE, rtol=0)

    def test_everything_on_disk_is_checked_and_cut(self, tmp_path: Path) -> None:
        pytest.importorskip("accelerate")
        fresh("llama").save_pretrained(tmp_path / "saved")
        model = hf.AutoModelForCausalLM.from_pretrained(
            tmp_path / "saved", device_map={"": "disk"}, offload_folder=tmp_path / "offloaded"
        )
        assert check(model).exact
        assert_cut_equals_masking(model)

    def test_a_forward_that_was_put_in_place_of_the_class_s_own_is_put_back(self) -> None:
        """As accelerate does it."""
        model = fresh("llama")
        calls: list[str] = []
        own = model.forward
        model.forward = lambda *args, **kwargs: (calls.append("outer"), own(*args, **kwargs))[1]
        with untouched(model), cut_context(model, 2, PROMPT.drop):
            model(PROMPT.input_ids)
        model(PROMPT.input_ids)
        assert calls == ["outer", "outer"]

    @pytest.mark.parametrize("cut", [2, 4])
    @torch.no_grad()
    def test_index_tensors_follow_the_layers_to_their_device(self, cut: int) -> None:
        """Meta tensors stand for a second device: an operation across devices fails on them as on any other."""
        model = fresh("mistral")
        upper = [*anatomy(model).layers[3:], model.model.norm, model.lm_head]
        for module in upper:
            module.to("meta")
            module.register_forward_pre_hook(lambda _, args, kwargs: there((args, kwargs)), with_kwargs=True)
        mask = torch.nn.functional.pad(PROMPT.mask, (0, 1), value=1)
        with cut_context(model, cut, PROMPT.drop):
            out = model(PROMPT.input_ids, **inputs(model, PROMPT.mask), use_cache=True)
            step = model(torch.full((3, 1), 7), **inputs(model, mask, 1), **with_cache(model, cache_of(out)))
        assert out.logits.is_meta
        assert out.logits.shape == (*PROMPT.input_ids.shape, VOCAB)
        assert step.logits.shape == (3, 1, VOCAB)


def there(value: Any) -> Any:
    """Everything in it on the second device, as accelerate moves the arguments of a layer."""
    if isinstance(value, torch.Tensor):
        return value.to("meta")
    if isinstance(value, tuple | list):
        return type(value)(there(part) for part in value)
    return {key: there(part) for key, part in value.items()} if isinstance(value, dict) else value


class TestQuantised:
    """Weights in few bits are cut like any others; where tokens are scaled by one another, the model is refused."""

    ROUNDING = 0.1  # a CPU with bfloat16 instructions rounds what is multiplied to 8 bits; logits go up to 5

    @staticmethod
    def saved(folder: Path) -> Path:
        """A Llama whose maps are wide enough for blocks of 64."""
        torch.manual_seed(0)
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
        ends = {"bos_token_id": None, "eos_token_id": None}
        config = hf.LlamaConfig(vocab_size=VOCAB, num_hidden_layers=LAYERS, **sizes, **ends)
        randomised(hf.LlamaForCausalLM(config)).save_pretrained(folder)
        return folder

    def test_four_bit_weights(self, tmp_path: Path) -> None:
        bitsandbytes = pytest.importorskip("bitsandbytes")
        settings = hf.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
        folder = self.saved(tmp_path)
        model = hf.AutoModelForCausalLM.from_pretrained(folder, quantization_config=settings, device_map="cpu")
        assert isinstance(model.model.layers[2].mlp.up_proj, bitsandbytes.nn.Linear4bit)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # no word of masks
            quantised = assert_cut_equals_masking(model, self.ROUNDING)
        plain, _ = results(hf.AutoModelForCausalLM.from_pretrained(folder), cut_context(model, 2, PROMPT.drop))
        assert not torch.allclose(quantised, plain, atol=2 * self.ROUNDING)

    def test_an_adapter_on_four_bit_weights(self, tmp_path: Path) -> None:
        pytest.importorskip("bitsandbytes")
        peft = pytest.importorskip("peft")
        settings = hf.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
        model = hf.AutoModelForCausalLM.from_pretrained(
            self.saved(tmp_path), quantization_config=settings, device_map="cpu"
        )
        assert_cut_equals_masking(peft.get_peft_model(model, TestPeft.lora(peft)).eval(), self.ROUNDING)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
    def test_quantisation_that_ties_tokens_to_one_another_is_refused(self) -> None:
        """Torch scales the activations of all tokens by the largest of them: hidden ones still change the answer."""
        model = torch.ao.quantization.quantize_dynamic(fresh("llama"), {torch.nn.Linear}, dtype=torch.qint8)
        with pytest.raises(ModelError, match=r"scales tokens by one another.*4 bits") as caught:
            cut_context(model, 2, PROMPT.drop).__enter__()
        assert "\n" not in str(caught.value)


def test_taking_and_putting_back_works_on_whatever_device_the_tokens_are() -> None:
    for keep in (PROMPT.kept, PROMPTS["pieces"].kept, torch.ones(3, 4, dtype=torch.bool)):
        present = present_tokens(keep)
        whole = torch.empty(*keep.shape, 2, device="meta")
        taken = present.take(whole)
        assert (taken is whole) == bool(keep.all()), "nothing has to be copied where everything stays"
        assert taken.shape == (3, len(present), 2)
        assert present.put_back(taken, keep.shape[1]).shape == (*keep.shape, 2)


def test_a_model_in_nobodys_hands_is_not_checked_again() -> None:
    """What is asked of quantised modules costs a plain model no comparison."""
    model = family("llama")
    watch = hooked(anatomy(model).decoder, before=lambda *_: pytest.fail("a comparison ran"))
    with untouched(model), watch, cut_context(model, 2, PROMPT.drop):
        pass
