"""Hostile places to write to: the second round."""

# ruff: noqa: E501 (a case is one row of a table)

from __future__ import annotations

import os
from collections.abc import Iterator

from arena import Case
from preparing import (
    COMPILE,
    LOCATE,
    PRETRAIN,
    REPORT,
    TINY_BENCH,
    all_of,
    kept,
    replaced,
    written,
)


def places() -> Iterator[Case]:
    writers = {
        "locate": (*LOCATE, "--out"),
        "bench": (*TINY_BENCH, "--out"),
        "compile": COMPILE,
        "pretrain": (*PRETRAIN, "--out"),
    }
    mine = {"mine": "mine"}
    for verb, argv in writers.items():
        for name, place, prepare in (
            ("a path through a file", "mine/out/x", written(mine="mine")),
            ("a symlink to itself", "out", replaced("out", "loop")),
            ("a path through a symlink to itself", "out/x", replaced("out", "loop")),
            ("a FIFO", "out", replaced("out", "fifo")),
            ("a name of 300 characters", "x" * 300, None),
            ("a path of 5,000 characters", "/".join(["x" * 49] * 100), None),
            ("a NUL byte", "a\0b", None),
            ("a file of the user's", "mine", written(**mine)),
            ("a device", "/dev/null", None),
            ("a folder of the kernel's", "/sys/kernel/out", None),
        ):
            yield Case(f"--out that is {name}, {verb}", (*argv, place), prepare=prepare, seconds=3,
                       look=kept(**mine) if "user" in name else None)  # fmt: skip
    argv = ("generate", "--prompt", "prompt.safetensors", "--queries", "q.jsonl", "--out")
    for name, place, prepare in (
        ("a path through a file", "mine/x", written(mine="mine")),
        ("a symlink to itself", "out", replaced("out", "loop")),
        ("a FIFO", "out", replaced("out", "fifo")),
        ("a name of 300 characters", "x" * 300, None),
        ("a NUL byte", "a\0b", None),
        ("a file of the user's", "mine", written(mine="mine")),
        ("the compiled prompt", "prompt.safetensors", None),
        ("a device", "/dev/null", None),
        ("its own queries by another path", "./../here/q.jsonl", None),
        ("its own queries by a symlink", "link", lambda folder: (folder / "link").symlink_to("q.jsonl")),
        ("its own queries by a hard link", "link", lambda folder: os.link(folder / "q.jsonl", folder / "link")),
    ):
        yield Case(f"--out that is {name}, generate", (*argv, place), needs=("prompt.safetensors",), seconds=3,
                   prepare=all_of(written(q_jsonl='"dog"\n'), prepare or (lambda _: None)),
                   look=kept(q_jsonl='"dog"\n'))  # fmt: skip
    yield Case("--out through a symlink to a folder, locate", (*LOCATE, "--out", "link/out"), exit=0,
               prepare=lambda folder: ((folder / "real").mkdir(), (folder / "link").symlink_to("real")),
               look=lambda folder, _: None if list((folder / "real/out/rows").glob("*")) else "no rows")  # fmt: skip
    yield Case("--out with a trailing slash and dots, locate", (*LOCATE, "--out", "./a/../out//"), exit=0,
               look=lambda folder, _: None if list((folder / "out/rows").glob("*")) else "no rows")  # fmt: skip
    yield Case("--out with a blank, an emoji and a quote, locate", (*LOCATE, "--out", "o u t 🙂'\"$(x)"), exit=0)
    yield Case("--out that begins with a minus, locate", (*LOCATE, "--out=-out"), exit=0)
    yield Case("--out with a newline and ESC, locate", (*LOCATE, "--out", "a\nb\x1b[31mc"), exit=0, without="\x1b[31m")
    for by in ("file", "loop", "fifo", "dangling", "zeros"):
        yield Case(f"rows that are a {by}, report", REPORT, needs=("run",), says="rows", seconds=3,
                   prepare=replaced("run/rows", by))  # fmt: skip
        yield Case(f"rows that are a {by}, continued", (*LOCATE, "--out", "run"), needs=("run",), seconds=3,
                   prepare=replaced("run/rows", by))  # fmt: skip
    for by in ("folder", "loop", "fifo", "zeros", "dangling", "nothing"):
        yield Case(f"a config.json that is a {by}, report", REPORT, needs=("run",), says="config.json", seconds=3,
                   prepare=replaced("run/config.json", by))  # fmt: skip
        yield Case(f"a config.json that is a {by}, continued", (*LOCATE, "--out", "run"), needs=("run",), seconds=3,
                   prepare=replaced("run/config.json", by))  # fmt: skip
    for by in ("folder", "loop", "dangling"):
        yield Case(f"a .lock that is a {by}, continued", (*LOCATE, "--out", "run"), needs=("run",), says="run",
                   prepare=replaced("run/.lock", by))  # fmt: skip
    for name in ("report.html", "figure.pdf"):
        for by in ("folder", "loop", "fifo"):
            yield Case(f"a {name} that is a {by}, report", REPORT, needs=("run",), seconds=3, prepare=replaced(f"run/{name}", by),
                       exit=2 if by == "folder" else 0, says=name if by == "folder" else "")  # fmt: skip
    for place in (
        "no/such/folder/f.svg",
        "mine/f.svg",
        "x" * 300 + ".svg",
        "f",
        "f.",
        ".svg",
        "f.exe",
        "f.SVG",
        "f.pdf.gz",
    ):
        works = place in ("no/such/folder/f.svg", "f.SVG")
        yield Case(f"a figure at {place[:24]}", (*REPORT, "--figure", place), needs=("run",), prepare=written(mine="mine"),
                   exit=0 if works else 2,
                   look=lambda folder, _, place=place, works=works: None if (folder / place[:200]).is_file() == works else "file or not")  # fmt: skip
    yield Case("a figure over a file of the user's that is none", (*REPORT, "--figure", "f.svg"), needs=("run",), exit=0,
               prepare=written(f_svg="<svg/>"))  # fmt: skip
