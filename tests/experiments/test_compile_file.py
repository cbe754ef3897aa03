"""The file of a compiled prompt gives the same prompt back, or is refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors import safe_open
from safetensors.torch import save_file

import taskpoint as tp
from taskpoint.compiled import compile as compiling
from taskpoint.compiled import file as compiled_file
from taskpoint.compiled.prompt import CompiledPrompt
from taskpoint.errors import DataError, ModelError, TaskpointError, TokenizerError
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts import template as templates
from taskpoint.results import atomic

TASK = "lexicon:plural"
QUERIES = ["cat", "house of cards", "dog"]


@pytest.fixture(scope="module")
def prompt(lm: LanguageModel) -> CompiledPrompt:
    return tp.compile_prompt(lm, tp.task(TASK), shots=3, after=6, hide="examples-answers", instruction=False)


@pytest.fixture(scope="module")
def saved(prompt: CompiledPrompt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prompt.save(tmp_path_factory.mktemp("compiled") / "plural.safetensors")


def refusal(error: type[TaskpointError], path: Path, lm: LanguageModel) -> str:
    with pytest.raises(error) as refused:
        tp.load_prompt(path, lm)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_prompt_comes_back_bit_for_bit_and_answers_the_same(prompt: CompiledPrompt, saved: Path) -> None:
    again = tp.load_prompt(saved, tp.load())
    assert again.recipe == prompt.recipe
    assert again.file.origin == prompt.file.origin
    assert again.file.fingerprint == prompt.file.fingerprint
    for name in ("tokens", "drop"):
        assert torch.equal(getattr(again.context, name), getattr(prompt.context, name))
    for name in ("keys", "values"):
        pairs = zip(getattr(again.context, name), getattr(prompt.context, name), strict=True)
        assert all(torch.equal(new, old) and new.dtype == old.dtype for new, old in pairs)
    assert again.generate(QUERIES) == prompt.generate(QUERIES)


def test_a_prompt_in_half_precision_comes_back_too(tmp_path: Path) -> None:
    lm = tp.load(dtype="bfloat16")
    prompt = tp.compile_prompt(lm, tp.task(TASK), shots=2, after=0)
    again = tp.load_prompt(prompt.save(tmp_path / "half.safetensors"), lm)
    assert again.context.keys[0].dtype == torch.bfloat16
    assert again.generate(QUERIES) == prompt.generate(QUERIES)


def test_a_prompt_can_be_loaded_for_the_same_model_with_its_weights_put_away(
    saved: Path, prompt: CompiledPrompt
) -> None:
    from accelerate import cpu_offload

    lm = tp.load()
    cpu_offload(lm.model, execution_device=torch.device("cpu"))
    assert tp.load_prompt(saved, lm).generate(QUERIES) == prompt.generate(QUERIES)


def tuned(lm: LanguageModel) -> LanguageModel:
    """One training step of ordinary size on one matrix."""
    weight = lm.model.get_submodule("model.layers.2.mlp.down_proj").weight
    weight.data += 1e-5 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return lm


def replaced(lm: LanguageModel) -> LanguageModel:
    """The same weights, but a layer that computes something else."""
    lm.model.get_submodule("model.layers.1.mlp").register_forward_hook(lambda module, args, output: 1.5 * output)
    return lm


def other_positions(lm: LanguageModel) -> LanguageModel:
    lm.model.config.rope_parameters["rope_theta"] = 5000.0
    return lm


def gpt2(lm: LanguageModel) -> LanguageModel:
    model = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=2800, n_embd=16, n_layer=12, n_head=2))
    return LanguageModel(model.eval(), lm.tokenizer, "small")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (tuned, "1 of its 111 weights differ, such as model.layers.2.mlp.down_proj.weight"),
        (replaced, "other keys and values"),
        (other_positions, "rope_parameters"),
        (gpt2, "it is a gpt2, not a llama"),
        (lambda lm: tp.load(dtype="bfloat16"), "loaded in bfloat16, not in float32"),
    ],
)
def test_another_model_is_refused(saved: Path, change: Callable[[LanguageModel], LanguageModel], expected: str) -> None:
    message = refusal(ModelError, saved, change(tp.load()))
    assert expected in message
    assert "compile" in message


def test_a_model_that_is_tuned_after_compiling_does_not_pass_its_name_to_the_file(tmp_path: Path) -> None:
    lm = tp.load()
    prompt = tp.compile_prompt(lm, tp.task(TASK), shots=1, after=6)
    tuned(lm)
    refusal(ModelError, prompt.save(tmp_path / "stale.safetensors"), lm)


def test_another_tokenizer_is_refused(saved: Path) -> None:
    lm = tp.load()
    lm.tokenizer.add_tokens(["plurals"])
    assert "another tokenizer" in refusal(TokenizerError, saved, lm)


def test_what_a_call_left_in_the_tokenizer_does_not_count(saved: Path, prompt: CompiledPrompt) -> None:
    lm = tp.load()
    lm.tokenizer(["a", "b c d"], padding=True, truncation=True, max_length=2)
    assert tp.load_prompt(saved, lm).generate(QUERIES) == prompt.generate(QUERIES)


def test_a_template_that_has_changed_since_is_refused(
    saved: Path, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = templates.DelimiterTemplate(
        "qa", "\n", question="Q: ", answer_mark="\nA:", answer_gap=" ", separator="\n\n"
    )
    monkeypatch.setattr(templates, "TEMPLATES", {"qa": changed})
    assert "template 'qa'" in refusal(TokenizerError, saved, lm)


def test_another_major_version_of_transformers_is_refused_and_a_minor_one_is_not(
    saved: Path, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    major = hf.__version__.split(".")[0]
    monkeypatch.setattr(compiling, "library_versions", lambda: {"transformers": f"{major}.999.0"})
    tp.load_prompt(saved, lm)
    monkeypatch.setattr(compiling, "library_versions", lambda: {"transformers": f"{int(major) + 1}.0.0"})
    assert f"transformers {hf.__version__}" in refusal(DataError, saved, lm)


def test_another_version_of_the_format_is_refused(
    prompt: CompiledPrompt, lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_file, "FORMAT_VERSION", 2)
    path = prompt.save(tmp_path / "new.safetensors")
    monkeypatch.undo()
    assert "format version 2, expected 1" in refusal(DataError, path, lm)


def test_files_that_are_no_compiled_prompts_are_refused(lm: LanguageModel, tmp_path: Path) -> None:
    weights, text = tmp_path / "model.safetensors", tmp_path / "notes.txt"
    save_file({"tokens": torch.zeros(3)}, weights)
    text.write_text("a few notes")
    assert "no compiled prompt, though it holds tensors" in refusal(DataError, weights, lm)
    assert "no compiled prompt" in refusal(DataError, text, lm)
    assert "is a directory" in refusal(DataError, tmp_path, lm)
    assert "no file" in refusal(DataError, tmp_path / "absent.safetensors", lm)


def test_a_pipe_is_no_compiled_prompt_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = "import sys; from pathlib import Path; from taskpoint.compiled.mark import is_compiled as known; "
    code += "print(known(Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(tmp_path / "pipe")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout == "False\n"


def test_nothing_but_a_compiled_prompt_is_written_over(
    prompt: CompiledPrompt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(3)}, precious)
    before = precious.read_bytes()
    for path in (precious, tmp_path):
        with pytest.raises(DataError, match="no compiled prompt"):
            prompt.save(path)
    assert precious.read_bytes() == before
    own = prompt.save(tmp_path / "deep" / "own.safetensors")
    whole = own.read_bytes()
    assert prompt.save(own).read_bytes() == whole
    monkeypatch.setattr(atomic.os, "replace", _full_disk)
    with pytest.raises(DataError, match="No space left"):
        prompt.save(own)
    assert own.read_bytes() == whole
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def _full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_with_any_byte_changed_or_missing_is_refused(saved: Path, lm: LanguageModel, tmp_path: Path) -> None:
    whole, pick = saved.read_bytes(), random.Random(0)
    header = int.from_bytes(whole[:8], "little") + 8
    path = tmp_path / "damaged.safetensors"
    places = [
        *range(8),
        *pick.sample(range(8, header), 60),
        *pick.sample(range(header, len(whole)), 20),
        len(whole) - 1,
    ]
    for place in places:
        if whole[place : place + 1] == b" ":  # blanks at the end of the header mean nothing
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refusal(TaskpointError, path, lm)
    for length in (0, 7, 8, header - 1, header, header + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(DataError, path, lm)


def test_the_file_says_what_it_is_in_plain_json_and_holds_no_code(saved: Path) -> None:
    with safe_open(saved, framework="pt") as opened:
        said: dict[str, Any] = json.loads(opened.metadata()["taskpoint_compiled_prompt"])
        assert set(opened.keys()) == {
            "tokens",
            "drop",
            *(f"{kind}.{n}" for kind in ("keys", "values") for n in range(12)),
        }
    assert said["recipe"] | {"examples": [], "probe": ""} == {
        "task": TASK, "instruction": None, "examples": [], "template": "qa", "shots": 3, "seed": 0,
        "hide": "examples-answers", "after": 6, "probe": "",
    }  # fmt: skip
    assert len(said["recipe"]["examples"]) == 3
    assert said["origin"]["model"] == "lexicon"
    assert set(said["origin"]["versions"]) >= {"taskpoint", "torch", "transformers"}
