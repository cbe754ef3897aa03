from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.pretrain.data import TrainingBatch
from taskpoint.pretrain.trainer import TrainingSettings, train

SETTINGS = TrainingSettings(
    steps=8, lr=1e-2, warmup=2, weight_decay=0.1, beta2=0.95, clip=1.0, bfloat16=False, checkpoint_every=3
)


def model(width: int = 8) -> LlamaForCausalLM:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=11, hidden_size=width, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, tie_word_embeddings=True,
        )
    )  # fmt: skip


def draw(step: int) -> TrainingBatch:
    """Counting upwards; the last three tokens are taught, the last one is the answer."""
    starts = torch.arange(4) + step
    ids = (starts[:, None] + torch.arange(6)) % 11
    targets = torch.zeros_like(ids, dtype=torch.bool)
    targets[:, 3:] = True
    last = torch.zeros_like(targets)
    last[:, 5:] = True
    return TrainingBatch(ids, targets, last)


def test_the_loss_is_that_of_the_taught_tokens_alone(tmp_path: Path) -> None:
    untouched = model()
    batch = draw(0)
    with torch.no_grad():
        labels = batch.input_ids.masked_fill(~batch.targets, -100)
        expected = untouched(input_ids=batch.input_ids, labels=labels).loss.item()
    seen = []
    train(model(), draw, replace(SETTINGS, steps=1, warmup=0), tmp_path / "c.pt", lambda *state: seen.append(state))
    assert seen[0][:2] == (1, 1)
    assert seen[0][2] == pytest.approx(expected, rel=1e-5)


def test_training_learns_and_its_accuracy_is_that_of_the_last_answer(tmp_path: Path) -> None:
    learner = model(width=32)
    done = train(learner, draw, replace(SETTINGS, steps=150), tmp_path / "c.pt")
    assert done.accuracy == 1.0
    assert done.loss < 0.5
    assert not learner.training
    batch = draw(3)
    said = learner(input_ids=batch.input_ids[:, :-1]).logits[:, -1].argmax(-1)
    assert torch.equal(said, batch.input_ids[:, -1])


@pytest.mark.parametrize("killed_after", [1, 3, 5, 7])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path, killed_after: int) -> None:
    whole = model()
    expected = train(whole, draw, SETTINGS, tmp_path / "whole.pt")

    def kill(step: int, *_: float) -> None:
        if step == killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model(), draw, SETTINGS, tmp_path / "c.pt", kill)
    (tmp_path / "c.pt.tmp").write_bytes(b"half a checkpoint")
    steps: list[int] = []
    continued = model()
    done = train(continued, draw, SETTINGS, tmp_path / "c.pt", lambda step, *_: steps.append(step))
    assert steps == list(range(killed_after // 3 * 3 + 1, 9))
    assert (done.steps, done.loss, done.accuracy) == (8, expected.loss, expected.accuracy)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, continued.state_dict()[name]), name


def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "c.pt"
    train(model(), draw, SETTINGS, file)
    with pytest.raises(RunFolderError, match=r"c\.pt") as refused:
        train(model(width=16), draw, SETTINGS, file)
    assert "\n" not in str(refused.value)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(RunFolderError, match=r"c\.pt"):
        train(model(), draw, SETTINGS, file)


def test_the_rate_warms_up_to_its_peak_and_falls_to_nothing() -> None:
    rates = [SETTINGS.rate(step) for step in range(8)]
    assert rates[:3] == pytest.approx([0.005, 0.01, 0.01])
    assert all(a > b for a, b in itertools.pairwise(rates[2:]))
    assert rates[5] == pytest.approx(0.005)
    assert SETTINGS.rate(8) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("checkpoint_every", 0), ("lr", 0.0), ("lr", math.inf), ("lr", math.nan), ("clip", -1.0),
        ("weight_decay", -0.1), ("beta2", 1.0), ("warmup", 8), ("warmup", -1),
    ],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        replace(SETTINGS, **{name: value})
