"""Hostile run folders and compiled prompts: the second round."""

# ruff: noqa: E501 (a case is one row of a table)

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from arena import Case
from preparing import (
    COMPILE,
    GENERATE,
    LOCATE,
    REPORT,
    Prepare,
    absent,
    bytes_of,
    replaced,
    written,
)


def parts(change: Callable[[Any], Any], metadata: Callable[[dict[bytes, bytes]], object] | None = None) -> Prepare:
    """Rewrites every part of a run."""

    def prepare(folder: Path) -> None:
        import pyarrow.parquet as pq

        for path in (folder / "run" / "rows").glob("*.parquet"):
            table = pq.ParquetFile(path).read()
            told = dict(table.schema.metadata)
            if metadata is not None:
                metadata(told)
            pq.write_table(change(table).replace_schema_metadata(told), path)

    return prepare


def column(name: str, values: Callable[[list[Any]], list[Any]], kind: Any = None) -> Prepare:
    """Changes one column of every part."""

    def change(table: Any) -> Any:
        import pyarrow as pa

        place = table.schema.get_field_index(name)
        field = table.schema.field(name) if kind is None else pa.field(name, getattr(pa, kind)())
        return table.set_column(place, field, pa.array(values(table[name].to_pylist()), field.type))

    return parts(change)


def one(value: Any) -> Callable[[list[Any]], list[Any]]:
    """The last value is another."""
    return lambda values: [*values[:-1], value]


def beside(key: str, **values: Any) -> Prepare:
    """Adds a part with a name that fits its key, whose rows are those of another part but for some columns."""

    def prepare(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = folder / "run" / "rows"
        table = pq.ParquetFile(next(rows.glob("*.parquet"))).read()
        for name, value in values.items():
            field = table.schema.field(name)
            table = table.set_column(
                table.schema.get_field_index(name), field, pa.array([value] * len(table), field.type)
            )
        name = f"x-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parquet"
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"taskpoint.key": b"x"}), rows / name)

    return prepare


def some_part(act: Callable[[Path], object]) -> Prepare:
    return lambda folder: act(next((folder / "run" / "rows").glob("*.parquet")))


def runs() -> Iterator[Case]:
    both = {
        "report": REPORT,
        "continued": (*LOCATE, "--out", "run"),
        "compiled": ("compile", "--from", "run", "--out", "p.safetensors"),
    }
    spoilt: dict[str, Prepare] = {
        f"truncated to {keep}": some_part(lambda path, keep=keep: path.write_bytes(path.read_bytes()[:keep]))
        for keep in (0, 1, 4, 8, 100, 3_000, -1, -4, -8, -500)
    }  # fmt: skip
    spoilt |= {
        "with a changed byte": some_part(lambda path: path.write_bytes((d := path.read_bytes())[:900] + bytes([d[900] ^ 1]) + d[901:])),
        "with a column less": parts(lambda table: table.drop_columns(["text"])),
        "with a column more": parts(lambda table: table.append_column("evil", [[1] * len(table)])),
        "with columns in another order": parts(lambda table: table.select(table.column_names[::-1])),
        "with scores in words": column("score", lambda values: ["x"] * len(values), "string"),
        "with cuts as floats": column("cut", lambda values: [float(v) for v in values], "float64"),
        "with a score of null": column("score", one(None), "float64"),
        "with a score of NaN": column("score", one(float("nan"))),
        "with a score of infinity": column("score", one(float("inf"))),
        "with a score of minus infinity": column("score", one(float("-inf"))),
        "with a score of 1e308": column("score", one(1e308)),
        "with a score of -5": column("score", one(-5.0)),
        "with a cut of 99": column("cut", one(99)),
        "with a cut of -1": column("cut", one(-1)),
        "with a cut of 2**62": column("cut", one(2**62)),
        "with a seed of 7": column("seed", one(7)),
        "with shots of 9": column("shots", one(9)),
        "with a condition of nobody's": column("condition", one("evil")),
        "of another model": column("model", lambda values: ["evil"] * len(values)),
        "of another task": column("task", lambda values: ["evil"] * len(values)),
        "with an item of nobody's": column("item", one("plural/evil")),
        "without rows": parts(lambda table: table.slice(0, 0)),
        "with half its rows": parts(lambda table: table.slice(0, len(table) // 2)),
        "renamed": some_part(lambda path: path.rename(path.with_name("evil.parquet"))),
        "that is a folder": some_part(lambda path: (path.unlink(), path.mkdir())),
        "that is a FIFO": some_part(lambda path: (path.unlink(), os.mkfifo(path))),
        "that is a dangling symlink": some_part(lambda path: (path.unlink(), path.symlink_to("nowhere"))),
        "with another key": parts(lambda table: table, lambda told: told.update({b"taskpoint.key": b"evil"})),
        "without a key": parts(lambda table: table, lambda told: told.pop(b"taskpoint.key")),
        "without versions": parts(lambda table: table, lambda told: told.pop(b"taskpoint.versions")),
        "with versions that are no JSON": parts(lambda table: table, lambda told: told.update({b"taskpoint.versions": b"{"})),
        "with versions that are a list": parts(lambda table: table, lambda told: told.update({b"taskpoint.versions": b"[1]"})),
        "with versions nested deep": parts(lambda table: table, lambda told: told.update({b"taskpoint.versions": b"[" * 100_000})),
        "of a foreign program beside it": lambda folder: foreign(folder / "run" / "rows" / "data.parquet"),
        "copied beside it": some_part(lambda path: shutil.copy(path, path.with_name("copy.parquet"))),
        "with the same rows under another key": beside("x"),
        "with rows of another seed": beside("x", seed=5),
        "with rows of another cut": beside("x", cut=3),
        "with rows of another condition": beside("x", condition="query"),
    }  # fmt: skip
    for name, prepare in spoilt.items():
        for verb, argv in both.items():
            if verb == "report" or name.startswith(
                (
                    "truncated to 100",
                    "with a score of NaN",
                    "with a cut of 99",
                    "that is a",
                    "with the same",
                    "without rows",
                )
            ):
                yield Case(
                    f"a part {name}, {verb}",
                    argv,
                    needs=("run",),
                    says="run" if "without rows" in name else "rows",
                    prepare=prepare,
                    seconds=3,
                )
    yield Case("a part missing in the middle, report", ("report", "wide"), needs=("wide",), exit=0,
               prepare=lambda folder: sorted((folder / "wide" / "rows").glob("*seed=0*"))[0].unlink(),
               look=lambda _, out: None if any(word in out for word in ("missing", "of 2 seeds", "not finished", "not complete")) else "does not say so")  # fmt: skip
    yield Case("all parts missing, report", REPORT, needs=("run",), says="run", prepare=some_part(Path.unlink))
    yield Case(
        "all parts missing, compiled", both["compiled"], needs=("run",), says="run", prepare=some_part(Path.unlink)
    )
    yield Case("all parts missing, continued", both["continued"], needs=("run",), exit=0, prepare=some_part(Path.unlink),
               look=lambda folder, _: None if list((folder / "run" / "rows").glob("*.parquet")) else "no rows")  # fmt: skip
    for column_, text in (
        ("text", "\x1b[31mred\x07\x1b]0;x\x07\u202e\u2028\0"),
        ("query", "\x1b[2Jx"),
        ("reference", "\x9b31m"),
    ):
        yield Case(f"control characters in the column {column_}", REPORT, needs=("run",), exit=0, without="\x1b[31m",
                   prepare=column(column_, lambda values, text=text: [text] * len(values)),
                   look=lambda _, out: "ESC on the terminal" if "\x1b" in out or "\x9b" in out else None)  # fmt: skip
    yield Case(
        "the text of another alphabet, 1 MB", REPORT, needs=("run",), exit=0, prepare=column("text", one("я" * 500_000))
    )

    def config(change: Callable[[dict[str, Any]], object] | Callable[[bytes], bytes], raw: bool = False) -> Prepare:
        def act(data: bytes) -> bytes:
            if raw:
                found = change(data)  # type: ignore[arg-type]
                return found  # type: ignore[return-value]
            told = json.loads(data)
            change(told)
            return json.dumps(told).encode()

        return bytes_of("run/config.json", act)

    for value in (1.5, "1", -1, 2**70, None, [], True, 0, "x" * 2_000):
        yield Case(f"a run whose schema is {str(value)[:8]!r} as {type(value).__name__}", REPORT, needs=("run",), says="config.json",
                   prepare=config(lambda told, value=value: told.update(schema=value)))  # fmt: skip
    yield Case(
        "a run without schema",
        REPORT,
        needs=("run",),
        says="config.json",
        prepare=config(lambda told: told.pop("schema")),
    )
    yield Case(
        "a run without versions",
        REPORT,
        needs=("run",),
        says="config.json",
        prepare=config(lambda told: told.pop("versions")),
    )
    raws: dict[str, tuple[Callable[[bytes], bytes], int]] = {
        "with a byte order mark": (lambda data: b"\xef\xbb\xbf" + data, 0),
        "with CRLF": (lambda data: data.replace(b"\n", b"\r\n"), 0),
        "in UTF-16": (lambda data: data.decode().encode("utf-16"), 0),
        "with garbage behind": (lambda data: data + b"}", 2),
        "with NUL behind": (lambda data: data + b"\0", 2),
        "with a key twice": (lambda data: data.replace(b'"kind"', b'"kind": "bench", "kind"'), 2),
        "with a setting twice": (lambda data: data.replace(b'"seeds"', b'"seeds": 9, "seeds"'), 2),
        "with NaN": (lambda data: data.replace(b'"seeds": 1', b'"seeds": NaN'), 2),
        "with Infinity": (lambda data: data.replace(b'"items": 6', b'"items": Infinity'), 2),
        "with a number of 5,000 digits": (lambda data: data.replace(b'"items": 6', b'"items": ' + b"9" * 5_000), 2),
        "cut in the middle": (lambda data: data[: len(data) // 2], 2),
        "in capitals": (lambda data: data.upper(), 2),
    }
    for name, (raw, exit_) in raws.items():
        for verb in ("report", "continued"):
            yield Case(f"a config.json {name}, {verb}", both[verb], needs=("run",), exit=exit_, says="config.json" if exit_ else "",
                       prepare=config(raw, raw=True))  # fmt: skip
    for kind in ("bench", "generate", "", "locate ", "../x", "x" * 3_000):
        yield Case(
            f"a run of the kind {kind[:10]!r}",
            REPORT,
            needs=("run",),
            prepare=config(lambda told, kind=kind: told.update(kind=kind)),
        )
    for where in (
        ".",
        "/",
        "/etc",
        "run/rows",
        "run/config.json",
        "prompt.safetensors",
        "q.jsonl",
        "\0",
        "",
        "x" * 5_000,
        "run\n",
    ):
        yield Case(
            f"report of {where[:20]!r}",
            ("report", where),
            needs=("run", "prompt.safetensors"),
            prepare=written(q_jsonl='"x"\n'),
        )
    for where in (".", "bench", "run/rows", "prompt.safetensors", "\0", "", "x" * 5_000):
        yield Case(f"compile --from {where[:20]!r}", ("compile", "--from", where, "--out", "p.safetensors"),
                   needs=("bench", "run", "prompt.safetensors"), look=absent("p.safetensors"))  # fmt: skip


def foreign(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1, 2]}), path)


# -- compiled prompts


def sealed(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Prepare:
    """Edits what a compiled prompt says and holds, and gives it the checksum that fits: an attacker can."""

    def prepare(folder: Path) -> None:
        import torch
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file

        path = folder / "prompt.safetensors"
        with safe_open(path, framework="pt") as file:
            ((key, text),) = file.metadata().items()
        told, tensors = json.loads(text), load_file(path)
        change(told, tensors)
        said = {name: value for name, value in told.items() if name != "sha256"}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for name in sorted(tensors):
            tensor = tensors[name] = tensors[name].contiguous()
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        save_file(tensors, path, {key: json.dumps({**told, "sha256": digest.hexdigest()})})

    return prepare


def recipe(**changes: Any) -> Prepare:
    return sealed(lambda told, _: told["recipe"].update(changes))


def origin(**changes: Any) -> Prepare:
    return sealed(lambda told, _: told["origin"].update(changes))


def tensor(name: str, change: Callable[[Any], Any]) -> Prepare:
    return sealed(lambda _, tensors: tensors.update({name: change(tensors[name])}))


def filled(place: Any, value: float) -> Callable[[Any], Any]:
    def change(found: Any) -> Any:
        found = found.clone()
        found[place] = value
        return found

    return change


def compiled() -> Iterator[Case]:
    last = (0, 0, -1, 0)
    spoilt: dict[str, Prepare] = {
        **{f"truncated to {keep}": bytes_of("prompt.safetensors", lambda data, keep=keep: data[:keep])
           for keep in (0, 1, 7, 8, 9, 100, 2_000, 100_000, -1)},
        **{f"whose header says {length} bytes": bytes_of("prompt.safetensors", lambda data, length=length: struct.pack("<Q", length) + data[8:])
           for length in (0, 1, 10**8 + 1, 2**60, 2**64 - 1)},
        "with bytes behind": bytes_of("prompt.safetensors", lambda data: data + b"x"),
        "that is a FIFO": replaced("prompt.safetensors", "fifo"),
        "that is /dev/zero": replaced("prompt.safetensors", "zeros"),
        "that is a symlink to itself": replaced("prompt.safetensors", "loop"),
        **{f"with after = {after}": recipe(after=after) for after in (-1, 0, 5, 12, 13, 17, 2**70)},
        "with an unknown template": recipe(template="evil"),
        "with the template chat": recipe(template="chat"),
        "with another template": recipe(template="arrow"),
        "with an empty probe": recipe(probe=""),
        "with a hide of nonsense": recipe(hide="evil["),
        "with a hide of none": recipe(hide="none"),
        "with another hide": recipe(hide="query"),
        "with no examples": recipe(examples=[]),
        "with other examples": recipe(examples=[["a", "b"]] * 5),
        "with an instruction": recipe(instruction="Write the plural."),
        "with shots of -5": recipe(shots=-5),
        "with shots of 3": recipe(shots=3),
        "with a seed of -1": recipe(seed=-1),
        "with a probe of 1 MB": recipe(probe="x " * 500_000),
        "without versions": origin(versions={}),
        "of transformers 4": origin(versions={"transformers": "4.40.0"}),
        "with an empty version": origin(versions={"transformers": ""}),
        "with no fingerprint": origin(fingerprint={}),
        "with a fingerprint of nonsense": sealed(lambda told, _: told["origin"]["fingerprint"].update({k: None for k in told["origin"]["fingerprint"]})),
        "with a fingerprint of too much": sealed(lambda told, _: told["origin"]["fingerprint"].update(evil=1)),
        "with a dtype of nonsense": sealed(lambda told, _: told["origin"]["fingerprint"].update(dtype="evil")),
        "with an empty model": origin(model=""),
        "with a model of the parent folder": origin(model="../.."),
        "with a model of a NUL byte": origin(model="a\0b"),
        "with a model of the hub": origin(model="evil/model"),
        "with a revision": origin(revision="evil"),
        "with another tokenizer": origin(tokenizer="evil"),
        **{f"of the format version {version!r}": sealed(lambda told, _, version=version: told.update(format_version=version))
           for version in (2, 0, -1, "1", True, 1.0, None, 2**70)},
        "with tokens below 0": tensor("tokens", filled(3, -1)),
        "with tokens above the vocabulary": tensor("tokens", filled(3, 10**6)),
        "with a last token above the vocabulary": tensor("tokens", filled(-1, 10**6)),
        "with a last token of another": tensor("tokens", filled(-1, 7)),
        "with tokens as floats": tensor("tokens", lambda found: found.float()),
        "with tokens of two axes": tensor("tokens", lambda found: found[None]),
        "with no tokens": tensor("tokens", lambda found: found[:0]),
        "with a drop of other length": tensor("drop", lambda found: found[:-2]),
        "with a drop of numbers": tensor("drop", lambda found: found.long()),
        "with a drop of everything": tensor("drop", lambda found: found | True),
        "with a drop of nothing": tensor("drop", lambda found: found & False),
        "with keys of NaN": tensor("keys.0", filled(last, float("nan"))),
        "with values of NaN": tensor("values.11", filled(last, float("nan"))),
        "with keys of infinity": tensor("keys.3", filled(last, float("inf"))),
        "with keys of 1e38": tensor("keys.3", filled(last, 1e38)),
        "with keys in half precision": tensor("keys.3", lambda found: found.half()),
        "with values in double precision": tensor("values.3", lambda found: found.double()),
        "with keys as whole numbers": tensor("keys.3", lambda found: found.long()),
        "with a head less": tensor("keys.3", lambda found: found[:, :-1]),
        "with a token less": tensor("keys.3", lambda found: found[:, :, :-1]),
        "with narrower values": tensor("values.3", lambda found: found[..., :-1]),
        "with two rows": tensor("keys.3", lambda found: found.repeat(2, 1, 1, 1)),
        "with keys of three axes": tensor("keys.3", lambda found: found[0]),
        "with a layer less": sealed(lambda _, tensors: (tensors.pop("keys.11"), tensors.pop("values.11"))),
        "with a layer more": sealed(lambda _, tensors: tensors.update({"keys.12": tensors["keys.11"] + 0, "values.12": tensors["values.11"] + 0})),
        "without values": sealed(lambda _, tensors: [tensors.pop(f"values.{layer}") for layer in range(12)]),
        "without tokens": sealed(lambda _, tensors: tensors.pop("tokens")),
        "with a tensor more": sealed(lambda _, tensors: tensors.update(evil=tensors["tokens"] + 0)),
        "with layers named otherwise": sealed(lambda _, tensors: tensors.update({"keys.011": tensors.pop("keys.11")})),
    }  # fmt: skip
    # What decides nothing: the answers are those of the tensors and of the text that is checked.
    fine = ("with a seed of -1", "with a revision", "with keys of 1e38")
    for name, prepare in spoilt.items():
        yield Case(f"a compiled prompt {name}", GENERATE, needs=("prompt.safetensors",), prepare=prepare, seconds=3,
                   exit=0 if name in fine else 2)  # fmt: skip
    for name in (
        "truncated to 9",
        "whose header says 1152921504606846976 bytes",
        "that is a FIFO",
        "with after = 17",
        "with tokens as floats",
    ):
        yield Case(f"a compiled prompt {name}, load_prompt", needs=("prompt.safetensors",), prepare=spoilt[name], seconds=3,
                   code="tp.load_prompt('prompt.safetensors', lm).generate(['dog'])")  # fmt: skip
        yield Case(f"a compiled prompt {name}, report", ("report", "prompt.safetensors"), needs=("prompt.safetensors",), seconds=3,
                   prepare=spoilt[name])  # fmt: skip
    yield Case("the weights of a model as a compiled prompt", ("generate", "--prompt", "model/model.safetensors", "--query", "dog"),
               needs=("model",), says="no compiled prompt")  # fmt: skip
    yield Case(
        "compile over the weights of a model",
        (*COMPILE, "model/model.safetensors"),
        needs=("model",),
        says="no compiled prompt",
    )
    yield Case("compile over a damaged compiled prompt", (*COMPILE, "prompt.safetensors"), needs=("prompt.safetensors",),
               prepare=spoilt["truncated to 100000"])  # fmt: skip
