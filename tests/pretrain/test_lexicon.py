from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.pretrain.lexicon import PretrainLexicon, run
from taskpoint.tasks.lexicon import subtasks


def test_a_run_leaves_a_folder_that_transformers_opens_in_float32(tiny: PretrainLexicon) -> None:
    told: list[tuple[int, int, str]] = []
    result = run(tiny, lambda *state: told.append(state))
    trained = told[:6]
    assert [state[:2] for state in trained] == [(step, 6) for step in range(1, 7)]
    notes = [re.fullmatch(r"loss (\d+\.\d{3}), right (\d+)%", note) for _, _, note in trained]
    assert all(note is not None and float(note[1]) > 0 and 0 <= int(note[2]) <= 100 for note in notes)
    assert result.steps == 6
    assert trained[-1][2].startswith(f"loss {result.loss:.3f}, ")
    assert told[6:] == [(form, 8, "measuring") for form in range(1, 9)]
    stored = load_file(result.folder / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    assert "lm_head.weight" not in stored
    assert result.parameters == sum(weight.numel() for weight in stored.values())
    model: Any = AutoModelForCausalLM.from_pretrained(result.folder)
    assert model.dtype == torch.float32
    assert torch.equal(model.lm_head.weight, stored["model.embed_tokens.weight"].float())
    tokenizer = AutoTokenizer.from_pretrained(result.folder)
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize("\n"))[0] in model.generation_config.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id == model.config.pad_token_id
    assert tokenizer.padding_side == "left"


def test_the_model_card_tells_what_was_measured_and_no_more(tiny: PretrainLexicon) -> None:
    result = run(tiny)
    card = (result.folder / "README.md").read_text(encoding="utf-8")
    forms = {(each.shots, each.instruction) for each in result.accuracies}
    assert forms == {(shots, instruction) for shots in (0, 1, 3, 5) for instruction in (False, True)}
    assert {each.subtask for each in result.accuracies} == set(subtasks())
    for name in subtasks():
        [line] = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        cells = [float(cell) for cell in line.strip("| ").split(" | ")[1:]]
        scores = {(each.shots, each.instruction): each.mean for each in result.accuracies if each.subtask == name}
        assert cells == [scores[shots, instructed] for instructed in (False, True) for shots in (0, 1, 3, 5)]
    assert "Every pair was seen in training" in card
    assert str(tiny.out) not in card
    assert "exact match" in str(result)


def test_a_run_killed_anywhere_ends_with_the_same_file(tiny: PretrainLexicon, tmp_path: Path) -> None:
    whole = run(tiny)
    parts = replace(tiny, out=tmp_path / "parts")
    for killed_after in (1, 3, 4, 6):

        def kill(step: int, *_: Any, last: int = killed_after) -> None:
            if step >= last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(parts, kill)

    def kill_measuring(_: int, __: int, note: str) -> None:
        assert note == "measuring"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(parts, kill_measuring)
    assert not (parts.out / "model").exists()
    joined = run(parts)
    assert (joined.steps, joined.loss, joined.accuracies) == (whole.steps, whole.loss, whole.accuracies)
    for name in ("model.safetensors", "tokenizer.json", "config.json", "generation_config.json"):
        assert (joined.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_finished_run_is_given_back_without_training(tiny: PretrainLexicon) -> None:
    first = run(tiny)
    steps: list[int] = []
    assert run(tiny, lambda step, *_: steps.append(step)) == first
    assert steps == []
    (tiny.out / "result.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"result\.json"):
        run(tiny)


def test_another_configuration_is_refused_and_the_setting_named(tiny: PretrainLexicon) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny, _kill)
    with pytest.raises(RunFolderError, match="seed") as refused:
        run(replace(tiny, seed=1))
    assert "\n" not in str(refused.value)
    assert run(replace(tiny, checkpoint_every=3)).steps == 6


def _kill(*_: float) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("batch", 0), ("shots", 200), ("instruction_share", -0.5), ("layers", 0), ("width", 20),
        ("heads", 0), ("vocab", 258), ("lr", -1.0), ("seed", -1), ("warmup_share", 1.0), ("device", "cuda:77"),
        ("device", "nonsense"), ("measured", 0), ("checkpoint_every", 0),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_refused_before_anything_is_written(
    tiny: PretrainLexicon, name: str, value: object
) -> None:
    changes: dict[str, Any] = {"heads": 3, name: value} if name == "width" else {name: value}
    with pytest.raises(SettingError, match=name) as refused:
        replace(tiny, **changes)
    assert "\n" not in str(refused.value)
    assert not tiny.out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sets no limit to the size of files")
# Too little for a config, for the weights, for the tokenizer.
@pytest.mark.parametrize("most", [0, 2_000, 40_000])
def test_a_model_for_which_the_disk_has_no_room_is_one_line_and_leaves_nothing_of_it(
    tiny: PretrainLexicon, most: int
) -> None:
    import resource

    tiny = replace(tiny, width=4, mlp=4, vocab=2_000)  # then the tokenizer's file is the largest
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(done: int, *_: float) -> None:
        if done == tiny.steps:  # its last checkpoint had room
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))

    try:
        with pytest.raises(RunFolderError, match="cannot be written") as told:
            run(tiny, full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(told.value)
    assert not list(tiny.out.glob("model*"))
    assert run(tiny).steps == tiny.steps
