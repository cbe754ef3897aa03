"""Hostile cases of `heads`, and of the gates that it writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from arena import Case
from preparing import GENERATE, Prepare, absent, replaced, written

SMALL = ("--items", "2", "--train-items", "4", "--epochs", "1", "--seeds", "1", "--random", "1")
HEADS = ("heads", "lexicon", "--task", "lexicon:plural", *SMALL, "--out", "out")


def gates(layers: int, heads: int, family: str = "llama") -> Prepare:
    """Writes gates for a model of this shape."""

    def prepare(folder: Path) -> None:
        import numpy as np

        import taskpoint as tp
        from taskpoint.models.head_gates import HeadGates

        tp.save_gates(HeadGates(np.ones((layers, heads), np.float32), "other", family), folder / "g.safetensors")

    return prepare


def of_heads() -> Iterator[Case]:
    for option, values in (
        ("--penalty", ("-0.1", "nan", "inf", "x", "", "1e999")),
        ("--lr", ("0", "-1", "nan", "x")),
        ("--temperature", ("0", "inf", "-0.5")),
        ("--threshold", ("-0.1", "1.1", "nan")),
        ("--train-items", ("1", "0", "-3", "2.5")),
        ("--train-shots", ("-1", "100000", "x")),
        ("--shots", ("-1", "100000")),
        ("--epochs", ("0", "9" * 30)),
        ("--patience", ("0",)),
        ("--random", ("-1", "101")),
        ("--seeds", ("0", "1001")),
    ):
        for value in values:
            yield Case(f"heads {option} {value[:8]}", (*HEADS, option, value), look=absent("out"))
    yield Case(
        "heads with a penalty twice",
        (*HEADS, "--penalty", "0.1", "--penalty", "0.10"),
        says="different numbers",
        look=absent("out"),
    )
    few = '[{"input": "a", "output": "b"}, {"input": "c", "output": "d"}, {"input": "e", "output": "f"}]'
    yield Case(
        "heads with nothing left to train on",
        ("heads", "lexicon", "--task", "words:own.json", "--no-instruction", *SMALL, "--items", "3", "--out", "out"),
        says="to train on",
        prepare=written(own_json=few),
        look=absent("out"),
    )
    yield Case(
        "heads of a task without an instruction",
        ("heads", "lexicon", "--task", "words:own.json", *SMALL, "--items", "1", "--out", "out"),
        says="has no instruction",
        prepare=written(own_json=few),
        look=absent("out"),
    )
    for name, made, says in (
        ("of another shape", gates(3, 4), "12 layers of 4"),
        ("of another family", gates(12, 4, "gpt2"), "not for a model of type"),
        ("that it was not compiled with", gates(12, 4), "its heads have gates"),
        ("that are a text", written(g_safetensors="mine"), "no file of gates"),
        ("that are empty", written(g_safetensors=b""), "no file of gates"),
        ("that are a folder", replaced("g.safetensors", "folder"), "no regular file"),
        ("that are a pipe", replaced("g.safetensors", "fifo"), "no regular file"),
        ("that loop", replaced("g.safetensors", "loop"), "g.safetensors"),
        ("that are nowhere", None, "no file"),
    ):
        yield Case(
            f"generate with gates {name}",
            (*GENERATE, "--gates", "g.safetensors"),
            says=says,
            needs=("prompt.safetensors",),
            prepare=made,
        )
    yield Case(
        "compile with gates that are a compiled prompt",
        (
            "compile",
            "--task",
            "lexicon:plural",
            "--after",
            "6",
            "--out",
            "p.safetensors",
            "--gates",
            "prompt.safetensors",
        ),
        says="no gates of heads",
        needs=("prompt.safetensors",),
        look=absent("p.safetensors"),
    )
