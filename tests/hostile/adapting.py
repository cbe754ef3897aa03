"""Adapters on single layers that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from arena import Case
from preparing import LORA, empty


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        path = folder / "adapted" / "config.json"
        told = json.loads(path.read_text())
        change(told["config"])
        path.write_text(json.dumps(told))

    return prepare


def adapting() -> Iterator[Case]:
    for words, says in (
        ("--rank 0", "rank"),
        ("--rank -1", "rank"),
        ("--alpha nan", "alpha is nan"),
        ("--alpha 0", "alpha is 0"),
        ("--dropout 1", "dropout is 1"),
        ("--lr inf", "lr is inf"),
        ("--lr 1e38", "lr is 1e+38"),
        ("--sizes 5000", "sizes asks for 5000 training pairs"),
        ("--sizes 0", "sizes"),
        ("--sizes 4,4", "sizes"),
        ("--sizes 4.5", "--sizes is '4.5'"),
        ("--sizes \N{ARABIC-INDIC DIGIT FOUR}", "--sizes is"),
        ("--layers 12", "layers names 12"),
        ("--layers -1", "layers"),
        ("--layers x", "--layers is 'x'"),
        ("--epochs 2", "steps is 1 and epochs is 2"),
        ("--variant v2", "variant"),
        ("--loss all", "loss"),
        ("--adapters perhaps", "adapters"),
        ("--patience 2 --sizes 144 --items 6", "none left for checks"),
        ("--test-shots 500", "500"),
        ("--memory -1", "memory"),
    ):
        yield Case(f"lora {words}", (*LORA, *words.split(), "--out", "out"), says=says, look=empty("out"))
    yield Case(
        "lora whose loss becomes NaN",
        (*LORA, "--steps", "4", "--lr", "9e5", "--dtype", "float16", "--out", "out"),
        says="all layers, 4 pairs, seed 0: the loss is NaN or infinite after",
    )
    yield Case(
        "lora of a task that has nothing left to train on",
        (*LORA, "--items", "5000", "--out", "out"),
        says="has no item with an answer to train on",
        look=empty("out"),
    )
    yield Case(
        "lora on a model that computes NaN", ("lora", "nan", *LORA[1:], "--out", "out"), needs=("nan",), says="NaN",
        look=empty("out"),
    )  # fmt: skip
    code = "import sys; sys.modules['peft'] = None\ntp.lora(lm, 'lexicon:plural', sizes=4, steps=1)"
    yield Case("lora without peft", code=code, says="pip install 'taskpoint[lora]'")
    for name, change in (
        ("layers of nobody's", lambda told: told.update(layers=[99])),
        ("no layers", lambda told: told.update(layers=None)),
        ("sizes in words", lambda told: told.update(sizes="x")),
        ("another variant", lambda told: told.update(variant="evil")),
        ("a rank of 0", lambda told: told.update(rank=0)),
    ):
        yield Case(f"a run of lora with {name}", ("report", "adapted"), needs=("adapted",), prepare=_edited(change),
                   says="config.json")  # fmt: skip
