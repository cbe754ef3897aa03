"""A model that computes NaN or infinity is refused in one line before anything is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import taskpoint as tp
from taskpoint.asking import finite_on_prompts as finite
from taskpoint.cli import main
from taskpoint.compiled.answer_file import generate_file
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.template import template
from taskpoint.results.folder import RunFolder

TASK = "lexicon:plural"
NAMED: dict[str, Any] = {"shots": 2, "seeds": 1, "items": 12, "cuts": [6], "batch_size": 4}
SMALL = ["--task", TASK, "--shots", "2", "--seeds", "1", "--items", "12", "--cuts", "6"]


def nan_in_layer_three(model: Any) -> None:
    model.model.layers[3].mlp.up_proj.weight.data.fill_(float("nan"))


def infinity_in_the_embeddings(model: Any) -> None:
    model.model.embed_tokens.weight.data[:, 5] = float("inf")


def nan_in_the_head(model: Any) -> None:
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.data.clone())
    model.lm_head.weight.data[7] = float("nan")
    model.config.tie_word_embeddings = False


def large_weights(model: Any) -> None:
    """Harmless in float32: the norm behind layer 2 makes everything small again."""
    model.model.layers[2].mlp.up_proj.weight.data.fill_(1000)
    model.model.layers[2].mlp.down_proj.weight.data.fill_(1000)


def folder_with(break_it: Callable[[Any], None], folder: Path) -> str:
    """The bundled model on disk, broken."""
    lm = tp.load()
    break_it(lm.model)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return str(folder)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


BROKEN = [
    pytest.param(nan_in_layer_three, "float32", "NaN, first in layer 3 (of 0 to 11)", "up_proj.weight", id="layer"),
    pytest.param(infinity_in_the_embeddings, "float32", "infinity, first in the embeddings", "embed", id="embeddings"),
    pytest.param(nan_in_the_head, "float32", "NaN, first in the head", "lm_head.weight", id="head"),
    pytest.param(large_weights, "float16", "first in layer 2", "dtype 'bfloat16' or 'float32'", id="half"),
]


@pytest.mark.parametrize(("break_it", "dtype", "place", "mend"), BROKEN)
def test_locate_and_compile_refuse_it_from_python_and_leave_nothing(
    tmp_path: Path, break_it: Callable[[Any], None], dtype: str, place: str, mend: str
) -> None:
    lm = tp.load(folder_with(break_it, tmp_path / "model"), dtype=dtype)
    (tmp_path / "work").mkdir()
    for ask in (
        lambda: tp.locate(lm, tp.task(TASK), out=tmp_path / "work" / "run", **NAMED),
        lambda: tp.compile_prompt(lm, tp.task(TASK), shots=2, after=6),
        lambda: tp.bench(lm, context=8, batch=2, rounds=1, new=2, out=tmp_path / "work" / "bench"),
    ):
        with pytest.raises(tp.ModelError) as told:
            ask()
        assert place in str(told.value)
        assert mend in str(told.value)
        assert "\n" not in str(told.value)
    assert files(tmp_path / "work") == []


@pytest.mark.parametrize(
    "words",
    [
        ["locate", "{model}", *SMALL],
        ["locate", "{model}", *SMALL, "--out", "run"],
        ["compile", "--model", "{model}", "--task", TASK, "--after", "6", "--out", "new.safetensors"],
        ["bench", "{model}", "--context", "8", "--batch", "2", "--rounds", "1"],
        ["models", "--check", "{model}"],
    ],
)
def test_the_command_line_refuses_it_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    model = folder_with(nan_in_layer_three, tmp_path / "model")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "argv", ["taskpoint", *(word.format(model=model) for word in words)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    own = [line for line in err.strip().splitlines() if not line.startswith("Loading weights")]  # the library's bar
    assert len(own) == 1
    assert "layer 3" in own[0]
    assert files(tmp_path / "work") == []


def test_in_the_precision_that_is_named_the_same_folder_gives_a_report(tmp_path: Path) -> None:
    model, out = folder_with(large_weights, tmp_path / "model"), tmp_path / "run"
    with pytest.raises(tp.ModelError, match="float32"):
        tp.locate(tp.load(model, dtype="float16"), tp.task(TASK), out=out, **NAMED)
    assert len(tp.locate(tp.load(model, dtype="float32"), tp.task(TASK), out=out, **NAMED).rows)


def with_one_bad_word(place: int) -> LanguageModel:
    """The bundled model, with NaN for a token that only one of the test items has."""
    lm, task, form = tp.load(), tp.task(TASK), template("qa")
    contents = [task.content(item, 2, 0, instruction=False) for item in task.items(12)]
    tokens = [set(prompt.ids.tolist()) for prompt in encode_many(lm.tokenizer, form, contents)]
    own = tokens[place] - set().union(*(each for other, each in enumerate(tokens) if other != place))
    model: Any = lm.model
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.data.clone())
    model.get_input_embeddings().weight.data[sorted(own)] = float("nan")
    return lm


def test_a_later_prompt_is_refused_before_its_part_is_written(tmp_path: Path) -> None:
    lm = with_one_bad_word(place=9)
    with pytest.raises(tp.ModelError, match="NaN, first in the embeddings"):
        tp.locate(lm, tp.task(TASK), out=tmp_path, **NAMED, controls=False)
    rows = RunFolder.read(tmp_path).frame()
    bad = tp.task(TASK).items(12)[9].id
    assert len(rows) == 8 * 3, "the two batches before it"
    assert bad not in set(rows["item"])
    assert rows["logprob"].notna().all()


def test_where_the_first_part_is_refused_another_run_may_have_the_folder(tmp_path: Path) -> None:
    named = {**NAMED, "batch_size": 12}
    with pytest.raises(tp.ModelError, match="embeddings"):
        tp.locate(with_one_bad_word(place=9), tp.task(TASK), out=tmp_path, **named)
    assert not (tmp_path / "config.json").exists()
    assert len(tp.locate(tp.load(), tp.task(TASK), out=tmp_path, **{**named, "batch_size": 4}).rows)


def test_compiled_prompts_answer_no_query_with_nan(tmp_path: Path) -> None:
    lm = with_one_bad_word(place=9)
    bad, good = (tp.task(TASK).items(12)[place].input for place in (9, 3))
    prompt = tp.compile_prompt(lm, tp.task(TASK), shots=2, after=6)
    assert prompt.generate([good])
    with pytest.raises(tp.ModelError, match="first in the embeddings"):
        prompt.generate([good, bad])
    (tmp_path / "queries.jsonl").write_text(f'"{bad}"\n')
    with pytest.raises(tp.ModelError, match="first in the embeddings"):
        generate_file(prompt, tmp_path / "queries.jsonl", tmp_path / "answers.jsonl")
    assert files(tmp_path) == ["queries.jsonl"]


def test_a_sound_model_pays_one_short_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    monkeypatch.setattr(finite, "check_finite", lambda model, ids, mask: rows.append(len(ids)))
    tp.locate(tp.load(), tp.task(TASK), **{**NAMED, "batch_size": 12})
    assert rows == [8]
