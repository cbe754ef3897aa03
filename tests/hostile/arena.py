"""Runs many hostile cases, each in a process of its own that is forked from one with everything imported.

A case costs what it does, not what Python needs to import torch. `python arena.py` serves: a JSON line in, one out.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# More memory than any case needs, and less than a machine of continuous integration has.
MEMORY = 12 << 30


@dataclass(frozen=True)
class Case:
    """One command line, or one piece of code, and what is right.

    Attributes:
        name: What it is about.
        argv: The command line.
        code: Python, in place of a command line; `tp` is the package, `lm` the bundled model.
        exit: The right exit code; for code 2 means a TaskpointError, 0 that it ran to its end.
        says: What stands in stderr.
        without: What does not stand there.
        seconds: How long it may take.
        needs: What of the materials is copied into the folder that the case runs in.
        prepare: Makes or spoils files there.
        look: Looks at that folder and at stdout afterwards; says what is wrong there, or nothing.
        stdout: A file for its standard output, such as /dev/full.
        largest: Bytes that a file may grow to before the disk is full.
        env: More variables.
    """

    name: str
    argv: tuple[str, ...] = ()
    code: str = ""
    exit: int = 2
    says: str = ""
    without: str = ""
    seconds: float = 20.0
    needs: tuple[str, ...] = ()
    prepare: Callable[[Path], object] | None = None
    look: Callable[[Path, str], str | None] | None = None
    stdout: str | None = None
    largest: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        exit: Exit code; minus a signal's number; None where it ran out of time.
        stdout: What it printed.
        stderr: What it complained.
        seconds: What it took.
        wrong: What is wrong with all that; empty where nothing is.
    """

    exit: int | None
    stdout: str
    stderr: str
    seconds: float
    wrong: str


_PROGRESS = re.compile(r"Loading weights|[a-z ]+: \d+ of \d+")

# A line of an error that is longer fills more than a screen.
LONGEST_LINE = 1_100


def judge(case: Case, folder: Path, exit_code: int | None, stdout: str, stderr: str) -> str:
    """What is wrong; empty where nothing is."""
    # Not errors: the library's own bar while it loads a model of the user's, and how far the work is.
    stderr = "\n".join(line for line in stderr.splitlines() if not _PROGRESS.match(line))
    if exit_code is None:
        return f"hangs (over {case.seconds:g} s)"
    if "Traceback (most recent call last)" in stderr:
        return "traceback: " + next((x for x in reversed(stderr.strip().splitlines()) if x.strip()), "")[:150]
    if exit_code != case.exit:
        return f"exit {exit_code}, not {case.exit}: {stderr.strip()[-150:]!r}"
    if case.exit == 2 and len(stderr.strip().splitlines()) != 1:
        return f"{len(stderr.strip().splitlines())} lines on stderr: {stderr.strip()[:200]!r}"
    longest = max(map(len, stderr.splitlines()), default=0)
    if longest > LONGEST_LINE:
        return f"a line of {longest} characters"
    if case.says not in stderr:
        return f"says {stderr.strip()[:200]!r}, not {case.says!r}"
    if case.without and case.without in stderr + stdout:
        return f"says {case.without!r}"
    if case.look is not None:
        return case.look(folder, stdout) or ""
    return ""


class Arena:
    """A process that imported everything, and forks one for each case."""

    def __init__(self, materials: Path, source: Path | None = None) -> None:
        """Starts it.

        Args:
            materials: Folder of what cases need, such as a finished run.
            source: The folder `src` of the checkout to try; None for the one that is installed.
        """
        self.materials = materials
        env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TERM": "dumb"}
        env["TRANSFORMERS_VERBOSITY"] = env["HF_HUB_VERBOSITY"] = "error"
        if source is not None:
            env["PYTHONPATH"] = str(source)
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self._ask({"ready": True})

    def close(self) -> None:
        self._server.terminate()
        self._server.wait()

    def run(self, case: Case) -> Outcome:
        """Runs a case in a fresh folder, and looks at what it left there."""
        folder = Path(tempfile.mkdtemp(prefix="hostile-"))
        try:
            work = folder / "here"
            work.mkdir()
            for name in case.needs:
                found = self.materials / name
                (shutil.copytree if found.is_dir() else shutil.copy)(found, work / name)
            if case.prepare is not None:
                case.prepare(work)
            request = {
                "argv": list(case.argv),
                "code": case.code,
                "folder": str(work),
                "stdout": case.stdout,
                "seconds": case.seconds,
                "env": dict(case.env),
                "largest": case.largest,
            }
            told = self._ask(request)
            wrong = judge(case, work, told["exit"], told["stdout"], told["stderr"])
            return Outcome(told["exit"], told["stdout"], told["stderr"], told["seconds"], wrong)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._server.stdin is None or self._server.stdout is None:
            raise RuntimeError("the server has no pipes")
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError("the server of the arena ended")
        told: dict[str, Any] = json.loads(answer)
        return told


def _serve() -> None:
    # All that the verbs import on their way, so that no case waits for it.
    import taskpoint as tp
    import taskpoint.cli
    import taskpoint.compiled.compile
    import taskpoint.experiments.heal.run
    import taskpoint.experiments.locate.run
    import taskpoint.experiments.lora.run
    from taskpoint.cli import main

    with suppress(ImportError):
        import peft  # noqa: F401
    tp.load()
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"ready": True} if "ready" in request else _watched(request, main)
        print(json.dumps(answer), flush=True)


def _watched(request: dict[str, Any], main: Callable[[], None]) -> dict[str, Any]:
    start = time.monotonic()
    pipes = [os.pipe(), os.pipe()]
    child = os.fork()
    if child == 0:
        _act(request, main, [write for _, write in pipes])
    said = {}
    for read, write in pipes:
        os.close(write)
        said[read] = b""
    waiting, code = set(said), None
    while waiting and (left := request["seconds"] - (time.monotonic() - start)) > 0:
        for ready in select.select(sorted(waiting), [], [], left)[0]:
            part = os.read(ready, 1 << 16)
            said[ready] += part
            if not part:
                waiting.discard(ready)
    if waiting:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not waiting:
        code = os.waitstatus_to_exitcode(status)
    texts = [said[read].decode(errors="replace") for read, _ in pipes]
    for read, _ in pipes:
        os.close(read)
    return {"exit": code, "seconds": time.monotonic() - start, "stdout": texts[0], "stderr": texts[1]}


def _act(request: dict[str, Any], main: Callable[[], None], pipes: list[int]) -> None:
    """What the forked process does; never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir(request["folder"])
        os.environ.update(request["env"])
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if request["largest"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest"], request["largest"]))
        out = pipes[0] if request["stdout"] is None else os.open(request["stdout"], os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(out, 1)
        os.dup2(pipes[1], 2)
        os.closerange(3, 256)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if request["code"]:
            code = _execute(request["code"])
        else:
            sys.argv = ["taskpoint", *request["argv"]]
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        # As the interpreter does at its end.
        sys.stdout.flush()
    except (OSError, ValueError):
        code = code or 120
    try:
        sys.stderr.flush()
    finally:
        os._exit(code)


def _execute(code: str) -> int:
    import taskpoint as tp

    try:
        exec(compile(code, "<case>", "exec"), {"tp": tp, "lm": tp.load()})
    except tp.TaskpointError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    _serve()
