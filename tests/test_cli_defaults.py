"""What is not named means the same on the command line and in Python."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import taskpoint as tp
from taskpoint.asking.condition import GRID_CONDITIONS, PAPER_CONDITIONS, Condition, conditions
from taskpoint.cli import main
from taskpoint.compiled import answer_file as generate_module
from taskpoint.compiled import compile as compile_module
from taskpoint.compiled.prompt import CompiledPrompt
from taskpoint.experiments import runner
from taskpoint.experiments.ablate import run as ablate_run
from taskpoint.experiments.ablate.config import AblateConfig
from taskpoint.experiments.bench import run as bench_run
from taskpoint.experiments.bench.config import BenchConfig
from taskpoint.experiments.bench.fitting import fitted
from taskpoint.experiments.bench.subject import Subject
from taskpoint.experiments.heal import run as heal_run
from taskpoint.experiments.heal.config import HealConfig
from taskpoint.experiments.locate import run as locate_run
from taskpoint.experiments.locate.config import LocateConfig
from taskpoint.experiments.lora import run as lora_run
from taskpoint.experiments.lora.config import DEFAULT_TASK, LoraConfig
from taskpoint.experiments.subjects import ModelAndTask
from taskpoint.models import loading, random_weights
from taskpoint.pretrain import lexicon as lexicon_module
from taskpoint.pretrain import translator as translator_module


class _CalledError(Exception):
    """Raised in place of the work."""


def called(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: Callable[[], object]
) -> inspect.BoundArguments:
    """The arguments that a function is called with, its defaults filled in."""
    signature = inspect.signature(getattr(owner, name))
    caught: list[inspect.BoundArguments] = []

    def instead(*args: Any, **kwargs: Any) -> None:
        caught.append(signature.bind(*args, **kwargs))
        raise _CalledError

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, instead)
        with pytest.raises(_CalledError):
            call()
    (bound,) = caught
    bound.apply_defaults()
    return bound


def line(monkeypatch: pytest.MonkeyPatch, *words: str) -> Callable[[], None]:
    monkeypatch.setattr(sys, "argv", ["taskpoint", *words])
    return main


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "plural.safetensors"
    return tp.compile_prompt(tp.load(), tp.task("lexicon:plural"), after=9).save(path)


def test_locate(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = called(monkeypatch, runner, "run", line(monkeypatch, "locate")).arguments["work"]
    written = called(monkeypatch, runner, "run", lambda: tp.locate(tp.load(), tp.task("lexicon"))).arguments["work"]
    assert typed.config == written.config == LocateConfig()
    assert typed.manifest == written.manifest


def test_ablate(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = called(monkeypatch, runner, "run", line(monkeypatch, "ablate")).arguments["work"]
    written = called(monkeypatch, runner, "run", lambda: tp.ablate(tp.load(), tp.task("lexicon"))).arguments["work"]
    assert typed.config == written.config == AblateConfig()
    assert typed.manifest == written.manifest


def test_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = called(monkeypatch, runner, "run", line(monkeypatch, "bench")).arguments["work"]
    written = called(monkeypatch, runner, "run", lambda: tp.bench(tp.load())).arguments["work"]
    assert typed.config == written.config == fitted(Subject.of(tp.load()), BenchConfig())
    assert typed.manifest == written.manifest


def test_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = called(monkeypatch, runner, "run", line(monkeypatch, "heal")).arguments["work"]
    written = called(monkeypatch, runner, "run", lambda: tp.heal(tp.load(), tp.task("lexicon"))).arguments["work"]
    assert typed.config == written.config == HealConfig(after=(0, 2, 4, 6, 8, 10))
    assert typed.manifest == written.manifest


def test_lora(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = called(monkeypatch, runner, "run", line(monkeypatch, "lora")).arguments["work"]
    written = called(monkeypatch, runner, "run", lambda: tp.lora(tp.load(), DEFAULT_TASK)).arguments["work"]
    assert typed.config == written.config == LoraConfig(layers=tuple(range(12)), sizes=(25, 50))
    assert typed.manifest == written.manifest


@pytest.mark.parametrize(
    "config",
    [
        LocateConfig(),
        LocateConfig.of(
            shots=(1, 3),
            seeds=2,
            items=7,
            template="arrow",
            conditions=conditions(["examples", "query"], (False, True)),
            cuts=(3, 9),
            batch_size=5,
            fresh=True,
            max_new_tokens=4,
            controls=False,
        ),
        LocateConfig(conditions=PAPER_CONDITIONS, cuts="bisect"),
        LocateConfig(conditions=GRID_CONDITIONS),
        LocateConfig(conditions=conditions(["examples", "all"], (False, True), "after-query", (0, 2))),
        LocateConfig(conditions=conditions("TTF", True, "before-query", 1)),
        LocateConfig(conditions=(Condition("instruction,examples", True),)),
    ],
)
def test_the_words_of_a_configuration_of_locate_give_it_again(
    monkeypatch: pytest.MonkeyPatch, config: LocateConfig
) -> None:
    assert called(monkeypatch, locate_run, "start", line(monkeypatch, "locate", *config.words())).args[1] == config


@pytest.mark.parametrize(
    "config",
    [
        AblateConfig(),
        AblateConfig.of(
            shots=(1, 3),
            seeds=2,
            items=7,
            template="arrow",
            instruction=True,
            critical=0.1,
            batch_size=5,
            fresh=True,
            max_new_tokens=4,
        ),
        AblateConfig.of(instruction=False),
    ],
)
def test_the_words_of_a_configuration_of_ablate_give_it_again(
    monkeypatch: pytest.MonkeyPatch, config: AblateConfig
) -> None:
    assert called(monkeypatch, ablate_run, "start", line(monkeypatch, "ablate", *config.words())).args[1] == config


@pytest.mark.parametrize(
    "config",
    [
        BenchConfig(),
        BenchConfig(cuts=(4, "N/2", "3N/4", "N"), context=(8, 12), query=3, batch=(1, 2, 4), new=2, rounds=1),
    ],
)
def test_the_words_of_a_configuration_of_bench_give_it_again(
    monkeypatch: pytest.MonkeyPatch, config: BenchConfig
) -> None:
    assert called(monkeypatch, bench_run, "start", line(monkeypatch, "bench", *config.words())).args[1] == config


@pytest.mark.parametrize(
    "config",
    [
        HealConfig(),
        HealConfig(after="all", layers="below", keep=0.5, references=True, save_adapters=False),
        HealConfig.of(after=[3, 1], hide="query", instruction=True, lr=1e-3, alpha=3.5, template="arrow", fresh=True),
    ],
)
def test_the_words_of_a_configuration_of_heal_give_it_again(
    monkeypatch: pytest.MonkeyPatch, config: HealConfig
) -> None:
    assert called(monkeypatch, heal_run, "start", line(monkeypatch, "heal", *config.words())).args[1] == config


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(),
        LoraConfig.of(variant="released", layers=(0, 7), sizes=(8, 16), adapters="drop"),
        LoraConfig.of(variant="neurips", steps=9, alpha=16, lr=3e-3, instruction=True, test_shots=2, template="arrow"),
        LoraConfig.of(variant="v1", epochs=2, patience=0, loss="sequence", memory=0, max_new_tokens=3),
    ],
)
def test_the_words_of_a_configuration_of_lora_give_it_again(
    monkeypatch: pytest.MonkeyPatch, config: LoraConfig
) -> None:
    assert called(monkeypatch, lora_run, "start", line(monkeypatch, "lora", *config.words())).args[1] == config


def test_the_words_of_a_subject_give_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ModelAndTask("lexicon", "lexicon:plural", "Give the plural.", "chrf:lc", "float64", "cpu", "main", "DIR")

    def load(self: ModelAndTask) -> None:
        assert self == asked
        raise _CalledError

    monkeypatch.setattr(ModelAndTask, "load", load)
    with pytest.raises(_CalledError):
        line(monkeypatch, "locate", *asked.words())()


@pytest.mark.parametrize("words", [(verb, "lexicon") for verb in ("locate", "bench", "heal", "lora")])
def test_a_model_is_loaded_as_the_command_line_says(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    more = ["--dtype", "float64", "--device", "meta", "--revision", "other", "--adapter", "DIR"]
    loaded = called(monkeypatch, loading, "load", line(monkeypatch, *words, *more)).arguments
    assert list(loaded.values())[:1] == ["lexicon"]
    assert {name: loaded[name] for name in ("dtype", "device", "revision", "adapter")} == {
        "dtype": "float64",
        "device": "meta",
        "revision": "other",
        "adapter": "DIR",
    }


def test_a_shape_is_made_as_the_command_line_says(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["bench", "--shape", "llama:2x16", "--dtype", "float64", "--device", "meta"]
    made = called(monkeypatch, random_weights, "random_decoder", line(monkeypatch, *words)).arguments
    assert list(made.values())[:1] == ["llama:2x16"]
    assert (made["dtype"], made["device"]) == ("float64", "meta")


def test_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["compile", "--task", "lexicon:plural", "--after", "9", "--out", "never.safetensors"]
    typed = called(monkeypatch, compile_module, "compile_prompt", line(monkeypatch, *words)).arguments
    lm, task = tp.load(), tp.task("lexicon:plural")
    signature = inspect.signature(tp.compile_prompt)
    written = signature.bind(lm, task, after=9)
    written.apply_defaults()
    objects = ("lm", "task")
    assert {k: v for k, v in typed.items() if k not in objects} == {
        k: v for k, v in written.arguments.items() if k not in objects
    }


def test_an_instruction_is_written_only_where_it_is_asked_for() -> None:
    for function in (tp.locate, tp.compile_prompt):
        assert inspect.signature(function).parameters["instruction"].default is False


def test_generate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiled: Path) -> None:
    lm = tp.load()
    prompt = tp.load_prompt(compiled, lm)
    ask = ["generate", "--prompt", str(compiled)]
    typed = called(monkeypatch, CompiledPrompt, "generate", line(monkeypatch, *ask, "--query", "cat")).arguments
    written = called(monkeypatch, CompiledPrompt, "generate", lambda: prompt.generate(["cat"])).arguments
    assert {k: v for k, v in typed.items() if k != "self"} == {k: v for k, v in written.items() if k != "self"}
    queries = tmp_path / "queries.jsonl"
    queries.write_text('"cat"\n')
    typed = called(
        monkeypatch, generate_module, "generate_file", line(monkeypatch, *ask, "--queries", str(queries))
    ).arguments
    defaults = inspect.signature(generate_module.generate_file).bind(prompt, queries)
    defaults.apply_defaults()
    for name in ("out", "max_new_tokens", "batch_size"):
        assert typed[name] == defaults.arguments[name]


@pytest.mark.parametrize(
    "words",
    [
        ["locate"],
        ["bench"],
        ["heal"],
        ["lora"],
        ["compile", "--task", "lexicon:plural", "--after", "9", "--out", "never.safetensors"],
        ["models", "--check", "lexicon"],
    ],
    ids=lambda words: words[0],
)
def test_models_are_loaded_as_load_does(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    typed = called(monkeypatch, loading, "load", line(monkeypatch, *words)).arguments
    written = inspect.signature(loading.load).bind()
    written.apply_defaults()
    assert typed.pop("name") in (None, "lexicon"), "the model that load takes by itself"
    assert {"name": None, **typed} == written.arguments


def test_pretrain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    typed = called(monkeypatch, lexicon_module, "run", line(monkeypatch, "pretrain", "lexicon", "--out", out))
    assert typed.arguments["config"] == lexicon_module.PretrainLexicon(Path(out))
    words = ["pretrain", "translator", "--data", str(tmp_path), "--out", out]
    typed = called(monkeypatch, translator_module, "run", line(monkeypatch, *words))
    assert typed.arguments["config"] == translator_module.PretrainTranslator(Path(out), tmp_path)
