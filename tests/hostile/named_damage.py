"""Damaged files, full disks, devices and names: what ended in a traceback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from arena import Case
from preparing import (
    LOCATE,
    configured,
    edited,
    no_empty_file,
    rows_twice,
    spoilt_metadata,
    written,
)


def tracebacks() -> Iterator[Case]:
    for verb in (
        LOCATE,
        ("bench", "lexicon", "--context", "8", "--rounds", "1", "--batch", "1"),
        ("compile", "--task", "lexicon:plural", "--after", "6", "--out", "p.safetensors"),
        ("pretrain", "lexicon", "--steps", "1", "--out", "o"),
    ):
        yield Case(f"device meta, {verb[0]}", (*verb, "--device", "meta"), says="meta")
    yield Case("device meta, load", code="tp.load(device='meta')", says="meta")
    yield Case(
        "device meta, generate",
        ("generate", "--prompt", "prompt.safetensors", "--query", "dog", "--device", "meta"),
        says="meta",
        needs=("prompt.safetensors",),
    )
    yield Case(
        "a model of no layers",
        ("locate", "model", *LOCATE[1:]),
        says="layers",
        needs=("model",),
        prepare=configured(num_hidden_layers=0),
    )
    yield Case(
        "a model of no layers, bench",
        ("bench", "model"),
        says="layers",
        needs=("model",),
        prepare=configured(num_hidden_layers=0),
    )
    yield Case(
        "a model of no layers, check",
        ("models", "--check", "model"),
        says="layers",
        needs=("model",),
        prepare=configured(num_hidden_layers=0),
    )
    for verb in (
        ("locate", "narrow", *LOCATE[1:]),
        ("compile", "--model", "narrow", "--task", "lexicon:plural", "--after", "6", "--out", "p.safetensors"),
    ):
        yield Case(f"a tokenizer larger than the vocabulary, {verb[0]}", verb, says="40", needs=("narrow",))
    for most in (0, 100, 3_000):
        yield Case(
            f"a disk full after {most} bytes, report",
            ("report", "run", "--figure", "f.svg"),
            needs=("run",),
            largest=most,
            look=no_empty_file,
        )
        yield Case(
            f"a disk full after {most} bytes, report of a benchmark",
            ("report", "bench", "--figure", "f.svg"),
            needs=("bench",),
            largest=most,
            look=no_empty_file,
        )
    for most in (0, 20_000):
        yield Case(
            f"a disk full after {most} bytes, locate", (*LOCATE, "--out", "out"), largest=most, look=no_empty_file
        )
    for most in (0, 1_000):
        yield Case(
            f"a disk full after {most} bytes, compile",
            ("compile", "--task", "lexicon:plural", "--after", "6", "--out", "p.safetensors"),
            largest=most,
            look=no_empty_file,
        )
        yield Case(
            f"a disk full after {most} bytes, pretrain",
            ("pretrain", "lexicon", "--steps", "1", "--out", "o"),
            largest=most,
            look=no_empty_file,
            seconds=60,
        )
    yield Case(
        "a disk full after 0 bytes, generate",
        ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl", "--out", "a.jsonl"),
        needs=("prompt.safetensors",),
        prepare=written(q_jsonl='"dog"\n'),
        largest=0,
    )
    for verb, needs in (
        (LOCATE, ()),
        (("report", "run"), ("run",)),
        (("report", "bench"), ("bench",)),
        (("tasks",), ()),
        (("models",), ()),
        (("--help",), ()),
        (("locate", "--help"), ()),
        (("generate", "--prompt", "prompt.safetensors", "--query", "dog"), ("prompt.safetensors",)),
        (("compile", "--task", "lexicon:plural", "--after", "6", "--out", "p.safetensors"), ()),
        (("models", "--check", "lexicon"), ()),
    ):
        yield Case(f"/dev/full as standard output, {' '.join(verb[:2])}", verb, needs=needs, stdout="/dev/full")
    for place in ("/proc/x.pdf", "/dev/full/x.pdf", "/proc/self/x.svg", "absent/deep/x.pdf\0.pdf", "run"):
        yield Case(f"report --figure {place!r}", ("report", "run", "--figure", place), needs=("run",))
    yield Case("locate --out /proc/x", (*LOCATE, "--out", "/proc/x"))
    yield Case("bench --out /proc/x", ("bench", "lexicon", "--out", "/proc/x"))
    yield Case("compile --out /proc/x", ("compile", "--task", "lexicon:plural", "--after", "6", "--out", "/proc/x"))
    yield Case("pretrain --out /proc/x", ("pretrain", "lexicon", "--steps", "1", "--out", "/proc/x"))
    deep = "[" * 100_000 + "]" * 100_000
    for kind in ("run", "bench"):
        for name, text in (
            ("nested", deep),
            ("nested in it", f'{{"schema": 1, "kind": "locate", "config": {deep}}}'),
            ("a number", "5"),
            ("a list", "[]"),
            ("null", "null"),
            ("no UTF-8", "\udcff"),
            ("empty", ""),
        ):
            yield Case(
                f"a config.json that is {name}, {kind}",
                ("report", kind),
                needs=(kind,),
                says="config.json",
                prepare=lambda folder, text=text, kind=kind: (folder / kind / "config.json").write_bytes(
                    text.encode(errors="surrogateescape")
                ),
            )
        changes: dict[str, Callable[[dict[str, Any]], object]] = {
            "no settings": lambda told: told.update(config={}),
            "an unknown kind": lambda told: told.update(kind="guess"),
            "no kind": lambda told: told.pop("kind"),
            "cuts of null": lambda told: told["config"].update(cuts=None if told["kind"] == "locate" else 5),
            "layers in letters": lambda told: told["config"].update(num_layers="x"),
            "settings as a list": lambda told: told.update(config=[1]),
            "versions as a list": lambda told: told.update(versions=[1]),
            "versions of numbers": lambda told: told.update(versions={"torch": [1]}),
            "a shape of nonsense": lambda told: told["config"].update(shape={"x": 1}),
            "a shape in words": lambda told: told["config"].update(shape=7),
        }  # fmt: skip
        for name, change in changes.items():
            yield Case(
                f"a config.json with {name}, {kind}",
                ("report", kind),
                needs=(kind,),
                says="guess" if "unknown" in name else "config.json",
                prepare=edited(change, kind, forged=True),
            )
    for name, value in (
        ("conditions", None),
        ("conditions", []),
        ("conditions", [{}]),
        ("conditions", ["x"]),
        ("conditions", [{"hide": "nothing", "instruction": False}]),
        ("shots", None),
        ("shots", "x"),
        ("shots", ["x"]),
        ("seeds", None),
        ("seeds", "x"),
        ("items", {}),
        ("max_new_tokens", "x"),
        ("metric", None),
        ("template", 5),
        ("task", [1]),
        ("model", {}),
    ):
        yield Case(
            f"a config.json with {name} of {value!r}",
            ("report", "run"),
            needs=("run",),
            says="config.json",
            prepare=edited(lambda told, name=name, value=value: told["config"].update({name: value}), forged=True),
        )
    yield Case("a part with rows twice", ("report", "run"), needs=("run",), says="twice", prepare=rows_twice)
    yield Case(
        "a part with rows twice, continued", (*LOCATE, "--out", "run"), needs=("run",), says="twice", prepare=rows_twice
    )
    nested = '{"format_version": 1, "recipe": ' + "[" * 50_000 + "]" * 50_000 + "}"
    for verb in (
        ("generate", "--prompt", "prompt.safetensors", "--query", "dog"),
        ("report", "prompt.safetensors"),
        ("compile", "--task", "lexicon:plural", "--after", "6", "--out", "prompt.safetensors"),
    ):
        for name, text in (("nested", nested), ("a number", "5"), ("empty", "")):
            yield Case(
                f"a compiled prompt whose description is {name}, {verb[0]}",
                verb,
                exit=0 if verb[0] == "compile" else 2,  # it is written over, whole again
                needs=("prompt.safetensors",),
                prepare=spoilt_metadata(text),
            )
    odd = os.fsdecode(b"caf\xe9")
    for verb, needs in (
        ((*LOCATE, "--out", odd), ()),
        (("bench", "--shape", "llama:2x16", "--context", "8", "--batch", "1", "--rounds", "1", "--out", odd), ()),
        (("compile", "--task", "lexicon:plural", "--after", "6", "--out", odd), ()),
        (("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl", "--out", odd), ("prompt.safetensors",)),
        (("report", "run", "--figure", odd + ".svg"), ("run",)),
    ):
        yield Case(
            f"a name that is not UTF-8 to write, {verb[0]}",
            verb,
            needs=needs,
            exit=0,
            prepare=written(q_jsonl='"dog"\n'),
            look=lambda folder, _: None if list(folder.glob("caf*")) else "it is not there",
        )
    for verb in (
        ("report", odd),
        ("generate", "--prompt", odd, "--query", "dog"),
        ("locate", odd),
        ("locate", "--task", f"words:{odd}"),
        ("locate", "--task", f"prompts:{odd}"),
        ("locate", "--task", f"pairs:{odd}"),
        ("compile", "--from", odd, "--out", "p"),
        ("pretrain", "translator", "--data", odd, "--out", "o"),
    ):
        yield Case(f"a name that is not UTF-8 to read, {' '.join(verb[:3])}", verb, says="caf")
    words = json.dumps([{"input": x, "output": x + "s"} for x in ("cat", "dog", "tree", "house", "car", "bird")])
    yield Case(
        "a task file whose name is not UTF-8",
        ("locate", "--task", f"words:{odd}.json", "--shots", "2", "--seeds", "1", "--cuts", "6"),
        exit=0,
        prepare=lambda folder: (folder / f"{odd}.json").write_text(words),
    )
