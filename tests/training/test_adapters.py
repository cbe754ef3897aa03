"""Adapters of peft on chosen layers, on a model that is afterwards as it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from families import CONFIGS, FEW_LAYERS, VOCAB, family, fresh, untouched
from torch import Tensor

from taskpoint.engine.calls.projections import output_projections
from taskpoint.errors import DataError, ModelError, SettingError
from taskpoint.training.adapters import AdapterSettings, adapted, adapted_from, dropping_out, save_adapter, trained

IDS = torch.randint(3, VOCAB, (2, 9), generator=torch.Generator().manual_seed(2))
SETTINGS = AdapterSettings(rank=4, dropout=0.5)


def logits(model: Any) -> Tensor:
    with torch.inference_mode():
        found: Tensor = model(IDS, use_cache=False).logits
    return found


def moved(model: Any) -> list[Tensor]:
    """The adapter's weights, after moving all of them."""
    with torch.no_grad():
        for weight in trained(model):
            weight.add_(0.1)
    return [weight.detach().clone() for weight in trained(model)]


@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapter_changes_the_chosen_layer_alone_and_then_leaves_every_family_as_it_was(name: str) -> None:
    model = family(name, layers=FEW_LAYERS)
    before = logits(model)
    with untouched(model), adapted(model, [1], SETTINGS) as wrapped:
        assert torch.equal(logits(model), before)  # B is zero
        (target,) = wrapped.targeted_module_names
        assert target == output_projections(model)[1].name
        states = [model(IDS, use_cache=False, output_hidden_states=True).hidden_states]
        moved(model)
        states.append(model(IDS, use_cache=False, output_hidden_states=True).hidden_states)
        changed = [not torch.equal(one, other) for one, other in zip(*states, strict=True)]
        assert changed == [False, False, True, True]
    assert torch.equal(logits(model), before)


def test_the_first_weights_of_a_layer_do_not_depend_on_which_others_have_an_adapter() -> None:
    model = family("llama", layers=FEW_LAYERS)
    alone = []
    for layer in range(FEW_LAYERS):
        with adapted(model, [layer], SETTINGS):
            alone += [weight.detach() for weight in trained(model)]
    with adapted(model, range(FEW_LAYERS), SETTINGS):
        together = [weight.detach() for weight in trained(model)]
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert len({round(float(weight.sum()), 6) for weight in alone if weight.shape[0] == 4}) == FEW_LAYERS
    with adapted(model, [1], AdapterSettings(rank=4, seed=1)):
        assert not torch.equal(trained(model)[0], alone[2])


def test_the_first_weights_are_spread_as_those_of_peft() -> None:
    model = fresh("llama", layers=1)
    config = peft.LoraConfig(r=32, target_modules=["o_proj"])
    with adapted(model, [0], AdapterSettings(rank=32)):
        ours = trained(model)[0].detach()
    theirs = next(w for n, w in peft.get_peft_model(model, config).named_parameters() if "lora_A" in n).detach()
    assert ours.abs().max() == pytest.approx(float(theirs.abs().max()), rel=0.02)
    assert ours.std() == pytest.approx(float(theirs.std()), rel=0.1)


def test_no_random_number_of_the_caller_is_drawn() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with adapted(family("llama", layers=FEW_LAYERS), [0], SETTINGS):
        pass
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_saved_adapter_is_opened_by_peft_alone_and_by_us(name: str, tmp_path: Path) -> None:
    model, other = fresh(name), fresh(name)
    for _ in range(2):  # the second is written over the first
        with adapted(model, [2, 0], SETTINGS) as wrapped:
            weights, expected = moved(model), logits(model)
            save_adapter(wrapped, tmp_path / "runs" / "2")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["2"]
    with untouched(other), adapted_from(other, tmp_path / "runs" / "2"):
        torch.testing.assert_close(logits(other), expected, rtol=0, atol=0)
    plain = peft.PeftModel.from_pretrained(other, tmp_path / "runs" / "2")
    torch.testing.assert_close(logits(plain), expected, rtol=0, atol=0)
    held = [weight for key, weight in plain.named_parameters() if "lora" in key]
    assert all(torch.equal(one, two) for one, two in zip(weights, held, strict=True))


def test_what_was_trainable_and_its_gradients_come_back_also_after_an_exception() -> None:
    model = fresh("llama").train()
    # The newer name since transformers 5.23; peft then hooks the embeddings.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model(IDS, labels=IDS, use_cache=False).loss.backward()
    embedding = model.get_input_embeddings().weight
    embedding.requires_grad_(False)
    gradient = model.lm_head.weight.grad
    with untouched(model), pytest.raises(ZeroDivisionError), adapted(model, [0], SETTINGS):
        1 / int(model.lm_head.weight.requires_grad)
    assert [weight is embedding for weight in model.parameters() if not weight.requires_grad] == [True]
    assert model.lm_head.weight.grad is gradient


def test_dropout_is_that_of_the_adapters_alone() -> None:
    model = fresh("gpt2")
    with adapted(model, [1], SETTINGS):
        model.eval()
        moved(model)
        with dropping_out(model):
            on = {name for name, module in model.named_modules() if module.training}
            assert not torch.equal(logits(model), logits(model))
        assert on
        assert all("lora_dropout" in name for name in on)
        assert torch.equal(logits(model), logits(model))


def test_more_layers_than_peft_shortens_names_for_are_matched_exactly() -> None:
    model = fresh("llama", layers=26)
    layers = [layer for layer in range(26) if layer != 12]
    with adapted(model, layers, SETTINGS) as wrapped:
        assert len(wrapped.targeted_module_names) == 25
        assert len(trained(model)) == 50


def test_a_layer_inside_a_tower_that_ends_alike_is_not_adapted() -> None:
    """The tower of Gemma 3 has as many layers, with names that end as those of the decoder may."""
    with adapted(fresh("gemma3"), [0], SETTINGS) as wrapped:
        assert all("vision" not in name for name in wrapped.targeted_module_names)


class TestRefusals:
    def test_modules_that_peft_matches_beside_those_asked_for(self) -> None:
        model = fresh("llama", layers=2)
        model.copies = torch.nn.ModuleDict({"model": fresh("llama", layers=2).model})
        with (
            untouched(model),
            pytest.raises(ModelError, match=r"peft put adapters on copies\.model.*expected exactly model\."),
            adapted(model, [0], SETTINGS),
        ):
            pass

    def test_a_model_with_adapters(self) -> None:
        model = fresh("llama", layers=2)
        peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"]))
        for context in (adapted(model, [0], SETTINGS), adapted_from(model, Path("any"))):
            with pytest.raises(ModelError, match="carries adapters"), context:
                pass

    @pytest.mark.parametrize("layers", [[], [3], [-1], [0, 0], [True]])
    def test_layers_that_are_not_there(self, layers: list[int]) -> None:
        with (
            pytest.raises(SettingError, match="layers"),
            adapted(family("llama", layers=FEW_LAYERS), layers, SETTINGS),
        ):
            pass

    @pytest.mark.parametrize(
        "named",
        [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("nan")}, {"dropout": 1.0}, {"dropout": -0.1}, {"seed": -1}],
    )
    def test_settings_out_of_range(self, named: dict[str, Any]) -> None:
        (name,) = named
        with pytest.raises(SettingError, match=name):
            AdapterSettings(**named)

    def test_no_peft(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "peft", None)
        with (
            pytest.raises(ModelError, match=r"pip install 'taskpoint\[lora\]'"),
            adapted(family("llama"), [0], SETTINGS),
        ):
            pass

    def test_a_folder_without_an_adapter_and_one_of_another_model(self, tmp_path: Path) -> None:
        model, folder = fresh("llama", layers=2), tmp_path / "one"
        with pytest.raises(DataError, match="holds no adapter"), adapted_from(model, tmp_path):
            pass
        with adapted(model, [1], SETTINGS) as wrapped:
            save_adapter(wrapped, folder)
        for change in ({"r": 3}, {"target_modules": ["nowhere"]}):
            config = json.loads((folder / "adapter_config.json").read_text()) | change
            (folder / "adapter_config.json").write_text(json.dumps(config))
            with untouched(model), pytest.raises(DataError, match="does not fit"), adapted_from(model, folder):
                pass
