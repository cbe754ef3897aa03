"""The cases that the first two rounds found: what went wrong then, and what is right."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from arena import Case

SMALL = ("--seeds", "1", "--items", "6", "--cuts", "6", "--no-controls")
LOCATE = ("locate", "--task", "lexicon:plural", *SMALL)
TINY_BENCH = (
    "bench",
    "--shape",
    "llama:2x16",
    "--context",
    "8",
    "--query",
    "2",
    "--batch",
    "1",
    "--new",
    "2",
    "--rounds",
    "1",
)
DIGITS = "9" * 5_000

# What cases copy: made once, by the command lines and the code of this table.
MATERIALS: dict[str, Case] = {
    "run": Case("run", (*LOCATE, "--out", "run"), exit=0),
    "bench": Case("bench", (*TINY_BENCH, "--out", "bench"), exit=0),
    "prompt.safetensors": Case(
        "prompt", ("compile", "--task", "lexicon:plural", "--after", "6", "--out", "prompt.safetensors"), exit=0
    ),
    "nan": Case("nan", code="lm.model.model.layers[3].mlp.up_proj.weight.data[0, 0] = float('nan')\n"
                "lm.model.save_pretrained('nan'); lm.tokenizer.save_pretrained('nan')", exit=0),
    "all_nan": Case("all_nan", code="for p in lm.model.parameters(): p.data.fill_(float('nan'))\n"
                    "lm.model.save_pretrained('all_nan'); lm.tokenizer.save_pretrained('all_nan')", exit=0),
    "infinite": Case("infinite", code="lm.model.model.layers[3].mlp.up_proj.weight.data[0, 0] = float('inf')\n"
                     "lm.model.save_pretrained('infinite'); lm.tokenizer.save_pretrained('infinite')", exit=0),
    "model": Case("model", code="lm.model.save_pretrained('model'); lm.tokenizer.save_pretrained('model')", exit=0),
    "narrow": Case("narrow", code="lm.model.resize_token_embeddings(40)\n"
                   "lm.model.save_pretrained('narrow'); lm.tokenizer.save_pretrained('narrow')", exit=0),
}  # fmt: skip


def empty(*names: str) -> Callable[[Path, str], str | None]:
    """Nothing of these was written."""

    def look(folder: Path, _: str) -> str | None:
        there = [name for name in names if (folder / name).exists() and list((folder / name).rglob("*.parquet"))]
        return f"{there} hold rows" if there else None

    return look


def kept(**texts: str) -> Callable[[Path, str], str | None]:
    """Files that are as they were."""

    def look(folder: Path, _: str) -> str | None:
        for name, text in texts.items():
            path = folder / name.replace("__", "/").replace("_", ".")
            if not path.is_file() or path.read_text() != text:
                return f"{path.name} was changed"
        return None

    return look


def no_empty_file(folder: Path, _: str) -> str | None:
    found = [path.name for path in folder.rglob("*") if path.is_file() and not path.stat().st_size]
    found = [name for name in found if not name.endswith(".lock")]
    return f"files of 0 bytes: {found}" if found else None


def edited(
    change: Callable[[dict[str, Any]], object], name: str = "run", *, forged: bool = False
) -> Callable[[Path], None]:
    """Edits the config.json of a run; forged: its parts, too, which then say nothing of the settings (as old ones)."""

    def prepare(folder: Path) -> None:
        path = folder / name / "config.json"
        told = json.loads(path.read_text())
        change(told)
        path.write_text(json.dumps(told))
        if forged:
            forget_settings(folder / name)

    return prepare


def forget_settings(folder: Path) -> None:
    import pyarrow.parquet as pq

    for part in (folder / "rows").glob("*.parquet"):
        table = pq.ParquetFile(part).read()
        metadata = {key: value for key, value in table.schema.metadata.items() if key != b"taskpoint.settings"}
        pq.write_table(table.replace_schema_metadata(metadata), part)


def written(**texts: str | bytes) -> Callable[[Path], None]:
    """Writes files; `_` in a name is a full stop, `__` a slash."""

    def prepare(folder: Path) -> None:
        for name, text in texts.items():
            path = folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    return prepare


def rows_twice(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (part, *_) = sorted((folder / "run" / "rows").glob("*.parquet"))
    table = pq.ParquetFile(part).read()
    pq.write_table(pa.concat_tables([table, table]).replace_schema_metadata(table.schema.metadata), part)


def spoilt_metadata(change: Callable[[dict[str, Any]], object] | str) -> Callable[[Path], None]:
    """Edits what a compiled prompt says of itself, and leaves its checksum."""

    def prepare(folder: Path) -> None:
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file

        path = folder / "prompt.safetensors"
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        (key,) = metadata
        if isinstance(change, str):
            metadata[key] = change
        else:
            told = json.loads(metadata[key])
            change(told)
            metadata[key] = json.dumps(told)
        save_file(load_file(path), path, metadata)

    return prepare


def configured(**changes: Any) -> Callable[[Path], None]:
    """Edits the config.json of a model."""

    def prepare(folder: Path) -> None:
        path = folder / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return prepare


def looping_template(folder: Path) -> None:
    loop = "{% for a in range(90000) %}{% for b in range(90000) %}{% set x = a * b %}{% endfor %}{% endfor %}"
    path = folder / "model" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": loop}))
    (folder / "model" / "chat_template.jinja").write_text(loop)


TWICE = '{"query": "a", "query": "big", "examples": [{"input": "x", "output": "y"}], "answers": ["z"]}\n'
TWICE_WORDS = (
    '[{"input": "a", "output": "b", "output": "c"}, {"input": "d", "output": "e"}, {"input": "f", "output": "g"}]'
)
LONG = "word " * 2_000_000
LONG_PROMPT = json.dumps({"query": LONG, "examples": [{"input": "x", "output": "y"}], "answers": ["z"]}) + "\n"


def silently_wrong() -> Iterator[Case]:
    for name, layer in (("nan", "layer 3"), ("all_nan", ""), ("infinite", "layer 3")):
        yield Case(
            f"locate on a model of {name}",
            ("locate", name, *LOCATE[1:], "--out", "out"),
            says=layer or "NaN",
            needs=(name,),
            look=empty("out"),
        )
        yield Case(
            f"compile on a model of {name}",
            ("compile", "--model", name, "--task", "lexicon:plural", "--after", "6", "--out", "p.safetensors"),
            says=layer or "NaN",
            needs=(name,),
            look=lambda folder, _: "wrote it" if (folder / "p.safetensors").exists() else None,
        )
        yield Case(f"check of a model of {name}", ("models", "--check", name), says=layer or "NaN", needs=(name,))
        yield Case(
            f"bench on a model of {name}",
            ("bench", name, "--context", "8", "--out", "out"),
            says=layer or "NaN",
            needs=(name,),
            look=empty("out"),
        )
    for key, value in (
        ("model", "llama"),
        ("metric", "BLEU"),
        ("task", "lexicon:past"),
        ("template", "arrow"),
        ("seeds", 7),
        ("items", 3),
        ("shots", [4]),
        ("num_layers", 20),
        ("revision", "abc"),
        ("dtype", "float16"),
        ("attention", "eager"),
        ("controls", True),
        ("fresh", True),
    ):
        for command in (("report", "run"), ("compile", "--from", "run", "--out", "p.safetensors")):
            yield Case(
                f"{command[0]} of a run whose {key} was edited",
                command,
                says="config.json",
                needs=("run",),
                prepare=edited(lambda told, key=key, value=value: told["config"].update({key: value})),
            )
    for key, value in (
        ("model", "llama"),
        ("task", "lexicon:past"),
        ("template", "arrow"),
        ("shots", [4]),
        ("num_layers", 11),
        ("revision", "abc"),
        ("seeds", 0),
    ):
        yield Case(
            f"report of an older run whose {key} was edited",
            ("report", "run"),
            says="config.json",
            needs=("run",),
            prepare=edited(lambda told, key=key, value=value: told["config"].update({key: value}), forged=True),
        )
    for key, value in (("model", "llama"), ("rounds", 9), ("num_layers", 5)):
        yield Case(
            f"report of a benchmark whose {key} was edited",
            ("report", "bench"),
            says="config.json",
            needs=("bench",),
            prepare=edited(lambda told, key=key, value=value: told["config"].update({key: value}), "bench"),
        )
    yield Case(
        "a key twice in a prompt",
        ("locate", "--task", "prompts:own.jsonl", "--shots", "1", *SMALL),
        says="twice",
        prepare=written(own_jsonl=TWICE * 3),
    )
    yield Case(
        "a key twice in an example",
        ("locate", "--task", "prompts:own.jsonl", "--shots", "1", *SMALL),
        says="twice",
        prepare=written(
            own_jsonl=TWICE.replace('"query": "a", ', "").replace('"input": "x"', '"input": "q", "input": "x"')
        ),
    )
    yield Case(
        "a key twice in words",
        ("locate", "--task", "words:own.json", "--shots", "1", *SMALL),
        says="twice",
        prepare=written(own_json=TWICE_WORDS),
    )
    yield Case(
        "a key twice in queries",
        ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl"),
        says="twice",
        needs=("prompt.safetensors",),
        prepare=written(q_jsonl='{"query": "a", "query": "big"}\n'),
    )
    yield Case(
        "a key twice deep in queries",
        ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl"),
        says="twice",
        needs=("prompt.safetensors",),
        prepare=written(q_jsonl='{"query": "a", "more": {"x": [{"y": 1, "y": 2}]}}\n'),
    )
    for verb in (
        LOCATE,
        ("bench", "lexicon", "--context", "8"),
        ("compile", "--task", "lexicon:plural", "--after", "6", "--out", "p.safetensors"),
    ):
        yield Case(f"a revision of a bundled model, {verb[0]}", (*verb, "--revision", "main"), says="revision")
    yield Case(
        "a revision of a folder",
        ("locate", "model", *LOCATE[1:], "--revision", "main"),
        says="revision",
        needs=("model",),
    )
    yield Case("load of a bundled model's revision", code="tp.load('lexicon', revision='x')", says="revision")
    yield Case(
        "drop changed in place inside the block",
        exit=0,
        code="""
import torch
ids = torch.randint(5, 40, (1, 12))
drop = torch.zeros_like(ids, dtype=torch.bool); drop[:, 2:8] = True
with torch.inference_mode():
    with tp.cut_context(lm.model, after=4, drop=drop.clone()):
        right = lm.model(ids).logits[:, -1]
    with tp.cut_context(lm.model, after=4, drop=drop):
        drop[:] = False
        found = lm.model(ids).logits[:, -1]
assert torch.equal(right, found), "the block follows the changed drop"
""",
    )
    yield Case(
        "a compiled prompt whose model was edited",
        ("generate", "--prompt", "prompt.safetensors", "--query", "a"),
        says="checksum",
        without="hub",
        needs=("prompt.safetensors",),
        prepare=spoilt_metadata(lambda told: told["origin"].update(model="evil/model")),
    )


def overwritten() -> Iterator[Case]:
    mine = {"report_html": "mine", "figure_pdf": "mine"}
    inside = {f"own__{name}": text for name, text in mine.items()}
    for verb in (
        LOCATE,
        ("bench", "--shape", "llama:2x16", "--context", "8", "--batch", "1", "--rounds", "1"),
        ("pretrain", "lexicon", "--steps", "1"),
    ):
        yield Case(
            f"a folder of the user's files, {verb[0]}",
            (*verb, "--out", "own"),
            says="own",
            prepare=written(**inside),
            look=kept(**inside),
        )
        yield Case(
            f"a folder with a note, {verb[0]}",
            (*verb, "--out", "own"),
            says="own",
            prepare=written(own__notes_txt="mine"),
            look=kept(own__notes_txt="mine"),
        )
        yield Case(
            f"no folder at all, {verb[0]}",
            (*verb, "--out", ""),
            says="empty",
            look=lambda folder, _: "wrote here" if list(folder.iterdir()) else None,
        )
    yield Case(
        "no file at all, compile", ("compile", "--task", "lexicon:plural", "--after", "6", "--out", ""), says="empty"
    )
    yield Case(
        "no file at all, generate",
        ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl", "--out", ""),
        says="empty",
        needs=("prompt.safetensors",),
        prepare=written(q_jsonl='"dog"\n'),
    )
    yield Case("no figure at all, report", ("report", "run", "--figure", ""), needs=("run",))
    yield Case(
        "no folder at all, in Python",
        says="empty",
        code="tp.locate(lm, tp.task('lexicon:plural'), items=6, seeds=1, cuts=[6], controls=False, out='')",
    )


def out_of_range() -> Iterator[Case]:
    for option in ("--items", "--seeds", "--shots", "--batch-size", "--max-new-tokens"):
        for value in ("9" * 23, DIGITS, "-" + DIGITS, str(2**63), str(2**64 + 1)):
            yield Case(f"locate {option} {value[:6]}... of {len(value)} digits", (*LOCATE, option, value))
    for value in (DIGITS, f"1,{DIGITS}", "9" * 23, "," * 5_000, "x" * 100_000):
        yield Case(f"locate --cuts {value[:6]}... of {len(value)}", (*LOCATE, "--cuts", value))
        yield Case(f"bench --cuts {value[:6]}... of {len(value)}", ("bench", "lexicon", "--cuts", value))
    small = ("bench", "--shape", "llama:2x16", "--context", "8", "--batch", "1", "--new", "2", "--rounds", "1")
    for option in ("--batch", "--context", "--query", "--new", "--rounds"):
        for value in ("999999999", "9" * 23, "1" + "0" * 30, DIGITS):
            yield Case(f"bench {option} {value[:6]}... of {len(value)} digits", (*small, option, value))
    for shape in (
        "llama:2x16,vocab=99999999999",
        f"llama:2x16,mlp=1{'0' * 30}",
        f"llama:{DIGITS}x16",
        f"llama:2x{DIGITS}",
        f"llama:2x16,heads={DIGITS}",
        "llama:100000000x64",
        "llama:1x65536",
        f"llama:2x16,{DIGITS}=1",
        "llama:2x16,vocab=4000000000",
    ):
        yield Case(
            f"bench --shape {shape[:32]}", ("bench", "--shape", shape, "--context", "8", "--rounds", "1"), seconds=5
        )
    yield Case("seeds of a thousand million", (*LOCATE, "--seeds", "1000000000"), seconds=5)
    yield Case(
        "seeds of a thousand million, with controls",
        ("locate", "--task", "lexicon", "--seeds", "1000000000"),
        seconds=5,
    )
    yield Case("rounds of a quintillion", (*small[:-1], "1" + "0" * 30), seconds=5)
    for option, value in (
        ("--steps", DIGITS),
        ("--steps", "-1"),
        ("--steps", "9" * 30),
        ("--seed", DIGITS),
        ("--seed", "-1"),
        ("--seed", "9" * 30),
    ):
        yield Case(
            f"pretrain {option} {value[:6]}... of {len(value)}", ("pretrain", "lexicon", option, value, "--out", "o")
        )
    for option, value in (
        ("--max-new-tokens", DIGITS),
        ("--batch-size", DIGITS),
        ("--max-new-tokens", "0"),
        ("--max-new-tokens", "9" * 23),
        ("--batch-size", "-3"),
    ):
        yield Case(
            f"generate {option} {value[:6]}... of {len(value)}",
            ("generate", "--prompt", "prompt.safetensors", "--query", "dog", option, value),
            needs=("prompt.safetensors",),
        )
    for option, value in (
        ("--after", DIGITS),
        ("--after", "9" * 23),
        ("--after", "-1"),
        ("--shots", DIGITS),
        ("--seed", DIGITS),
        ("--seed", "9" * 30),
        ("--seed", "-1"),
    ):
        base = ("compile", "--task", "lexicon:plural", "--out", "p.safetensors")
        base = base if option == "--after" else (*base, "--after", "6")
        yield Case(f"compile {option} {value[:6]}... of {len(value)}", (*base, option, value))


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


def calls() -> Iterator[Case]:
    ids = (
        "import torch; ids = torch.randint(5, 40, (1, 12))\n"
        "drop = torch.zeros_like(ids, dtype=torch.bool); drop[:, 2:8] = True\n"
    )
    for verb in (
        "tp.sweep_logits(lm.model, ids, {})",
        "tp.sweep_generate(lm.model, ids, {}, max_new_tokens=2)",
        "\nwith tp.cut_context(lm.model, after=4, drop={}): lm.model(ids)",
    ):
        for name, drop, says in (
            ("sparse", "drop.to_sparse()", "sparse"),
            ("too short", "drop[:, :5]", "input_ids"),
            ("too long", "torch.cat([drop, drop], 1)", "12"),
            ("of numbers", "drop.long()", "bool"),
            ("None", "None", "drop"),
            ("a list", "drop.tolist()", "drop"),
            ("on meta", "drop.to('meta')", ""),
            ("of three axes", "drop[None]", ""),
            ("of other rows", "drop.repeat(3, 1)", ""),
        ):
            yield Case(f"drop that is {name}, {verb.strip()[:20]}", code=ids + verb.format(drop), says=says)
    small = "items=6, seeds=1, cuts=[6], controls=False"
    yield Case(
        "locate with a model in words",
        exit=0,
        code=f"assert len(tp.locate('lexicon', tp.task('lexicon:plural'), {small}).rows)",
    )
    yield Case("locate with a task in words", exit=0, code=f"assert len(tp.locate(lm, 'lexicon:plural', {small}).rows)")
    yield Case(
        "locate with both in words", exit=0, code=f"assert len(tp.locate('lexicon', 'lexicon:plural', {small}).rows)"
    )
    yield Case(
        "compile with words",
        exit=0,
        code="assert tp.compile_prompt('lexicon', 'lexicon:plural', after=6).generate(['dog'])",
    )
    for given in (
        "shots=1.5",
        "shots='5'",
        "shots=None",
        "shots=[]",
        "shots=[1.5]",
        "shots=True",
        "shots=float('nan')",
        "seeds=1.5",
        "seeds='x'",
        "seeds=None",
        "seeds=True",
        "items=1.5",
        "items='x'",
        "items=True",
        "batch_size=1.5",
        "batch_size=None",
        "max_new_tokens=1.5",
        "max_new_tokens='x'",
        "cuts=[1.5]",
        "cuts=5",
        "cuts={}",
        "cuts='x'",
        "cuts=[]",
        "cuts=[True]",
        "cuts=object()",
        "hide=5",
        "hide=None",
        "hide=[5]",
        "hide=[]",
        "hide=b'examples'",
        "instruction=5",
        "instruction='yes'",
        "instruction=[]",
        "instruction=[5]",
        "instruction=None",
        "template=5",
        "fresh='no'",
        "fresh=2",
        "controls='no'",
        "out=5",
        "out=b'x'",
        "progress=5",
    ):
        key = given.partition("=")[0]
        rest = ", ".join(
            part for part in ("items=6", "seeds=1", "cuts=[6]", "controls=False") if not part.startswith(key)
        )
        yield Case(f"locate({given})", code=f"tp.locate(lm, tp.task('lexicon:plural'), {given}, {rest})", says=key)
    for name in ("None", "5", "b'lexicon'", "[]", "''", "' '", "object()", "'lexicon' * 1000", "tp"):
        yield Case(f"task({name})", code=f"tp.task({name})")
        yield Case(f"locate(lm, {name})", code=f"tp.locate(lm, {name}, {small})")
        if name != "None":
            yield Case(f"load({name})", code=f"tp.load({name})")
            yield Case(f"locate({name}, task)", code=f"tp.locate({name}, tp.task('lexicon:plural'), {small})")
    for given in ("dtype=5", "dtype='float99'", "device=5.5", "device='gpu'", "device=[]", "revision=5"):
        yield Case(f"load({given})", code=f"tp.load({given})")
    made = "p = tp.compile_prompt(lm, tp.task('lexicon:plural'), after=6)\n"
    for given in (
        "None",
        "5",
        "'dog'",
        "[5]",
        "[None]",
        "['']",
        "b'dog'",
        "['dog'], 1.5",
        "['dog'], True",
        "['dog'], 5, 0",
        "{'dog': 1}.values(), 'x'",
    ):
        yield Case(f"prompt.generate({given})", code=made + f"p.generate({given})")
    for given in (
        "after=1.5",
        "after=None",
        "after='6'",
        "after=True",
        "after=6, shots=1.5",
        "after=6, seed=1.5",
        "after=6, seed=None",
        "after=6, hide=5",
        "after=6, instruction='no'",
        "after=6, template=5",
    ):
        yield Case(f"compile_prompt({given})", code=f"tp.compile_prompt(lm, tp.task('lexicon:plural'), {given})")
    for given in ("None", "5", "b'x'", "''", "'.'", "'/dev/null'", "'/dev/zero'"):
        yield Case(f"load_prompt({given})", code=f"tp.load_prompt({given}, lm)", seconds=10)
        yield Case(f"prompt.save({given})", code=made + f"p.save({given})", seconds=10)
    yield Case(
        "load_prompt with a model in words",
        exit=0,
        needs=("prompt.safetensors",),
        code="assert tp.load_prompt('prompt.safetensors', 'lexicon').generate(['dog'])",
    )
    yield Case(
        "load_prompt without a model", needs=("prompt.safetensors",), code="tp.load_prompt('prompt.safetensors', None)"
    )


def hanging() -> Iterator[Case]:
    table = f"cat\tcats\ndog\tdogs\n{LONG}\tx\ntree\ttrees\n"
    words = json.dumps([{"input": x, "output": "y"} for x in ("cat", "dog", LONG, "tree")])
    wrong = json.dumps(
        [{"input": "cat", "output": "y"}, {"input": "dog", "output": LONG}, {"input": "z", "output": "y"}]
    )
    few = ("--shots", "1", *SMALL)
    for name, argv, files in (
        ("a prompt", ("locate", "--task", "prompts:own.jsonl", *few), {"own_jsonl": LONG_PROMPT * 3}),
        ("an input", ("locate", "--task", "pairs:own.tsv", *few), {"own_tsv": table}),
        ("an output", ("locate", "--task", "words:own.json", *few), {"own_json": wrong}),
        ("a word", ("locate", "--task", "words:own.json", *few), {"own_json": words}),
        (
            "a word without blanks",
            ("locate", "--task", "pairs:own.tsv", *few),
            {"own_tsv": table.replace(LONG, "x" * 10_000_000)},
        ),
        (
            "a packed entry",
            ("locate", "--task", "pairs:own.tsv.gz", *few),
            {"own_tsv_gz": gzip.compress(table.encode())},
        ),
        (
            "a query",
            ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl"),
            {"q_jsonl": json.dumps(LONG) + "\n"},
        ),
        (
            "a query of --query",
            ("compile", "--task", "prompts:own.jsonl", "--after", "6", "--shots", "1", "--out", "p"),
            {"own_jsonl": LONG_PROMPT},
        ),
    ):
        yield Case(f"10 MB: {name}", argv, prepare=written(**files), seconds=3.0, needs=("prompt.safetensors",))
    yield Case(
        "a chat template that loops for ever",
        ("locate", "model", *LOCATE[1:], "--template", "chat"),
        says="template",
        needs=("model",),
        prepare=looping_template,
        seconds=30,
    )


NAMED: tuple[Case, ...] = (
    *silently_wrong(), *overwritten(), *out_of_range(), *tracebacks(), *calls(), *hanging(),
)  # fmt: skip
