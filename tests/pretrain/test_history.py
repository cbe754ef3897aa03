from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import taskpoint.training.history as history_module
from taskpoint.training.history import History, log_spaced
from taskpoint.training.tokenizer import train_tokenizer
from taskpoint.training.trainer import Training


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["Q: a\nA: b\n"], vocab=270, positions=64)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.set_num_threads(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, tie_word_embeddings=True,
        )
    )  # fmt: skip


@given(st.integers(1, 10**6))
def test_snapshots_come_twice_a_doubling_from_the_first_step_to_the_last(steps: int) -> None:
    found = log_spaced(steps)
    assert found[0] == 1
    assert found[-1] == steps
    assert list(found) == sorted(set(found))
    for start in range(int(math.log2(steps))):
        assert len([step for step in found if 2**start <= step < 2 ** (start + 1)]) == (2 if start else 1)


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_log_and_snapshots_are_written_when_they_are_due(
    tmp_path: Path, model: Any, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_SCORED_FROM", 16)
    asked: list[Path] = []

    def score(folder: Path) -> float:
        asked.append(folder)
        assert (folder / "model.safetensors").is_file()
        return 12.345

    history = History(tmp_path, model, tokenizer, log_spaced(45), score)
    for step in range(1, 46):
        history(Training(step, step / 2, 1 / step, 0.5))
    snapshots = [1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45]
    assert [record["step"] for record in lines(tmp_path)] == sorted({*snapshots, 20, 40})
    assert {record["step"] for record in lines(tmp_path) if "bleu" in record} == {16, 23, 32, 45}
    assert lines(tmp_path)[-1] == {"step": 45, "seconds": 22.5, "loss": 0.0222, "bleu": 12.35}
    assert len(asked) == 4
    folders = sorted(folder.name for folder in (tmp_path / "snapshots").iterdir())
    assert folders == [f"step-{step:06d}" for step in snapshots]
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "snapshots" / "step-000016")
    for name, weight in model.state_dict().items():
        assert torch.allclose(opened.state_dict()[name], weight, atol=1e-3), name


@pytest.mark.parametrize("torn", [b'{"step": 60, "sec', b'{"step": "many"}', b"[1]", b"\xff\xfe\n", b"7\n"])
def test_a_run_that_goes_on_keeps_the_log_up_to_its_checkpoint_whatever_the_last_line_looks_like(
    tmp_path: Path, model: Any, tokenizer: PreTrainedTokenizerFast, torn: bytes
) -> None:
    def begin() -> History:
        return History(tmp_path, model, tokenizer, (), lambda _: 0.0)

    first = begin()
    for step in (20, 40, 60):
        first(Training(step, 1.0, 1.0, 0.5))
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(torn)
    again = begin()
    for step in range(21, 41):
        again(Training(step, 2.0, 2.0, 0.5))
    assert [(record["step"], record["seconds"]) for record in lines(tmp_path)] == [(20, 1.0), (40, 2.0)]


def test_a_snapshot_that_was_killed_is_taken_again(
    tmp_path: Path, model: Any, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_SCORED_FROM", 1)

    def kill(_: Path) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        History(tmp_path, model, tokenizer, (3,), kill)(Training(3, 1.0, 1.0, 0.5))
    assert not (tmp_path / "snapshots" / "step-000003").exists()
    History(tmp_path, model, tokenizer, (3,), lambda _: 1.0)(Training(3, 1.0, 1.0, 0.5))
    assert [folder.name for folder in (tmp_path / "snapshots").iterdir()] == ["step-000003"]
    assert lines(tmp_path) == [{"step": 3, "seconds": 1.0, "loss": 1.0, "bleu": 1.0}]


def test_nothing_is_said_while_a_snapshot_is_taken(
    tmp_path: Path, model: Any, tokenizer: PreTrainedTokenizerFast, capfd: pytest.CaptureFixture[str]
) -> None:
    History(tmp_path, model, tokenizer, (1,), lambda _: 1.0)(Training(1, 1.0, 1.0, 0.5))
    assert capfd.readouterr() == ("", "")
