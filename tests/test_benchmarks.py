"""The benchmarks run, at sizes at which their figures mean nothing, and what they compare agrees.

Comparisons with other tools (`benchmarks/peers.py`) are not among these tests, because they install those tools.
"""

from __future__ import annotations

import importlib
import re
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest
import torch

SMALL = "--width 32 --heads 4 --mlp 48 --vocab 100 --query 6 --rounds 1"
TINY = f"{SMALL} --layers 2 --context 32 --new 3 --threads 1 --batch 2"
TINY_GPU = f"{SMALL} --layers 4 --kv-heads 2 --new 2 --device cpu"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return importlib.import_module


def figures(printed: str) -> dict[str, float]:
    rows = re.findall(r"^\| (.+?) \| (-?\d[-\d.,e]*) \|", printed, flags=re.MULTILINE)
    return {name: float(value.replace(",", "")) for name, value in rows}


def run(script: ModuleType, words: str, capsys: pytest.CaptureFixture[str]) -> str:
    script.main(words.split())
    return capsys.readouterr().out


def test_a_cut_prompt_equals_masking_and_stores_what_arithmetic_says(load, capsys):
    found = figures(run(load("cut"), TINY, capsys))
    assert found["largest difference to masking, 29 context tokens"] < 1e-5
    stored = found["keys and values after the cut prefill, share of the ordinary"]
    assert stored == found["the same, from arithmetic"] < 1


def test_a_cut_that_does_nothing_is_noticed(load, capsys, monkeypatch):
    cut = load("cut")
    monkeypatch.setattr(cut, "cut_context", lambda model, after, drop: nullcontext())
    printed = run(cut, TINY, capsys)
    assert "at most 0.0001: NOT MET" in printed
    assert figures(printed)["keys and values after the cut prefill, share of the ordinary"] == 1


def test_sweeps_equal_masking_cut_by_cut(load, capsys):
    printed = run(load("sweep"), f"{TINY} --answer-batch 2 --items 5 --item-batch 2", capsys)
    assert printed.count("largest difference to masking") == printed.count("at most 0.0001: met") == 2
    assert figures(printed)["tokens equal to masking, %"] == 100


def test_ablating_all_layers_at_once_equals_layer_by_layer(load, capsys):
    found = figures(run(load("ablate"), f"{TINY} --only shape", capsys))
    assert found["largest difference"] < 1e-5
    assert found["tokens equal, %"] == 100


def test_compiled_contexts_are_compared_with_every_other_way(load, capsys):
    found = figures(run(load("compiled"), f"{TINY} --queries 3", capsys))
    assert found["tokens compared with `cut_context`, all equal"] == 9
    assert found["tokens of copies equal to those of whole prompts, %"] == 100
    # One layer of two keeps the context; the library's way holds it in both, for each row of the batch.
    once = found["keys and values of the context, compiled, MiB"]
    assert found["the same, copies for one batch (the library's way), MiB"] == pytest.approx(4 * once, rel=0.01)


def test_compiled_contexts_that_answer_otherwise_than_a_cut_end_the_benchmark(load, monkeypatch):
    compiled = load("compiled")
    right = compiled.prefix_generate
    monkeypatch.setattr(compiled, "prefix_generate", lambda *args, **named: right(*args, **named) + 1)
    with pytest.raises(SystemExit, match="3 of 3 compiled answers differ"):
        compiled.main(f"{TINY} --queries 3".split())


def test_the_gpu_benchmark_measures_every_context_and_cut(load, capsys):
    printed = run(load("gpu"), f"{TINY_GPU} --contexts 16 24", capsys)
    rows = re.findall(r"^\| (16|24) \| (\d) \|", printed, flags=re.MULTILINE)
    assert rows == [(context, cut) for context in ("16", "24") for cut in "4321"]


def test_without_a_gpu_the_gpu_benchmark_says_so_in_one_line(load, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert re.fullmatch(r"no GPU here: .+\n", run(load("gpu"), "", capsys))


def test_competitors_take_turns_and_the_first_round_is_not_counted(load):
    timing, called = load("timing"), []

    def competitor(name: str):
        def seconds() -> dict[str, float]:
            called.append(name)
            return {"part": float(len(called))}

        return seconds

    times = timing.rounds({name: competitor(name) for name in "abc"}, count=2)
    assert "".join(called) == "abc" + "bca" + "cab"
    assert times == {"a part": [6.0, 8.0], "b part": [4.0, 9.0], "c part": [5.0, 7.0]}


def test_ratios_are_taken_within_a_round(load):
    timing = load("timing")
    # The machine was ten times slower in the second round; the ratio was the same.
    times = {"slow": [3.0, 30.0, 4.0], "fast": [1.0, 10.0, 1.0]}
    assert timing.ratio(times, "slow", "fast") == timing.Spread(median=3.0, low=3.0, high=4.0)
    assert timing.overhead(times, "slow", "fast").median == pytest.approx(200)


def test_targets_are_held_against_the_median(load, capsys):
    timing = load("timing")
    table = timing.Table("title", "about")
    table.add("enough", timing.Spread(2.0, 1.0, 3.0), at_least=2.0)
    table.add("too few", timing.Spread(1.9, 1.0, 3.0), at_least=2.0)
    table.add("too many", timing.Spread(2.1, 1.0, 3.0), at_most=2.0)
    table.show()
    verdicts = [line.split(" | ")[-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert verdicts == ["at least 2: met |", "at least 2: NOT MET |", "at most 2: NOT MET |"]


def test_the_published_way_and_a_sweep_give_the_same_answers(load, capsys):
    found = figures(run(load("published"), "--items 3 --batch 2 --new 2 --shots 1", capsys))
    assert found["answers that are the same, %"] == 100


def test_adapters_from_kept_states_are_those_of_plain_loops(load, capsys):
    printed = run(load("lora"), f"{SMALL} --layers 2 --context 8 --batch 2 --steps 3 --sequences 4", capsys)
    assert "at most 0.001: met" in printed
    assert figures(printed)["ratio of the times"] > 0


def test_the_translator_is_asked_in_three_ways(load, capsys):
    load("translator").main(["--items", "4", "--batch", "4", "--new", "3", "--rounds", "1", "--shots", "2"])
    found = figures(capsys.readouterr().out)
    assert {"compiled prompt, BLEU", "no examples, BLEU", "examples read anew for every sentence, BLEU"} <= set(found)
    assert found["compiled / no examples"] > 0
