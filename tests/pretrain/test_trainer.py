from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.training.sequences import TrainingBatch
from taskpoint.training.trainer import TrainingSettings, train

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


def draw(step: int) -> list[TrainingBatch]:
    """Counting upwards; the last three tokens are taught, the last one is the answer."""
    return [batch_of(step)]


def batch_of(step: int) -> TrainingBatch:
    starts = torch.arange(4) + step
    ids = (starts[:, None] + torch.arange(6)) % 11
    targets = torch.zeros_like(ids, dtype=torch.bool)
    targets[:, 3:] = True
    last = torch.zeros_like(targets)
    last[:, 5:] = True
    return TrainingBatch(ids, targets, last)


def test_the_loss_is_that_of_the_taught_tokens_alone(tmp_path: Path) -> None:
    untouched = model()
    batch = batch_of(0)
    with torch.no_grad():
        labels = batch.input_ids.masked_fill(~batch.targets, -100)
        expected = untouched(input_ids=batch.input_ids, labels=labels).loss.item()
    seen = []
    settings = replace(SETTINGS, steps=1, warmup=0)
    done = train(model(), draw, settings, tmp_path / "c.pt", lambda *state: seen.append(state))
    assert seen == [(1, 1, f"loss {done.loss:.3f}, right {done.accuracy:.0%}")]
    assert done.loss == pytest.approx(expected, rel=1e-5)


def test_training_learns_and_its_accuracy_is_that_of_the_last_answer(tmp_path: Path) -> None:
    learner = model(width=32)
    done = train(learner, draw, replace(SETTINGS, steps=150), tmp_path / "c.pt")
    assert done.accuracy == 1.0
    assert done.loss < 0.5
    assert not learner.training
    batch = batch_of(3)
    said = learner(input_ids=batch.input_ids[:, :-1]).logits[:, -1].argmax(-1)
    assert torch.equal(said, batch.input_ids[:, -1])


def split(step: int) -> list[TrainingBatch]:
    """The same sequences in parts of unlike size and length."""
    whole = batch_of(step)
    first, rest = (
        TrainingBatch(*(each[rows] for each in vars(whole).values() if each is not None)) for rows in ([0], [1, 2, 3])
    )
    longer = (nn.functional.pad(each, (0, 2)) for each in vars(rest).values() if each is not None)
    return [first, TrainingBatch(*longer)]


def test_a_batch_in_several_parts_counts_as_one(tmp_path: Path) -> None:
    once = replace(SETTINGS, steps=1, warmup=0, clip=1e9)
    whole, parts = model(), model()
    expected = train(whole, draw, once, tmp_path / "whole.pt")
    found = train(parts, split, once, tmp_path / "parts.pt")
    assert (found.loss, found.accuracy) == pytest.approx((expected.loss, expected.accuracy), rel=1e-5)
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-6), name


def test_muon_orthogonalises_the_matrices_of_the_layers_and_leaves_the_rest_to_adamw(tmp_path: Path) -> None:
    before, after = model(width=32), model(width=32)
    settings = replace(SETTINGS, steps=1, warmup=0, weight_decay=0.0, optimizer="muon")
    train(after, draw, settings, tmp_path / "c.pt")
    change = {name: after.state_dict()[name] - weight for name, weight in before.state_dict().items()}
    turned = change["model.layers.0.self_attn.v_proj.weight"]
    strengths = torch.linalg.svdvals(turned)
    assert strengths[0] < 1.5 * strengths[5]
    # AdamW's first step is as large as the rate in every entry, Muon's is not.
    assert turned.abs().std() > 0.2 * turned.abs().mean()
    moved = change["model.embed_tokens.weight"].abs()
    assert moved.median().item() == pytest.approx(settings.lr, rel=1e-2)


def test_what_comes_after_a_step_sees_each_of_them_before_its_checkpoint(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []
    file = tmp_path / "c.pt"
    settings = replace(SETTINGS, steps=3, checkpoint_every=3)
    train(model(), draw, settings, file, after=lambda done: seen.append((done.steps, file.exists())))
    assert seen == [(1, False), (2, False), (3, False)]
    assert file.exists()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("killed_after", [1, 3, 5, 7])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path, killed_after: int, optimizer: str) -> None:
    settings = replace(SETTINGS, optimizer=optimizer)
    whole = model()
    expected = train(whole, draw, settings, tmp_path / "whole.pt")

    def kill(step: int, *_: Any) -> None:
        if step == killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model(), draw, settings, tmp_path / "c.pt", kill)
    (tmp_path / "c.pt.tmp").write_bytes(b"half a checkpoint")
    steps: list[int] = []
    continued = model()
    done = train(continued, draw, settings, tmp_path / "c.pt", lambda step, *_: steps.append(step))
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
        ("weight_decay", -0.1), ("beta2", 1.0), ("warmup", 8), ("warmup", -1), ("optimizer", "sgd"),
    ],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=name):
        replace(SETTINGS, **{name: value})
