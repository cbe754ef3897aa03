"""The code of README and docs, run word for word: every Python block, and every line of the shell blocks.

A shell line, `make demo` among them, meets a folder that is like a fresh clone whose environment is made: the project's
Makefile, and in `.venv/bin` the command `taskpoint` and the interpreter that runs these tests. What the lines take for
granted is there: a file with words, one with queries, and under the names `meta-llama/Llama-3.1-8B` and `MODEL` the
folder of a small model. Three things are other than they read, and this file lists each: sizes (SMALL and SHORTER), the
GPU (SHORTER), and the lines of NOT_RUN.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Line -> why it is not run here.
NOT_RUN = {
    "make test": "these are its tests",
    "pip install .": "needs a package index; `make` installs the same package, and continuous integration runs that",
    **dict.fromkeys(
        [f"python benchmarks/{name}.py" for name in ("ablate", "cut", "sweep", "compiled", "translator", "gpu")],
        "takes minutes; tests/test_benchmarks.py runs it at small sizes",
    ),
    "taskpoint locate MODEL --task humaneval:HumanEval.jsonl --run-programs": "the published file and a large model; "
    "tests/tasks/code/test_locate_programs.py runs one",
    "python benchmarks/references.py DATA": "takes minutes; tests/tasks/code/test_code_tasks.py runs a sample",
    "python benchmarks/peers.py": "installs other tools",
    "python benchmarks/kills.py --kills 50": "takes minutes; tests/results/test_folder_killed.py kills as well",
}

# Verb -> options that stand before those of the line, so that they count only where the line leaves them out.
SMALL = {
    "locate": "--items 2 --seeds 1",
    "ablate": "--items 2 --seeds 1",
    "bench": "--rounds 1 --new 1 --query 4 --context 8 --batch 1 --cuts N/2",
    "reproduce": "--items 2 --seeds 1 --run llama-3.1-8b-no-instruction",
    "heads": "--items 2 --seeds 1 --train-items 4 --epochs 1 --random 1",
    "heal": "--items 4 --seeds 1 --after 2 --training 8 --steps 1",
    "lora": "--items 2 --seeds 1 --layers 0,1 --sizes 2 --steps 1",
    "profile": "--items 4 --seeds 1 --set lora.sizes=[2] --set lora.steps=1 --set heads.train_items=4 "
    "--set heads.epochs=1 --set heads.random=1",
}

# Words of a document, or of the Makefile -> what is run in their place.
SHORTER = {
    "--items 48": "--items 2",
    "--paper": "--paper --no-controls --cuts 0,6,12",
    "--grid": "--grid --no-controls --cuts 0,5,10 --shots 2",
    "--context 512,2048,8192 --batch 1,8": "--context 8,16,32 --batch 1,2",
    "train_shots=[0, 5], shots=[0, 5]": "train_shots=0, shots=0, seeds=1, items=2, train_items=4, epochs=1",
    "after=[2, 4], shots=5, seeds=2": "after=[2], shots=5, seeds=1, items=4, training=8, steps=1",
    "--task pairs:FILE.tsv --variant neurips": "--task lexicon:plural --variant neurips --dev 2",
    "sizes=[25, 50]": "sizes=[2, 4], items=4, seeds=1, layers=[0, 1], steps=1",
    "context=[128, 512], batch=[1, 8]": "context=[8, 16], batch=[1, 2], rounds=1, new=2",
}
if not torch.cuda.is_available():
    SHORTER["--device cuda"] = "--device cpu"

# What a line names -> the line that makes it.
MADE_BY = {
    "runs/demo": "make demo",
    "--prompt fr.safetensors": "taskpoint compile --task lexicon:english-french --after 9 --out fr.safetensors",
    "runs/heal": "taskpoint heal --out runs/heal",
    "runs/bench-...": "taskpoint bench --out runs/bench-...",
    "report runs/heads": "taskpoint heads --train-shots 0 --shots 0 --out runs/heads",
    "runs/lora-...": "taskpoint lora --out runs/lora-...",
}

# All that stands on stderr while all goes well: how far a run is; and how far the library has read a model that is not
# bundled, which may take minutes (models/quiet.py).
OURS = re.compile(r"(([a-z]+( [\w.-]+)?): \d+ of \d+.*\s*)*")
LOADING = re.compile(r"\s*(Loading weights: .*\s*)*")
# What a library might say on stdout.
NOTICE = re.compile(r"warn|deprecat|\[transformers\]|traceback", re.IGNORECASE)


class Block(NamedTuple):
    """A fenced block: its document, the number of its first line of code, its language and its text."""

    document: Path
    line: int
    language: str
    text: str


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text()
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        yield Block(document, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])


BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
SHELL = {
    f"{block.document.name}:{number}": line
    for block in BLOCKS
    if block.language == "bash"
    for number, line in enumerate(block.text.splitlines(), block.line)
    if line
}
PYTHON = {block.document.name: block.document for block in BLOCKS if block.language == "python"}


def words(line: str) -> str:
    """A shell line without its comment and its padding."""
    return re.sub(r"\s+#.*", "", line).strip()


def shorter(text: str) -> str:
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


def run(line: str, clone: Path) -> subprocess.CompletedProcess[str]:
    loud = ("HF_HUB_VERBOSITY", "TRANSFORMERS_VERBOSITY", "PYTHONWARNINGS", "MAKEFLAGS", "MAKELEVEL")
    variables = {key: value for key, value in os.environ.items() if key not in loud}
    variables["OMP_NUM_THREADS"] = "1"  # several run at once, and small models are slower on two threads
    variables["PATH"] = f"{clone / '.venv' / 'bin'}{os.pathsep}{variables['PATH']}"
    return subprocess.run(
        ["bash", "-euc", shorter(line)], cwd=clone, env=variables, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "constraints.txt", "Makefile"):
        (tmp_path / name).write_text(shorter((ROOT / name).read_text()))
    command = tmp_path / ".venv" / "bin" / "taskpoint"
    command.parent.mkdir(parents=True)
    cases = [f'{verb}) shift; set -- {verb} {options} "$@";;' for verb, options in SMALL.items()]
    python = shlex.quote(sys.executable)
    command.write_text(f'#!/bin/sh\ncase "$1" in {" ".join(cases)} esac\nexec {python} -m taskpoint "$@"\n')
    command.chmod(0o755)
    (command.parent / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".installed").touch()

    antonyms = ["hot cold", "big small", "up down", "fast slow", "old new", "day night", "wet dry", "rich poor"]
    pairs = [dict(zip(("input", "output"), pair.split(), strict=True)) for pair in antonyms]
    (tmp_path / "antonyms.json").write_text(json.dumps(pairs))
    (tmp_path / "queries.jsonl").write_text('{"query": "dog"}\n"house"\n')
    for name in ("meta-llama/Llama-3.1-8B", "MODEL"):
        save_model(tmp_path / name)
    return tmp_path


def llama(layers: int, vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def save_model(folder: Path) -> None:
    """A small model with random weights, with the tokenizer of a bundled one."""
    from taskpoint.models.bundled import bundled_models

    source = bundled_models()["lexicon"].path
    folder.mkdir(parents=True)
    for path in source.glob("*token*"):
        shutil.copy(path, folder)
    llama(4, json.loads((source / "config.json").read_text())["vocab_size"]).save_pretrained(folder)


@pytest.mark.parametrize("where", [where for where, line in SHELL.items() if words(line) not in NOT_RUN])
def test_a_shell_line_runs_and_nothing_but_our_own_lines_reaches_the_terminal(where: str, clone: Path) -> None:
    line = SHELL[where]
    for name, maker in MADE_BY.items():
        if name in line:
            assert run(maker, clone).returncode == 0
    done = run(line, clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    own_model = any(name in line for name in ("meta-llama/", "MODEL"))
    said = LOADING.sub("", done.stderr, count=1) if own_model else done.stderr
    assert OURS.fullmatch(said), said
    assert not NOTICE.search(done.stdout), done.stdout
    for option, written in re.findall(r"--(out|figure) (\S+)", words(line)):
        assert (clone / written).exists(), option


@pytest.mark.parametrize("name", PYTHON)
def test_the_python_of_a_document_runs(name: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskpoint.experiments.locate.config import LocateConfig
    from taskpoint.models import families

    monkeypatch.chdir(clone)
    monkeypatch.setattr(LocateConfig, "items", 2)
    for table in ("_FAMILIES", "KNOWN_FAMILIES"):  # what a block registers is forgotten
        monkeypatch.setattr(families, table, dict(getattr(families, table)))
    text = PYTHON[name].read_text()
    if "runs/demo" in text:
        assert run(MADE_BY["runs/demo"], clone).returncode == 0
    namespace = given()
    for block in blocks(PYTHON[name]):
        if block.language == "python":
            # The empty lines before it make tracebacks show the lines of the document.
            source = "\n" * (block.line - 1) + shorter(block.text)
            exec(compile(source, str(block.document), "exec"), namespace)
    seen = {variable: namespace.get(variable) for variable in ("sweep", "logits", "tokens")}
    if name == "README.md":
        assert seen["sweep"].rows["item"].nunique() == 2
        assert (clone / "report.html").exists()
        assert (clone / "figure.pdf").exists()
        assert seen["logits"].shape == (17, 2, 100)  # [layers + 1, batch, vocab], as the comment beside it says
        assert seen["tokens"].shape[:2] == (17, 2)  # [layers + 1, batch, new]


def given() -> dict[str, Any]:
    """The names that blocks take for granted: a decoder of 16 layers and two prompts, the second one padded."""
    input_ids = torch.arange(3, 27).reshape(2, 12)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, :3] = 0
    mask = torch.zeros_like(input_ids, dtype=torch.bool)
    mask[:, 4:8] = True
    return {"model": llama(16, 100), "input_ids": input_ids, "attention_mask": attention_mask, "mask": mask}


def test_blocks_are_found() -> None:
    found = {(block.document.name, block.language) for block in BLOCKS}
    assert {("README.md", "bash"), ("README.md", "python"), ("cut.md", "python"), ("compile.md", "bash")} <= found
    assert sum("tp.cut_context(" in block.text for block in BLOCKS if block.document.name == "README.md") == 1
    fences = sum(len(re.findall(r"^ *(?:```|~~~)", document.read_text(), re.MULTILINE)) for document in DOCUMENTS)
    assert fences == 2 * len(BLOCKS), "a block without a language, or indented, is not run"


def test_every_exception_is_still_needed() -> None:
    lines = {words(line) for line in SHELL.values()}
    text = "\n".join(document.read_text() for document in [*DOCUMENTS, ROOT / "Makefile"])
    assert set(NOT_RUN) <= lines
    assert [long for long in SHORTER if long not in text] == []
    assert [name for name in MADE_BY if name not in text] == []
    assert [verb for verb in SMALL if f"taskpoint {verb}" not in text] == []
