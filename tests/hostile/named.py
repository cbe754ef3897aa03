"""The cases that the first two rounds found: what went wrong then, and what is right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

from adapting import adapting
from arena import Case
from healing import healing
from named_ablate import ablations
from named_calls import calls
from named_damage import tracebacks
from named_heads import of_heads
from named_presets import presets
from preparing import (
    DIGITS,
    LOCATE,
    SMALL,
    edited,
    empty,
    kept,
    looping_template,
    spoilt_metadata,
    written,
)

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


def instructions() -> Iterator[Case]:
    """What a prompt cannot be told, and sets of conditions that do not go together."""
    told = "--instruction", "yes"
    for argv, says in (
        (("--grid", "--hide", "query"), "--grid brings its own conditions"),
        (("--grid", "--wording", "1"), "--grid brings its own conditions"),
        (("--grid", "--place", "after-query"), "--grid brings its own conditions"),
        (("--grid", "--paper"), "--paper and --grid were both asked for"),
        (("--grid", "--shots", "1"), "examples[1:]"),
        (("--place", "after-query"), "the prompt has none"),
        (("--wording", "1"), "the prompt has none"),
        ((*told, "--wording", "3"), "set wording to at most 2"),
        ((*told, "--wording", "-1"), "wording"),
        ((*told, "--wording", "two"), "wording"),
        ((*told, "--place", "last"), "place"),
        (("--hide", "all,examples"), "'all' beside other segments"),
        (("--hide", "all.answers"), "'all' beside other segments"),
    ):
        yield Case(f"locate {' '.join(argv)}", (*LOCATE, *argv), says=says)
    yield Case(
        "an instruction behind the query in a chat",
        (
            "locate",
            "model",
            *LOCATE[1:],
            "--template",
            "chat",
            *told,
            "--place",
            "after-query",
            "--max-new-tokens",
            "4",
        ),
        says="stands first",
        needs=("model",),
        prepare=looping_template,  # it is refused before the template is read
    )
    yield Case(
        "compile --hide all",
        ("compile", "--task", "lexicon:plural", "--after", "6", "--hide", "all", "--out", "p"),
        says="hides the query",
    )


NAMED: tuple[Case, ...] = (
    *silently_wrong(), *overwritten(), *out_of_range(), *tracebacks(), *calls(), *hanging(),
    *presets(), *ablations(), *healing(), *instructions(), *of_heads(), *adapting(),
)  # fmt: skip
