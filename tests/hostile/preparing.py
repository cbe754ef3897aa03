"""What cases are made of: short command lines, materials that they copy, and what is done to files before and after."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
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
HEAL = (
    "heal", "--task", "lexicon:plural", "--items", "4", "--seeds", "1", "--after", "3", "--training", "6",
    "--batch", "6", "--steps", "1", "--shots", "2",
)  # fmt: skip
LORA = (
    "lora", "--task", "lexicon:plural", "--items", "4", "--seeds", "1", "--layers", "0,3", "--sizes", "4",
    "--steps", "1",
)  # fmt: skip
DIGITS = "9" * 5_000
# An adapter that changes nothing yet; as peft makes it.
_ADAPTER = (
    "import peft\n"
    "made = peft.get_peft_model(tp.load().model, peft.LoraConfig(target_modules=['o_proj'], task_type='CAUSAL_LM'))\n"
    "made.save_pretrained('adapter')\n"
)

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
    "adapted": Case("adapted", (*LORA, "--out", "adapted"), exit=0),
    "narrow": Case("narrow", code="lm.model.resize_token_embeddings(40)\n"
                   "lm.model.save_pretrained('narrow'); lm.tokenizer.save_pretrained('narrow')", exit=0),
    "healed": Case("healed", (*HEAL, "--out", "healed"), exit=0),
    "adapter": Case("adapter", code=_ADAPTER, exit=0),
    "healed.safetensors": Case(
        "healed.safetensors",
        code=f"{_ADAPTER}prompt = tp.compile_prompt(tp.load(adapter='adapter'), 'lexicon:plural', after=6)\n"
        "prompt.save('healed.safetensors')",
        exit=0,
    ),
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


COMPILE = ("compile", "--task", "lexicon:plural", "--after", "6", "--out")
GENERATE = ("generate", "--prompt", "prompt.safetensors", "--query", "dog")
REPORT = ("report", "run")
OWN = ("locate", "model", *LOCATE[1:])
PRETRAIN = ("pretrain", "lexicon", "--steps", "1")

Prepare = Callable[[Path], object]
Look = Callable[[Path, str], str | None]


def absent(*names: str) -> Look:
    """Nothing stands there."""

    def look(folder: Path, _: str) -> str | None:
        there = [name for name in names if os.path.lexists(folder / name)]
        return f"wrote {there}" if there else None

    return look


def all_of(*acts: Prepare) -> Prepare:
    """One act after the other."""

    def prepare(folder: Path) -> None:
        for act in acts:
            act(folder)

    return prepare


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Prepare:
    """Changes the bytes of a file."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def replaced(name: str, by: str) -> Prepare:
    """Puts something else where a file or folder was: a file, folder, fifo, loop, dangling link, nothing or zeros."""

    def prepare(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        made: dict[str, Callable[[], object]] = {
            "file": lambda: path.write_text("mine"),
            "folder": path.mkdir,
            "fifo": lambda: os.mkfifo(path),
            "loop": lambda: path.symlink_to(path.name),
            "dangling": lambda: path.symlink_to("nowhere/at/all"),
            "nothing": lambda: None,
            "zeros": lambda: path.symlink_to("/dev/zero"),
        }
        made[by]()

    return prepare
