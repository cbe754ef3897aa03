"""`taskpoint pretrain` as a user meets it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import taskpoint.pretrain.translator as translator_module
from taskpoint.cli import main
from taskpoint.pretrain.translations import TranslationScore
from taskpoint.pretrain.translator import PretrainTranslator
from taskpoint.pretrain.translator_result import TranslatorResult


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["taskpoint", "pretrain", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["translator"], "--data"),
        (["translator", "--data", "{empty}"], "fra.tsv.gz"),
        (["translator", "--data", "{empty}/none"], "nld.tsv.gz"),
        (["translator", "--data", "{empty}", "--size", "larg"], "Did you mean 'large'"),
        (["translator", "--data", "{empty}", "--steps", "0"], "steps"),
        (["translator", "--data", "{empty}", "--device", "toaster"], "toaster"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, out, err = run(capsys, monkeypatch, *(word.format(empty=tmp_path / "empty") for word in words))
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert expected in err
    assert not (tmp_path / "runs").exists(), "a refused command leaves nothing behind"


def test_the_translator_is_trained_as_the_options_say_and_its_figures_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[PretrainTranslator] = []

    def train(config: PretrainTranslator, progress: Any) -> TranslatorResult:
        asked.append(config)
        progress(7, 7, "loss 0.500, right 25%")
        progress(16, 16, "measuring")
        scores = tuple(
            TranslationScore(task, direction, shots, instruction, 3, bleu, 50.0)
            for task, bleu in (("tatoeba", 40.0), ("everyday", 30.0))
            for direction, bleu in (("eng-fra", bleu), ("fra-eng", bleu + 2))
            for shots in (0, 1, 3, 5)
            for instruction in (False, True)
        )
        return TranslatorResult(config.out / "model", 7, 60.0, 0.5, 9, scores, ())

    monkeypatch.setattr(translator_module, "run", train)
    out = tmp_path / "out"
    words = ["--data", str(tmp_path), "--out", str(out), "--seed", "3", "--steps", "7", "--size", "large"]
    code, said, err = run(capsys, monkeypatch, "translator", *words)
    assert code == 0
    [config] = asked
    assert (config.out, config.data, config.seed, config.steps) == (out, tmp_path, 3, 7)
    assert config.layers == translator_module.SIZES["large"]["layers"]
    assert "tatoeba, 5 examples, without instruction: BLEU 41.0" in said
    assert "everyday, 0 examples, with instruction: BLEU 31.0" in said
    assert said.rstrip().endswith(str(out / "model"))
    assert "loss 0.500" in err
    assert "measuring" in err
