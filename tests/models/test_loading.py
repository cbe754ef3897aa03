from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertLMHeadModel,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from taskpoint.errors import ModelError, SettingError, TaskpointError, TokenizerError, UnknownNameError
from taskpoint.models.anatomy import max_positions
from taskpoint.models.files import tokenizer as tokenizers
from taskpoint.models.loading import load
from taskpoint.tasks.lexicon import subtasks
from taskpoint.training.tokenizer import suite_texts, train_tokenizer

SHAPE: dict[str, Any] = {
    "vocab_size": 400, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "max_position_embeddings": 128,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("models") / "tiny"
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(path)
    train_tokenizer(suite_texts(subtasks(), ("qa",)), vocab=400, positions=128).save_pretrained(path)
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def copied(folder: Path, target: Path, *names: str) -> Path:
    target.mkdir()
    for name in names or [file.name for file in folder.iterdir()]:
        (target / name).write_bytes((folder / name).read_bytes())
    return target


def refusal(kind: type[TaskpointError], name: str | Path, **arguments: Any) -> str:
    with pytest.raises(kind) as refused:
        load(name, **arguments)
    assert type(refused.value) is kind
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_gives_the_plain_model_ready_to_evaluate(folder: Path) -> None:
    lm = load(folder)
    assert type(lm.model) is LlamaForCausalLM
    assert not lm.model.training
    assert lm.model.dtype == torch.float32
    assert (lm.name, lm.revision, lm.num_layers, lm.max_positions) == (str(folder), None, 3, 128)
    assert lm.tokenizer.decode(lm.tokenizer("Q: dog")["input_ids"], skip_special_tokens=True) == "Q: dog"
    assert load(str(folder)).name == str(folder)


def test_dtype_device_and_further_arguments_reach_transformers(folder: Path) -> None:
    lm = load(folder, dtype="bfloat16", device="cpu", attn_implementation="eager")
    assert lm.model.dtype == torch.bfloat16
    assert lm.model.config._attn_implementation == "eager"
    assert load(folder, dtype=torch.float16).model.dtype == torch.float16
    config = LlamaConfig.from_pretrained(folder)
    config.num_hidden_layers = 2
    assert load(folder, config=config).num_layers == 2


def test_learned_positions_are_counted_and_absent_ones_are_none(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, tmp_path / "gpt2", "tokenizer.json", "tokenizer_config.json")
    GPT2LMHeadModel(GPT2Config(vocab_size=400, n_embd=16, n_layer=2, n_head=2, n_positions=77)).save_pretrained(path)
    lm = load(path)
    assert (lm.num_layers, lm.max_positions) == (2, 77)
    bloom = copied(folder, tmp_path / "bloom", "tokenizer.json", "tokenizer_config.json")
    BloomForCausalLM(BloomConfig(vocab_size=400, hidden_size=16, n_layer=2, n_head=2)).save_pretrained(bloom)
    assert load(bloom).max_positions is None


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"max_position_embeddings": 128}, 128),
        ({"max_seq_len": 64}, 64),
        ({"max_position_embeddings": 0, "max_seq_len": 32}, 32),
        ({"max_position_embeddings": "x"}, None),
        ({}, None),
    ],
)
def test_positions_are_found_under_the_names_that_families_give_them(
    named: dict[str, object], expected: int | None
) -> None:
    assert max_positions(SimpleNamespace(**named)) == expected


def test_bad_settings_are_refused_before_anything_is_read(folder: Path) -> None:
    assert "bfloat16" in refusal(SettingError, folder, dtype="bf16")
    assert "int64" in refusal(SettingError, folder, dtype=torch.int64)
    assert "nonsense" in refusal(SettingError, folder, device="nonsense")
    assert "device_map" in refusal(SettingError, folder, device="cpu", device_map="auto")


def test_folders_without_a_model_are_named(folder: Path, tmp_path: Path) -> None:
    assert "config.json" in refusal(ModelError, tmp_path)
    assert "no folder" in refusal(ModelError, tmp_path / "absent")
    assert "no folder" in refusal(ModelError, "./absent")
    assert "no folder" in refusal(ModelError, "")
    assert "is a file" in refusal(ModelError, folder / "config.json")
    without = copied(folder, tmp_path / "no-weights", "config.json", "tokenizer.json", "tokenizer_config.json")
    assert "no-weights" in refusal(ModelError, without)
    broken = copied(folder, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    assert "broken" in refusal(ModelError, broken)
    cut = copied(folder, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:999])
    assert "cut" in refusal(ModelError, cut)


def test_weights_that_are_not_there_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, tmp_path / "few")
    config = LlamaConfig(**SHAPE | {"num_hidden_layers": 4})
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(path)
    assert "model.layers.3" in refusal(ModelError, path)


def test_models_that_are_no_decoders_are_refused(folder: Path, tmp_path: Path) -> None:
    names = ("tokenizer.json", "tokenizer_config.json")
    both = copied(folder, tmp_path / "both", *names)
    T5ForConditionalGeneration(
        T5Config(vocab_size=400, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    ).save_pretrained(both)
    assert "encoder-decoder" in refusal(ModelError, both)
    encoder = copied(folder, tmp_path / "encoder", *names)
    shape = SHAPE | {"num_hidden_layers": 1}
    BertLMHeadModel(BertConfig(**shape)).save_pretrained(encoder)
    assert "is an encoder" in refusal(ModelError, encoder)
    decoder = copied(folder, tmp_path / "decoder", *names)
    BertLMHeadModel(BertConfig(**shape, is_decoder=True)).save_pretrained(decoder)
    assert load(decoder).num_layers == 1


def test_tokenizers_without_offsets_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = copied(folder, tmp_path / "bare", "config.json", "model.safetensors")
    assert "tokenizer" in refusal(TokenizerError, bare)
    slow = type("SlowTokenizer", (), {"is_fast": False})()
    monkeypatch.setattr(tokenizers.AutoTokenizer, "from_pretrained", lambda *_, **__: slow)
    assert "offsets" in refusal(TokenizerError, folder)


@pytest.mark.usefixtures("offline")
def test_a_name_near_a_bundled_one_is_taken_for_a_slip() -> None:
    assert "Did you mean 'lexicon'?" in refusal(UnknownNameError, "lexicn")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["gpt2", "nobody/nothing"])
def test_a_hub_that_cannot_be_reached_is_named_as_the_reason(name: str) -> None:
    said = refusal(ModelError, name)
    assert "cannot be reached" in said
    assert "lexicon" in said
