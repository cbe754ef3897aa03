"""What a model is known by again."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
import transformers as hf

from taskpoint.errors import TokenizerError
from taskpoint.models.files.fingerprint import ModelFingerprint, model_fingerprint, tokenizer_fingerprint
from taskpoint.models.loading import load


def tiny(**more: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return hf.LlamaForCausalLM(hf.LlamaConfig(**sizes | {"intermediate_size": 48} | more)).eval()


@pytest.fixture(scope="module")
def known() -> ModelFingerprint:
    return model_fingerprint(tiny())


def test_every_tensor_of_the_model_counts(known: ModelFingerprint) -> None:
    model = tiny()
    assert set(known.weights) == set(model.state_dict())
    assert known.difference(model_fingerprint(model)) is None
    for name, weight in model.state_dict().items():
        before = weight.clone()
        weight += 1e-6 * torch.randn(weight.shape)
        changed = [key for key, value in model_fingerprint(model).weights.items() if known.weights[key] != value]
        assert changed == [name]
        weight.copy_(before)


def test_a_merged_adapter_of_rank_one_is_noticed_also_in_large_matrices_of_half_precision() -> None:
    model: Any = torch.nn.Module()
    model.config, model.dtype = tiny().config, torch.bfloat16
    model.weight = torch.nn.Parameter((0.02 * torch.randn(1024, 1024)).bfloat16(), requires_grad=False)
    before = model_fingerprint(model)
    model.weight += 1e-4 * torch.outer(torch.randn(1024), torch.randn(1024))
    assert "1 of its 1 weights differ, such as weight" in str(before.difference(model_fingerprint(model)))


def test_samples_are_taken_from_all_rows_and_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = torch.nn.Module()
    model.config, model.dtype = tiny().config, torch.float32
    model.weight = torch.nn.Parameter(torch.zeros(64, 4096), requires_grad=False)
    before = model_fingerprint(model)
    for part in (slice(0, 1), slice(40, 41)):
        model.weight[part] += 1
        assert before.difference(model_fingerprint(model))
        model.weight[part] -= 1
    for start in range(0, 4096, 64):
        model.weight[:, start : start + 64] += 1
        assert before.difference(model_fingerprint(model))
        model.weight[:, start : start + 64] -= 1
    assert before.difference(model_fingerprint(model)) is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"num_hidden_layers": 3}, "its num_hidden_layers is 3, not 2"),
        ({"rms_norm_eps": 1e-3}, "its rms_norm_eps is 0.001"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}, "its rope_parameters is"),
    ],
)
def test_what_the_config_decides_is_told_by_name(known: ModelFingerprint, more: dict[str, Any], expected: str) -> None:
    assert expected in str(known.difference(model_fingerprint(tiny(**more))))


def test_how_a_model_was_loaded_does_not_count(known: ModelFingerprint) -> None:
    model = tiny()
    model.config._name_or_path = "elsewhere"
    model.config.use_cache = False
    model.config.architectures = ["Other"]
    model.config.eos_token_id = 5
    assert known.difference(model_fingerprint(model)) is None
    newer = dataclasses.replace(known, config={**known.config, "an_entry_of_a_later_version": 1})
    assert known.difference(newer) is None
    assert newer.difference(known) is None


def test_precision_and_missing_weights_count(known: ModelFingerprint) -> None:
    assert known.difference(model_fingerprint(tiny().half())) == "it is loaded in float16, not in float32"
    model = tiny()
    model.model.layers[0].extra = torch.nn.Linear(2, 2)
    assert "model.layers.0.extra" in str(known.difference(model_fingerprint(model)))


def test_it_reads_back_from_json(known: ModelFingerprint) -> None:
    assert ModelFingerprint(**known.as_json()) == known


def test_a_tokenizer_is_known_by_what_it_does() -> None:
    tokenizer: Any = load().tokenizer
    known = tokenizer_fingerprint(tokenizer)
    assert tokenizer_fingerprint(load().tokenizer) == known
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ messages[0]['content'] }}"
    assert tokenizer_fingerprint(other) != known
    tokenizer.add_tokens(["more"])
    assert tokenizer_fingerprint(tokenizer) != known
    with pytest.raises(TokenizerError, match="fast"):
        tokenizer_fingerprint(hf.ByT5Tokenizer())
