"""Rehearses every preset of a paper on tiny random models of its families: does all of it run to the end?

    python tools/rehearse.py DATA              # every preset, every family; a table of what took how long
    python tools/rehearse.py DATA --only fig3  # one preset

Models of four layers, with a tokenizer that is trained on the data, are saved to disk and loaded as any model is. Their
answers mean nothing; that rows are there, and that a report is written, does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAPER = "sia2024"
_LAYERS, _WIDTH, _POSITIONS, _VOCABULARY = 4, 32, 8192, 2000

# What makes a run of minutes one of seconds.
_SETTINGS = (
    "locate.max_new_tokens=12", "lora.steps=1", "lora.epochs=null", "lora.sizes=[4]", "lora.batch=4", "lora.dev=2",
    "heads.epochs=1", "heads.train_items=4", "heads.random=1", "bench.context=[16]", "bench.new=2", "bench.rounds=1",
)  # fmt: skip
_SMALL = ["--items", "3", "--seeds", "1", "--run-programs", *(word for each in _SETTINGS for word in ("--set", each))]


@dataclass(frozen=True)
class Done:
    """One preset on one model."""

    preset: str
    family: str
    seconds: float
    runs: int
    rows: int
    failed: str


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with flores101, humaneval and mbpp")
    parser.add_argument("--only", help="one preset")
    parser.add_argument("--out", type=Path, help="where runs are kept (default: nowhere)")
    given = parser.parse_args(words)
    start = time.monotonic()
    from taskpoint.experiments.presets.reading import names

    presets = [name for name in names(PAPER) if given.only in (None, name.partition("/")[2])]
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(given.out or passing)
        models = dict(saved(folder / "models", given.data))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = [
                pool.submit(rehearsed, preset, family, model, given.data, folder)
                for preset in presets
                for family, model in models.items()
            ]
            done = [one.result() for one in waiting]
    print("| preset | family | runs | rows | seconds |\n| --- | --- | ---: | ---: | ---: |")
    for one in done:
        print(f"| {one.preset} | {one.family} | {one.runs} | {one.rows} | {one.failed or f'{one.seconds:.0f}'} |")
    failed = sum(bool(one.failed) for one in done)
    print(f"\n{len(done)} rehearsed in {time.monotonic() - start:.0f} s, {failed} failed")
    return int(failed > 0)


def rehearsed(preset: str, family: str, model: Path, data: Path, folder: Path) -> Done:
    """Runs a preset by the command line."""
    out = folder / f"{preset.replace('/', '-')}-{family}"
    command = [sys.executable, "-m", "taskpoint", "reproduce", preset, "--model", str(model), "--data", str(data)]
    start = time.monotonic()
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    ran = subprocess.run([*command, *_SMALL, "--out", str(out)], capture_output=True, text=True, env=alone)
    seconds = time.monotonic() - start
    runs = sorted(out.glob("*/rows")) if out.exists() else []
    failed = (
        ran.stderr.strip().splitlines()[-1] if ran.returncode else "" if (out / "report.html").is_file() else "no page"
    )
    return Done(preset, family, seconds, len(runs), sum(map(_rows, runs)), failed)


def _rows(folder: Path) -> int:
    import pyarrow.parquet as parquet

    return sum(parquet.read_metadata(part).num_rows for part in folder.glob("*.parquet"))


def saved(folder: Path, data: Path) -> Iterator[tuple[str, Path]]:
    """A model of each family of the paper, in a folder of its own."""
    import torch
    import transformers as hf

    from taskpoint.training.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(_texts(data), _VOCABULARY, _POSITIONS)
    tokens: dict[str, Any] = {
        "vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    rope: dict[str, Any] = tokens | {
        "hidden_size": _WIDTH, "intermediate_size": 48, "num_hidden_layers": _LAYERS, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": _POSITIONS,
    }  # fmt: skip
    configs: dict[str, Any] = {
        "gpt_neo": hf.GPTNeoConfig(
            **tokens, hidden_size=_WIDTH, num_layers=_LAYERS, num_heads=4, max_position_embeddings=_POSITIONS,
            attention_types=[[["global", "local"], _LAYERS // 2]],
        ),
        "bloom": hf.BloomConfig(**tokens, hidden_size=_WIDTH, n_layer=_LAYERS, n_head=4),
        "starcoder2": hf.Starcoder2Config(**rope),
        "llama": hf.LlamaConfig(**rope),
    }  # fmt: skip
    for family, config in configs.items():
        torch.manual_seed(0)
        model = hf.AutoModelForCausalLM.from_config(config)
        model.save_pretrained(folder / family)
        tokenizer.save_pretrained(folder / family)
        yield family, folder / family


def _texts(data: Path) -> Iterator[str]:
    for language in ("eng", "fra", "por"):
        yield from (data / "flores101" / "dev" / f"{language}.dev").read_text(encoding="utf-8").split("\n")
    for line in (data / "mbpp" / "mbpp.jsonl").read_text(encoding="utf-8").splitlines():
        problem = json.loads(line)
        yield f"{problem['text']}\n{problem['code']}"


if __name__ == "__main__":
    sys.exit(main())
