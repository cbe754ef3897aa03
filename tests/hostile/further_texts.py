"""Hostile task files, query files, options and environments: the second round's texts."""

# ruff: noqa: E501 (a case is one row of a table)

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from arena import Case
from preparing import COMPILE, GENERATE, LOCATE, SMALL, replaced, written

FEW = ("--shots", "1", *SMALL)
ROWS = [("cat", "cats"), ("dog", "dogs"), ("tree", "trees"), ("house", "houses"), ("car", "cars"), ("bird", "birds")]
TSV = "".join(f"{x}\t{y}\n" for x, y in ROWS)
CSV = "".join(f"{x},{y}\n" for x, y in ROWS)
JSON = json.dumps([{"input": x, "output": y} for x, y in ROWS])
PROMPT_LINE = '{"query": "big", "examples": [{"input": "x", "output": "y"}], "answers": ["z"]}\n'
SHELL = """
import os, subprocess, sys
os.environ["T"] = f"{{sys.executable}} -m taskpoint"
done = subprocess.run(["sh", "-c", {script!r}], capture_output=True, text=True, errors="replace")
sys.stdout.write(done.stdout); sys.stderr.write(done.stderr); sys.stdout.flush(); sys.stderr.flush()
os._exit(done.returncode)
"""


def task_files() -> Iterator[Case]:
    tables: dict[str, tuple[str | bytes, str, int]] = {
        "with a byte order mark": ("\ufeff" + TSV, "t.tsv", 0),
        "with CRLF": (TSV.replace("\n", "\r\n"), "t.tsv", 0),
        "with CR": (TSV.replace("\n", "\r"), "t.tsv", 0),
        "with NUL": (TSV.replace("dog", "d\0g"), "t.tsv", 0),
        "with U+2028": (TSV.replace("dog", "d\u2028g"), "t.tsv", 0),
        "with marks of direction": (TSV.replace("dog", "\u202edog\u202c"), "t.tsv", 0),
        "with combining marks": (TSV.replace("dog", "do\u0308\u0301" * 30 + "g"), "t.tsv", 0),
        "with emoji": (TSV.replace("dog", "👩‍👩‍👧‍👦"), "t.tsv", 0),
        "with ESC": (TSV.replace("dog", "\x1b[31mdog"), "t.tsv", 0),
        "of blanks": (" \n\t\n \u3000\n", "t.tsv", 2),
        "of tabs": ("\t\t\t\n" * 9, "t.tsv", 2),
        "of one record": ("cat\tcats\n", "t.tsv", 2),
        "of two records": ("cat\tcats\ndog\tdogs\n", "t.tsv", 0),
        "of one record many times": ("cat\tcats\n" * 50, "t.tsv", 2),
        "with inputs that differ in case": ("cat\tcats\nCAT\tCATS\nCat\tCats\n", "t.tsv", 2),
        "of 100,000 columns": (("x\t" * 100_000 + "\n") * 3, "t.tsv", 2),
        "of 100,000 names": (
            "input,output,"
            + ",".join(f"c{n}" for n in range(100_000))
            + "\n"
            + "a,b"
            + ",x" * 100_000
            + "\nc,d"
            + ",x" * 100_000
            + "\n",
            "t.csv",
            0,
        ),
        "with a name twice": ("input,input,output\na,b,c\nd,e,f\n", "t.csv", 2),
        "with a header alone": ("input\toutput\n", "t.tsv", 2),
        "with the header twice": ("input\toutput\ninput\toutput\n" + TSV, "t.tsv", 0),
        "with an open quotation mark": (CSV + '"bee,bees\n' + CSV, "t.csv", 2),
        "with a lone quotation mark": (CSV + 'b"ee,bees\n', "t.csv", 0),
        "with an open quotation mark at the end": (CSV + '"bee', "t.csv", 2),
        "with an empty output": (TSV + "bee\t\n", "t.tsv", 2),
        "with an output of blanks": (TSV + "bee\t \u00a0 \n", "t.tsv", 2),
        "with an output of invisible characters": (TSV + "bee\t\u200b\u200b\n", "t.tsv", 0),
        "with an output of marks alone": (TSV + "bee\t...\n", "t.tsv", 0),
        "in UTF-16": (TSV.encode("utf-16"), "t.tsv", 2),
        "in Latin-1": (TSV.replace("dog", "dög").encode("latin-1"), "t.tsv", 2),
        "of random bytes": (bytes(range(256)) * 40, "t.tsv", 2),
        "called gzip that is none": (TSV, "t.tsv.gz", 2),
        "called a JSON": (JSON, "t.json", 2),
        "without a last newline": (TSV.rstrip("\n"), "t.tsv", 0),
        "of a bomb": (__import__("gzip").compress(b"a\tb\n" * 2_000_000), "t.tsv.gz", 2),
    }
    for name, (text, file, exit_) in tables.items():
        yield Case(f"a table {name}", ("locate", "--task", f"pairs:{file}", *FEW), exit=exit_, says=file if exit_ else "", seconds=12,
                   prepare=lambda folder, file=file, text=text: (folder / file).write_bytes(text.encode() if isinstance(text, str) else text),
                   look=lambda _, out: "ESC on the terminal" if "\x1b" in out else None)  # fmt: skip
    words: dict[str, tuple[str, int]] = {
        "of numbers": ('[{"input": 1, "output": 2}, {"input": 3, "output": 4}]', 2),
        "of true and null": ('[{"input": true, "output": null}]', 2),
        "nested": ('[{"input": ["a"], "output": {"x": "y"}}]', 2),
        "with no answers": ('[{"input": "a", "output": []}, {"input": "b", "output": ["c"]}]', 2),
        "with a list in a list": ('[{"input": "a", "output": [["b"]]}, {"input": "b", "output": ["c"]}]', 2),
        "with empty texts": ('[{"input": "", "output": "x"}, {"input": "b", "output": "c"}]', 2),
        "with a byte order mark": ("\ufeff" + JSON, 0),
        "with a comma behind": (JSON.replace("]", ",]"), 2),
        "with a remark": ("// words\n" + JSON, 2),
        "of JSON lines": (JSON.strip("[]").replace("}, ", "}\n"), 2),
        "of an empty list": ("[]", 2),
        "of an empty object": ("{}", 2),
        "of a text": ('"cat"', 2),
        "of NaN": ("NaN", 2),
        "with NaN as output": ('[{"input": "a", "output": NaN}]', 2),
        "with half a surrogate": ('[{"input": "\\ud800", "output": "b"}, {"input": "c", "output": "d"}]', 2),
        "with NUL": (JSON.replace("dog", "d\\u0000g"), 0),
        "with a key more": ('[{"input": "a", "output": "b", "evil": 1}]', 2),
        "as an object with a key twice": ('{"a": "b", "a": "c", "d": "e", "f": "g"}', 0),
        "with a number of 5,000 digits": ('[{"input": ' + "9" * 5_000 + ', "output": "b"}]', 2),
        "with 2,000 answers": (json.dumps([{"input": x, "output": [y, *map(str, range(2_000))]} for x, y in ROWS]), 0),
    }  # fmt: skip
    for name, (text, exit_) in words.items():
        yield Case(f"words {name}", ("locate", "--task", "words:w.json", *FEW), exit=exit_, says="w.json" if exit_ else "",
                   prepare=written(w_json=text), seconds=12)  # fmt: skip
    lines: dict[str, tuple[str, int]] = {
        "whose examples are a text": ('{"query": "a", "examples": "x", "answers": ["z"]}\n', 2),
        "whose examples are empty": ('{"query": "a", "examples": [], "answers": ["z"]}\n', 2),
        "whose examples are numbers": ('{"query": "a", "examples": [1], "answers": ["z"]}\n', 2),
        "whose answers are a text": ('{"query": "a", "examples": [{"input": "x", "output": "y"}], "answers": "z"}\n', 2),
        "whose query is null": ('{"query": null, "examples": [{"input": "x", "output": "y"}], "answers": ["z"]}\n', 2),
        "whose instruction is a number": ('{"instruction": 5, ' + PROMPT_LINE[1:], 2),
        "with a key of nobody's": ('{"evil": 5, ' + PROMPT_LINE[1:], 2),
        "with a line that is no object": ("5\n", 2),
        "with an empty line": (PROMPT_LINE + "\n\n" + PROMPT_LINE, 0),
        "cut in the last line": (PROMPT_LINE * 3 + PROMPT_LINE[:20], 2),
        "with ids twice": (('{"id": "a", ' + PROMPT_LINE[1:]) * 3, 2),
        "with ids of lists": ('{"id": [1], ' + PROMPT_LINE[1:], 2),
    }  # fmt: skip
    for name, (text, exit_) in lines.items():
        yield Case(f"prompts {name}", ("locate", "--task", "prompts:p.jsonl", *FEW), exit=exit_, says="" if not exit_ else "'p/1'" if "empty" in name else "p.jsonl",
                   prepare=written(p_jsonl=text * (3 if exit_ and "cut" not in name and "ids twice" not in name else 1)))  # fmt: skip
    for kind, file in (("pairs", "t.tsv"), ("words", "w.json"), ("prompts", "p.jsonl")):
        for by in ("folder", "fifo", "loop", "dangling"):
            yield Case(f"a file for {kind} that is a {by}", ("locate", "--task", f"{kind}:{file}", *FEW), says=file, seconds=2,
                       prepare=replaced(file, by))  # fmt: skip
        yield Case(f"a file for {kind} of 100,000 records", ("locate", "--task", f"{kind}:{file}", *FEW), exit=0, seconds=20,
                   prepare=lambda folder, file=file, kind=kind: (folder / file).write_text(
                       "".join(f"word{n}\tx{n}\n" for n in range(100_000)) if kind == "pairs"
                       else json.dumps([{"input": f"w{n}", "output": "x"} for n in range(100_000)]) if kind == "words"
                       else PROMPT_LINE * 20_000))  # fmt: skip
    for name, text in (
        ("with a newline", "a\nb"),
        ("with ESC", "\x1b[31mx"),
        ("of an emoji", "🙂"),
        ("with NUL by escape", "x\u2028y"),
        ("with marks of direction", "\u202ex"),
    ):
        yield Case(f"an instruction {name}", ("locate", "--task", "pairs:t.tsv", "--task-instruction", text, "--instruction", "yes", *FEW), exit=0,
                   prepare=written(t_tsv=TSV), without="\x1b[31m")  # fmt: skip
    for name, text in (("of 100 kB", "word " * 20_000), ("of blanks", " \n "), ("of nothing", "")):
        yield Case(f"an instruction {name}", ("locate", "--task", "pairs:t.tsv", "--task-instruction", text, "--instruction", "yes", *FEW),
                   prepare=written(t_tsv=TSV), seconds=10)  # fmt: skip
    queries: dict[str, tuple[str, int]] = {
        **{f"with an id of {value}": (f'{{"query": "dog", "id": {value}}}\n', exit_) for value, exit_ in (
            ("null", 0), ("true", 0), ("1.5", 0), ("1e400", 2), ("NaN", 2), ("[]", 2), ("{}", 2), ('"a"', 0), ("9" * 30, 0), ("9" * 5_000, 2))},
        "that are a number": ("5\n", 2), "that are a list": ('["dog"]\n', 2), "that are null": ("null\n", 2), "of blanks": ("\n \n", 2),
        "with a query of a list": ('{"query": ["dog"]}\n', 2), "with an answer": ('{"query": "dog", "answer": "x"}\n', 2),
        "with a byte order mark": ('\ufeff"dog"\n', 0), "with CRLF": ('"dog"\r\n"cat"\r\n', 0), "without a last newline": ('"dog"', 0),
        "with the same id twice": ('{"query": "dog", "id": 1}\n' * 2, 0), "in one array": ('[{"query": "dog"}]', 2), "two on a line": ('"dog" "cat"\n', 2),
        "with NUL": ('"d\\u0000g"\n', 0), "of an empty text": ('""\n', 2), "with U+2028 raw": ('"d\u2028g"\n', 0), "nested deep": ("[" * 100_000, 2),
        "with a deep record": ('{"query": "dog", "x": ' + "[" * 900 + "]" * 900 + "}\n", 0),
    }  # fmt: skip
    for name, (text, exit_) in queries.items():
        yield Case(f"queries {name}", ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl", "--out", "a.jsonl"), exit=exit_,
                   says="q.jsonl" if exit_ else "", needs=("prompt.safetensors",), prepare=written(q_jsonl=text),
                   look=lambda folder, _, exit_=exit_, text=text: None if exit_ or len((folder / "a.jsonl").read_text().split("\n")) - 1 == text.rstrip("\r\n").count("\n") + 1 else "lines lack")  # fmt: skip
    for by in ("folder", "fifo", "loop", "dangling", "zeros"):
        yield Case(f"queries that are a {by}", ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl"), says="q.jsonl", seconds=2,
                   needs=("prompt.safetensors",), prepare=replaced("q.jsonl", by))  # fmt: skip
    answers = '{"query": "dog", "answer": "x"}\n'
    for name, text in (
        ("another query's", answers.replace("dog", "cat")),
        ("no JSON", "x\n"),
        ("more than there are", answers * 3),
        ("without answer", '{"query": "dog"}\n'),
    ):
        yield Case(f"answers continued that are {name}", ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl", "--out", "a.jsonl"), says="a.jsonl",
                   needs=("prompt.safetensors",), prepare=written(q_jsonl='"dog"\n', a_jsonl=text),
                   look=lambda folder, _, text=text: None if (folder / "a.jsonl").read_text() == text else "changed")  # fmt: skip


def items_of(count: int) -> Callable[[Path, str], str | None]:
    """The run was of so many items."""

    def look(folder: Path, _: str) -> str | None:
        (found,) = (json.loads(path.read_text())["config"]["items"] for path in folder.glob("runs/*/config.json"))
        return None if found == count else f"{found} items"

    return look


def options() -> Iterator[Case]:
    locate = ("locate", "--task", "lexicon:plural")
    bench = ("bench", "lexicon")
    compile_ = (*COMPILE, "p.safetensors")
    numbers = (
        (locate, ("--shots", "--seeds", "--items", "--batch-size", "--max-new-tokens"), ()),
        (bench, ("--batch", "--context", "--query", "--new", "--rounds"), ()),
        (("compile", "--task", "lexicon:plural", "--out", "p.safetensors"), ("--after",), ()),
        (compile_, ("--shots", "--seed"), ()),
        (GENERATE, ("--max-new-tokens", "--batch-size"), ("prompt.safetensors",)),
        (("pretrain", "lexicon", "--out", "o"), ("--steps", "--seed"), ()),
    )
    for base, names, needs in numbers:
        for name in names:
            for value in (
                "1e3",
                "0x10",
                "inf",
                "nan",
                "1.5",
                "",
                " ",
                "1,000",
                "1 000",
                "--5",
                "五",
                "６",
                "٦",
                "½",
                "²",
                "1\0",
            ):
                yield Case(
                    f"{base[0]} {name} {value!r}", (*base, name, value), says=name.strip("-"), needs=needs, seconds=5
                )
    for value in ("0_6", "+6", " 6 ", "006", "6\n"):
        yield Case(f"locate --items {value!r} means 6", (*LOCATE, "--items", value), exit=0, look=items_of(6))
    for value in (
        "6,",
        ",6",
        "6,,7",
        "6;7",
        "6-7",
        "[6]",
        "6.0",
        "six",
        "all,6",
        "bisect,6",
        "ALL",
        "",
        " ",
        "6,99",
        "-1",
        "0x6",
    ):
        yield Case(f"locate --cuts {value!r}", (*locate, *SMALL[:4], f"--cuts={value}"), says="cuts")
    for given in (
        "--evil",
        "--evil=5",
        "-x",
        "--",
        "--shot=5",
        "--seed 5",
        "extra words here",
        "--no-seeds",
        "--help=5",
        "--controls=yes",
        "--fresh=1",
    ):
        yield Case(f"locate {given}", (*LOCATE, *(given.split(" ") if given != "--" else ("--", "a", "b"))))
    for verb in ("evil", "LOCATE", "", " ", "locate\n", "--version=5", "../locate", "\0", "🙂", "x" * 50_000):
        yield Case(f"the verb {verb[:20]!r} of {len(verb)}", (verb,))
    for argv in (("compile",), ("generate",), ("report",), ("pretrain", "evil"), ("bench", "lexicon", "--shape", "llama:2x16"), ("compile", "--out", "p"),
                 ("generate", "--prompt", "p"), ("generate", "--prompt", "p", "--query", "x", "--queries", "y"), ("models", "--check"), ("models", "--check", ""),
                 ("tasks", "lexicon"), ("locate", "lexicon", "lexicon"), ("report", "a", "b"), ("locate", "--instruction", "maybe"), ("locate", "--device", ""),
                 ("locate", "--device", "cuda:99"), ("locate", "--device", "cpu:1:2"), ("locate", "--dtype", ""), ("locate", "--dtype", "FLOAT32"), ("locate", ""), ("locate", " "),
                 ("locate", "--task", ""), ("locate", "--metric", ""), ("locate", "--template", ""), ("locate", "--hide", ""), ("locate", "--revision", ""),
                 ("locate", "--paper", "--hide", "examples"), ("locate", "--shots", "5", "--shots", "5"), ("pretrain", "translator"),
                 ("pretrain", "translator", "--data", ""), ("pretrain", "translator", "--data", "/dev/null"), ("bench", "--shape", ""), ("bench", ""), ("report", "")):  # fmt: skip
        yield Case(f"taskpoint {' '.join(map(repr, argv))}", argv, seconds=4)
    # As every command line has it, the last one holds.
    yield Case("locate --items 3 --items 6", (*LOCATE, "--items", "3", "--items", "6"), exit=0, look=items_of(6))
    for name in ("--query", ""), ("--query", " "), ("--query", "\udcff"):
        yield Case(f"generate {name[0]} {name[1]!r}", (*GENERATE[:3], *name), needs=("prompt.safetensors",))
    yield Case(
        "generate --query of a million letters",
        (*GENERATE[:3], "--query", "x" * 100_000),
        needs=("prompt.safetensors",),
        seconds=6,
    )
    yield Case(
        "generate --query of control characters",
        (*GENERATE[:3], "--query", "\x1b[31mx\ny"),
        needs=("prompt.safetensors",),
        exit=0,
        without="\x1b[31m",
    )
    yield Case(
        "an error that names control characters", ("locate", "--task", "\x1b[31m\x07evil\r\x9b2J"), without="\x1b[31m"
    )
    yield Case("a model that names control characters", ("locate", "\x1b[31m\x07evil\r\x9b2J"), without="\x1b[31m")
    yield Case("an option that names control characters", ("locate", "--\x1b[31m\x07evil"), without="\x1b[31m")
    yield Case("a folder that names control characters", ("report", "\x1b[31m\x07evil"), without="\x1b[31m")


def environments() -> Iterator[Case]:
    table = (
        ("an unset HOME", {"HOME": ""}), ("a HOME that is a file", {"HOME": "/dev/null"}), ("a HOME that is not there", {"HOME": "/no/such/home"}),
        ("a HF_HOME that is a file", {"HF_HOME": "/dev/null"}), ("COLUMNS of 1", {"COLUMNS": "1"}), ("COLUMNS of words", {"COLUMNS": "abc"}), ("COLUMNS of -5", {"COLUMNS": "-5"}),
        ("COLUMNS of a million", {"COLUMNS": "1000000"}), ("a TERM of nobody's", {"TERM": "unknown"}), ("no TERM", {"TERM": ""}),
        ("NO_COLOR", {"NO_COLOR": "1"}), ("LINES of 1", {"LINES": "1"}), ("a TMPDIR that is not there", {"TMPDIR": "/no/such/tmp"}),
        ("a MPLBACKEND of nobody's", {"MPLBACKEND": "evil"}), ("a MPLCONFIGDIR that is a file", {"MPLCONFIGDIR": "/dev/null"}), ("a MPLBACKEND with windows", {"MPLBACKEND": "TkAgg"}),
        ("FORCE_COLOR", {"FORCE_COLOR": "1"}), ("a TZ of nobody's", {"TZ": "Evil/Zone"}), ("a proxy of nobody's", {"HTTPS_PROXY": "evil://x:y"}),
        ("a CUDA device of nobody's", {"CUDA_VISIBLE_DEVICES": "99,abc"}), ("verbosity of words", {"TRANSFORMERS_VERBOSITY": "evil", "HF_HUB_VERBOSITY": "evil"}),
    )  # fmt: skip
    for name, env in table:
        yield Case(f"locate under {name}", (*LOCATE, "--out", "o"), env=env, exit=0)
        yield Case(f"report under {name}", ("report", "run", "--figure", "f.png"), env=env, needs=("run",), exit=0)
    shell: tuple[tuple[str, str, int, str], ...] = (
        ("no input at all", "exec $T tasks <&-", 0, ""),
        ("no output at all", "exec $T tasks >&-", 0, ""),
        ("no errors at all", "exec $T tasks 2>&-", 0, ""),
        ("nothing at all", "exec $T tasks <&- >&- 2>&-", 0, ""),
        ("no errors to write an error to", "$T evil 2>&-; test $? = 2", 0, ""),
        ("a reader that left", "$T tasks | true", 0, ""),
        ("a reader that left a report", "$T report run | true", 0, ""),
        ("no output for a report", "exec $T report run >&-", 0, ""),
        ("no output for an answer", "exec $T generate --prompt prompt.safetensors --query dog >&-", 0, ""),
        ("output in ASCII", "PYTHONIOENCODING=ascii LC_ALL=C PYTHONUTF8=0 exec $T report run", 0, ""),
        ("output in Latin-1", "PYTHONIOENCODING=latin-1 exec $T report run", 0, ""),
        ("an error in ASCII", "PYTHONIOENCODING=ascii exec $T locate --task 'évil🙂'", 2, "vil"),
        (
            "an answer in ASCII",
            "PYTHONIOENCODING=ascii:strict exec $T generate --prompt prompt.safetensors --query '🙂é'",
            0,
            "",
        ),
        ("no locale", "env -i PATH=$PATH PYTHONPATH=$PYTHONPATH $T report run", 0, ""),
        ("a locale of nobody's", "LC_ALL=evil.EVIL LANG=evil exec $T report run", 0, ""),
        ("threads in words", "OMP_NUM_THREADS=abc exec $T generate --prompt prompt.safetensors --query dog", 0, ""),
        ("threads of 0", "OMP_NUM_THREADS=0 exec $T generate --prompt prompt.safetensors --query dog", 0, ""),
        ("a folder that was removed, tasks", "mkdir gone; cd gone; rmdir ../gone; exec $T tasks", 0, ""),
        (
            "a folder that was removed, locate",
            "mkdir gone; cd gone; rmdir ../gone; exec $T locate --task lexicon:plural --seeds 1 --items 6 --cuts 6 --no-controls",
            2,
            "cannot be written",
        ),
        ("an umask of everything", "umask 777; exec $T report run --figure f.svg", 0, ""),
        ("12 open files", "ulimit -n 12; exec $T tasks", 0, ""),
        ("a warning filter of errors", "PYTHONWARNINGS=error exec $T tasks", 0, ""),
        ("optimised Python", "PYTHONOPTIMIZE=2 exec $T report run", 0, ""),
        ("development mode", "PYTHONDEVMODE=1 exec $T tasks", 0, ""),
        (
            "modules of the same names here",
            "echo 'raise SystemExit(7)' > rich.py; echo 'raise SystemExit(7)' > typer.py; PYTHONSAFEPATH=1 exec $T tasks",
            0,
            "",
        ),
        (
            "a filesystem in ASCII",
            "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 exec $T report run --figure 'é.svg'",
            0,
            "",
        ),
        ("a result with a name of a device's", "exec $T report run --figure /dev/stdout.svg", 2, "svg"),
    )
    for name, script, exit_, says in shell:
        yield Case(f"a process with {name}", code=SHELL.format(script=script), exit=exit_, says=says, seconds=30,
                   needs=tuple(n for n, word in (("run", " run"), ("prompt.safetensors", "prompt.safetensors")) if word in script))  # fmt: skip
    yield Case("few open files, locate", exit=0, code="import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))\n"
               "assert len(tp.locate(lm, tp.task('lexicon:plural'), items=6, seeds=1, cuts=[6], controls=False, out='o').rows)")  # fmt: skip
    yield Case("no open file more, locate", code="import resource, os\ntask = tp.task('lexicon:plural')\nn = os.dup(0); os.close(n); resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))\n"
               "tp.locate(lm, task, items=6, seeds=1, cuts=[6], controls=False, out='o')", says="o")  # fmt: skip
    yield Case(
        "a folder that is removed on the way",
        code="import shutil\ntp.locate(lm, tp.task('lexicon:plural'), items=6, seeds=1, cuts=[6], out='o', progress=lambda a, b: shutil.rmtree('o', ignore_errors=True))",
        says="o",
    )
    yield Case("a folder that becomes a file on the way", says="o",
               code="import shutil, os\ndef tell(a, b):\n    if os.path.isdir('o'): shutil.rmtree('o'); open('o', 'w').close()\n"
               "tp.locate(lm, tp.task('lexicon:plural'), items=6, seeds=1, cuts=[6], out='o', progress=tell)")  # fmt: skip
    yield Case("another process in the same folder", says="in use",
               code="import fcntl, os\nos.mkdir('o'); fd = os.open('o/.lock', os.O_RDWR | os.O_CREAT); fcntl.flock(fd, fcntl.LOCK_EX)\n"
               "tp.locate(lm, tp.task('lexicon:plural'), items=6, seeds=1, cuts=[6], controls=False, out='o')")  # fmt: skip
    yield Case("locate twice into one folder at once", says="in use",
               code="kw = dict(items=6, seeds=1, cuts=[6], controls=False, out='o'); t = tp.task('lexicon:plural')\ntp.locate(lm, t, **kw, progress=lambda a, b: tp.locate(lm, t, **kw))")  # fmt: skip


HUMANEVAL = {
    "task_id": "a",
    "prompt": 'def f(x):\n    """ Twice x. """\n',
    "entry_point": "f",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(f):\n    assert f(1) == 2\n",
}
MBPP = {
    "text": "Give one.",
    "code": "def f():\n  return 1",
    "task_id": 11,
    "test_setup_code": "",
    "test_list": ["assert f() == 1"],
}


def programs() -> Iterator[Case]:
    def lines(*records: object) -> str:
        return "".join(json.dumps(record) + "\n" for record in records)

    other = {**HUMANEVAL, "task_id": "b", "prompt": 'def f(x):\n    """ Two times x. """\n'}
    humaneval: dict[str, tuple[str, str]] = {
        "without leave to run": (lines(HUMANEVAL, other), "--run-programs"),
        "with a field less": (
            lines(HUMANEVAL, {k: v for k, v in other.items() if k != "test"}),
            "line 2: no field 'test'",
        ),
        "of no JSON": ("def f(): pass\n", "line 1: no JSON"),
        "of numbers": ("1\n2\n", "line 1"),
        "of an empty list": ("[]", "no problem"),
        "of an open list": ("[{}", "no JSON"),
        "with nothing in it": ("", "empty"),
        "with an id twice": (lines(HUMANEVAL, HUMANEVAL), "stands there twice"),
        "with a key twice": ('{"task_id": "a", "task_id": "b"}\n', "line 1"),
        "of one problem": (lines(HUMANEVAL), "at least 2"),
        "with half a surrogate": (lines(HUMANEVAL, {**other, "prompt": other["prompt"] + "# \ud800"}), "surrogate"),
        "with NUL in a program": (lines(HUMANEVAL, {**other, "prompt": other["prompt"] + "\0"}), "no Python"),
        "with a program nested deeply": (
            lines(HUMANEVAL, {**other, "canonical_solution": "    return " + "(" * 5000 + ")" * 5000}),
            "no Python",
        ),
        "with a test of 10 million characters": (lines(HUMANEVAL, {**other, "test": "#" * 10_000_000}), "characters"),
    }
    for name, (text, says) in humaneval.items():
        yield Case(
            f"a file of humaneval {name}",
            ("locate", "--task", "humaneval:h.jsonl", *FEW),
            says=says,
            seconds=12,
            prepare=written(h_jsonl=text),
        )
    for name, record, says in (
        ("whose number is a text", {**MBPP, "task_id": "11"}, "'task_id'"),
        ("whose tests are a text", {**MBPP, "test_list": "assert f()"}, "'test_list'"),
        ("whose tests test nothing", {**MBPP, "test_list": ["assert 1"]}, "no test of a function"),
        ("with none of the problems asked", {**MBPP, "task_id": 3}, "11 to 510"),
        ("without leave to run", MBPP, "--run-programs"),
    ):
        yield Case(
            f"a file of mbpp {name}",
            ("locate", "--task", "mbpp:m.jsonl", *FEW),
            says=says,
            seconds=12,
            prepare=written(m_jsonl=lines(record)),
        )
    for spec, says in (
        ("humaneval:", "names no file"),
        ("mbpp:none.jsonl", "no file"),
        ("humaneval:.", "directory"),
        ("humaneval:h.jsonl+mbpp:", "names no file"),
        ("humanevil:x", "Did you mean"),
    ):
        yield Case(f"the task {spec}", ("locate", "--task", spec, *FEW), says=says)


TEXTS: tuple[Case, ...] = (*task_files(), *options(), *environments(), *programs())
