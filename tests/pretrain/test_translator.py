from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import taskpoint.pretrain.translator as translator_module
import taskpoint.training.history as history_module
from taskpoint.errors import DataError, RunFolderError, SettingError, UnknownNameError
from taskpoint.pretrain.translator import SIZES, PretrainTranslator, run, sized
from taskpoint.pretrain.translator_result import TranslatorResult
from taskpoint.tasks.tatoeba import corpora

DIRECTIONS = {f"eng-{code}" for code in ("fra", "deu", "spa", "nld")} | {
    f"{code}-eng" for code in ("fra", "deu", "spa", "nld")
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer forms are measured."""
    monkeypatch.setattr(translator_module, "_SHOTS", (1,))


def test_the_model_card_tells_what_was_measured_and_no_more(tiny_translator: PretrainTranslator) -> None:
    told: list[tuple[int, int, str]] = []
    result = run(tiny_translator, lambda *state: told.append(state))
    assert told[-16:] == [(form, 16, "measuring") for form in range(1, 17)]
    assert [state[:2] for state in told[:-16]] == [(step, 6) for step in range(1, 7)]
    assert {(each.task, each.shots, each.instruction, each.direction, each.items) for each in result.scores} == {
        (task, shots, instruction, direction, 1)
        for task in ("tatoeba", "everyday")
        for shots in (0, 1, 3, 5)
        for instruction in (False, True)
        for direction in DIRECTIONS
    }
    assert {(each.task, each.direction) for each in result.zero_shot} == {
        (task, direction) for task in ("tatoeba", "everyday") for direction in DIRECTIONS
    }
    card = (result.folder / "README.md").read_text(encoding="utf-8")
    for title, metric, instruction in (
        ("### BLEU without instruction", "bleu", False),
        ("### BLEU with the instruction", "bleu", True),
        ("### chrF without instruction", "chrf", False),
        ("### chrF with the instruction", "chrf", True),
    ):
        shown = table(card, title)
        assert shown["direction"] == [f"{task}, {shots}" for task in ("tatoeba", "everyday") for shots in (0, 1, 3, 5)]
        for direction in DIRECTIONS:
            assert shown[direction] == [
                f"{getattr(each, metric):.1f}"
                for task in ("tatoeba", "everyday")
                for shots in (0, 1, 3, 5)
                for each in result.scores
                if (each.task, each.direction, each.shots, each.instruction) == (task, direction, shots, instruction)
            ]
    bare = table(card, "### When nothing tells the task")
    for each in result.zero_shot:
        cells = [float(cell.rstrip("%")) for cell in bare[f"{each.task} {each.direction}"]]
        assert sum(cells[:-1]) == pytest.approx(100)
        assert cells[-1] == pytest.approx(100 * each.repeated)
    data = table(card, "## Data and licence")
    for corpus, name in zip(corpora(tiny_translator.data), ("French", "German", "Spanish", "Dutch"), strict=True):
        assert data[name] == [str(len(corpus.train)), str(len(corpus.test)), "0"]
    assert "CC BY 2.0 FR, selected by\nwww.manythings.org/anki" in card
    assert f"{result.loss:.3f}" in card
    assert str(tiny_translator.out.parent) not in card
    assert str(tiny_translator.data) not in card
    assert "{" not in card
    assert "BLEU on everyday with instruction at 0, 1, 3, 5 shots" in str(result)


def table(card: str, title: str) -> dict[str, list[str]]:
    """The cells of the first table after a title, by the first of their row."""
    lines = card.split(f"{title}\n")[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        first, *cells = line.strip("| ").split(" | ")
        rows[first] = cells
    return rows


@pytest.mark.usefixtures("quick")
def test_a_run_killed_anywhere_ends_with_the_same_file(
    tiny_translator: PretrainTranslator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tiny_translator)
    parts = replace(tiny_translator, out=tmp_path / "parts")
    for killed_after in (1, 3, 4, 6):

        def kill(step: int, *_: Any, last: int = killed_after) -> None:
            if step >= last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(parts, kill)

    notes: set[str] = set()

    def kill_measuring(done: int, _: int, note: str) -> None:
        notes.add(note)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(parts, kill_measuring)
    assert not (parts.out / "model").exists()
    joined = run(parts, lambda _, __, note: notes.add(note))
    assert notes == {"measuring"}, "nothing is trained again"
    assert replace(joined, seconds=0.0, folder=Path()) == replace(whole, seconds=0.0, folder=Path())
    for name in ("model.safetensors", "tokenizer.json", "config.json", "generation_config.json"):
        assert (joined.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    for folder in ("step-000001", "step-000004", "step-000006"):
        first, second = (out / "snapshots" / folder / "model.safetensors" for out in (tiny_translator.out, parts.out))
        assert first.read_bytes() == second.read_bytes()
    logs = [
        [json.loads(line) | {"seconds": 0} for line in (out / "log.jsonl").read_text().splitlines()]
        for out in (tiny_translator.out, parts.out)
    ]
    assert logs[0] == logs[1]
    assert [record["step"] for record in logs[0]] == [1, 2, 3, 4, 6]
    assert {file.name for file in parts.out.iterdir()} == {
        ".lock", "checkpoint.pt", "config.json", "log.jsonl", "model", "result.json", "rows", "snapshots",
    }  # fmt: skip


@pytest.mark.usefixtures("quick")
def test_a_run_killed_while_a_snapshot_is_scored_goes_on(
    tiny_translator: PretrainTranslator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_SCORED_FROM", 4)
    monkeypatch.setattr(translator_module, "_LOGGED_ITEMS", 1)
    real = translator_module.translation_scores

    def kill(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(translator_module, "translation_scores", kill)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_translator)
    monkeypatch.setattr(translator_module, "translation_scores", real)
    result = run(tiny_translator)
    assert result.steps == 6
    log = [json.loads(line) for line in (tiny_translator.out / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log if "bleu" in record] == [4, 6]
    assert all(0 <= record["bleu"] <= 100 for record in log if "bleu" in record)


@pytest.mark.usefixtures("quick")
def test_what_is_shipped_opens_in_float32_and_is_what_was_measured(tiny_translator: PretrainTranslator) -> None:
    result = run(tiny_translator)
    stored = load_file(result.folder / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    assert result.parameters == sum(weight.numel() for weight in stored.values())
    model: Any = AutoModelForCausalLM.from_pretrained(result.folder)
    assert model.dtype == torch.float32
    assert model.config.max_position_embeddings == tiny_translator.positions


@pytest.mark.usefixtures("quick")
def test_a_finished_run_is_given_back_without_training(tiny_translator: PretrainTranslator) -> None:
    first = run(tiny_translator)
    steps: list[int] = []
    assert run(tiny_translator, lambda step, *_: steps.append(step)) == first
    assert TranslatorResult.read(tiny_translator.out) == first
    assert steps == []
    (tiny_translator.out / "result.json").write_text('{"folder": "model"}')
    with pytest.raises(RunFolderError, match=r"result\.json"):
        run(tiny_translator)


def test_the_folder_names_all_that_decides_the_model_and_refuses_another(
    tiny_translator: PretrainTranslator, sentences: Path, tmp_path: Path
) -> None:
    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny_translator, kill)
    held = json.loads((tiny_translator.out / "config.json").read_text())["config"]
    free = {"out", "device", "checkpoint_every"}
    assert set(held) == {field.name for field in fields(tiny_translator)} - free
    assert held["data"] != str(sentences)
    with pytest.raises(RunFolderError, match="seed") as refused:
        run(replace(tiny_translator, seed=1), kill)
    assert "\n" not in str(refused.value)
    other = tmp_path / "other"
    other.mkdir()
    for file in sentences.iterdir():
        (other / file.name).write_bytes((sentences / "fra.tsv.gz").read_bytes())
    with pytest.raises(RunFolderError, match="data"):
        run(replace(tiny_translator, data=other), kill)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("pairs", 0), ("tokens", 0), ("layers", 0), ("width", 18), ("heads", 0), ("vocab", 258),
        ("lr", -1.0), ("seed", -1), ("warmup_share", 1.0), ("device", "cuda:77"), ("device", "nonsense"),
        ("measured", 0), ("checkpoint_every", 0), ("optimizer", "sgd"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_refused_before_anything_is_written(
    tiny_translator: PretrainTranslator, name: str, value: object
) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(SettingError, match=name) as refused:
        replace(tiny_translator, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lengths", ()),
        ("lengths", (9,)),
        ("repeat_share", 2.0),
        ("instruction_share", -1.0),
        ("gap_share", 1.5),
        ("longest_gap", 0),
    ],
)
def test_a_mixture_that_cannot_be_drawn_is_refused_before_anything_is_written(
    tiny_translator: PretrainTranslator, name: str, value: object
) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(SettingError, match=name):
        run(replace(tiny_translator, **changes))
    assert not tiny_translator.out.exists()


def test_a_folder_without_sentences_is_refused_and_its_files_are_named(
    tiny_translator: PretrainTranslator, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"fra\.tsv\.gz"):
        run(replace(tiny_translator, data=tmp_path / "nowhere"))
    assert not tiny_translator.out.exists()


def test_every_size_is_a_sound_recipe(tiny_translator: PretrainTranslator) -> None:
    bundled = PretrainTranslator(tiny_translator.out, tiny_translator.data)
    assert replace(bundled, **sized("bundled")) == bundled
    large = replace(bundled, **sized("large"))  # type: ignore[arg-type]
    assert large.layers * large.width > bundled.layers * bundled.width
    with pytest.raises(UnknownNameError, match="larg"):
        sized("larg")
    assert set(SIZES) == {"bundled", "large"}
