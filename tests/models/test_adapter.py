"""Models with an adapter of peft: loading them, and knowing them again."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import taskpoint as tp
from taskpoint.errors import ModelError, SettingError
from taskpoint.models.files.fingerprint import ModelFingerprint, model_fingerprint
from taskpoint.models.loading import without_adapter

peft = pytest.importorskip("peft")
IDS = torch.arange(3, 12)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(IDS).logits
    return found


def made(folder: Path, kind: str = "LoraConfig", seed: int = 0, **settings: Any) -> Path:
    """An adapter of the bundled model with random weights."""
    torch.manual_seed(seed)
    wrapped = peft.get_peft_model(tp.load().model, getattr(peft, kind)(task_type="CAUSAL_LM", **settings))
    for weight in wrapped.parameters():
        if weight.requires_grad:
            weight.data.normal_(0, 0.2)
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("adapter") / "one", target_modules=["q_proj", "o_proj"])


def test_it_computes_what_peft_computes_and_its_name_loads_it_again(adapter: Path) -> None:
    wrapped = peft.PeftModel.from_pretrained(tp.load().model, str(adapter)).eval()
    for lm in (tp.load(adapter=adapter), tp.load("lexicon", adapter=str(adapter)), tp.load(f"lexicon+{adapter}")):
        assert lm.name == f"lexicon+{adapter}"
        assert torch.equal(logits(lm.model), logits(wrapped))
        assert not lm.model.training
    assert not torch.allclose(logits(wrapped), logits(tp.load().model), atol=0.1)
    assert without_adapter(f"lexicon+{adapter}") == without_adapter("lexicon") == "lexicon"


def test_a_folder_with_a_plus_in_its_name_is_that_folder(adapter: Path, tmp_path: Path) -> None:
    lm = tp.load()
    for part in (lm.model, lm.tokenizer):
        part.save_pretrained(tmp_path / "one+two")
    name = str(tmp_path / "one+two")
    assert tp.load(name).name == without_adapter(name) == name
    assert tp.load(name, adapter=adapter).name == f"{name}+{adapter}"


def test_a_fingerprint_knows_the_adapter_and_is_the_same_inside_its_wrapper(adapter: Path, tmp_path: Path) -> None:
    base = model_fingerprint(tp.load().model)
    adapted = model_fingerprint(tp.load(adapter=adapter).model)
    wrapped = peft.PeftModel.from_pretrained(tp.load().model, str(adapter))
    assert model_fingerprint(wrapped) == adapted
    assert adapted.difference(model_fingerprint(wrapped)) is None
    stored = ModelFingerprint(**json.loads(json.dumps(adapted.as_json())))
    assert stored.difference(adapted) is None
    assert base.difference(adapted) == "it has the adapter 'default' instead of no adapter of peft"
    assert adapted.difference(base) == "it has no adapter of peft instead of the adapter 'default'"
    other = made(tmp_path / "other", seed=1, target_modules=["q_proj", "o_proj"])
    assert "another adapter" in str(adapted.difference(model_fingerprint(tp.load(adapter=other).model)))
    config = json.loads((adapter / "adapter_config.json").read_text())
    shutil.copytree(adapter, tmp_path / "scaled")  # the same weights, and another scale
    (tmp_path / "scaled" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 99}))
    scaled = model_fingerprint(tp.load(adapter=tmp_path / "scaled").model)
    assert adapted.difference(scaled) == "lora_alpha of its adapter 'default' is 99, not 8"


def test_a_fingerprint_without_adapters_is_that_of_older_files() -> None:
    """Compiled prompts hold a checksum over it."""
    base = model_fingerprint(tp.load().model)
    assert set(base.as_json()) == {"family", "dtype", "config", "weights"}
    assert ModelFingerprint(**base.as_json()) == dataclasses.replace(base, adapters={})  # type: ignore[arg-type]


def test_folders_without_an_adapter_that_fits_are_refused_in_one_line(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, config, weights in (
        ("no weights", adapter / "adapter_config.json", None),
        ("damaged config", b"{", adapter / "adapter_model.safetensors"),
        ("damaged weights", adapter / "adapter_config.json", b"x" * 100),
        ("fewer layers", adapter / "adapter_config.json", adapter / "adapter_model.safetensors"),
    ):
        (tmp_path / name).mkdir()
        for file, given in (("adapter_config.json", config), ("adapter_model.safetensors", weights)):
            if given is not None:
                (tmp_path / name / file).write_bytes(given if isinstance(given, bytes) else given.read_bytes())
    config = json.loads((adapter / "adapter_config.json").read_text())
    (tmp_path / "fewer layers" / "adapter_config.json").write_text(json.dumps(config | {"layers_to_transform": [0, 1]}))
    made(tmp_path / "prompt", "PromptTuningConfig", num_virtual_tokens=3)
    for name, says in (
        ("missing", "no adapter_config.json"),
        ("empty", "no adapter_config.json"),
        ("no weights", "no adapter_model.safetensors"),
        ("damaged config", "does not fit lexicon"),
        ("damaged weights", "does not fit lexicon"),
        ("fewer layers", "is not one of lexicon: .*only in one of the two"),
        ("prompt", "tokens of its own before the prompt"),
    ):
        with pytest.raises(ModelError, match=says) as caught:
            tp.load("lexicon", adapter=tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="does not fit translator"):
        tp.load("translator", adapter=adapter)
    with pytest.raises(ModelError, match="give the model, and this folder as its adapter"):
        tp.load(adapter)


@pytest.mark.parametrize("wrong", ["", "a\0b"])
def test_what_is_no_folder_is_refused(wrong: str) -> None:
    with pytest.raises(SettingError, match="adapter"):
        tp.load("lexicon", adapter=wrong)


def test_one_adapter_is_enough() -> None:
    for name, adapter in (("lexicon+there", "here"), ("lexicon+", None)):
        with pytest.raises(SettingError, match="adapter is"):
            tp.load(name, adapter=adapter)


def test_without_peft_one_line_says_how_to_get_it(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'taskpoint\[lora\]'"):
        tp.load(adapter=adapter)
