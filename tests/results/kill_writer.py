"""A run in small, to be killed: test_folder_killed.py starts this once and asks it for one run per line of input.

Each run is a process of its own, forked after the imports so that twenty of them take no time. A line is a JSON object:
`path`; `parts`; `pause` in seconds before each part; `step` and `nth`: kill yourself when you come to a step the n-th
time. The answer is the process id. The next line, "end", waits for its end, and is answered by its exit code.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
import time
from collections.abc import Callable

from taskpoint.results import atomic
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import cell_key

ITEMS = 20
STEPS = ("before the file", "half a file", "before the sync", "before the rename", "before the folder's sync")


def rows(seed: int) -> list[dict[str, object]]:
    return [
        {
            "model": "m",
            "task": "t",
            "condition": "examples hidden",
            "shots": 5,
            "seed": seed,
            "cut": cut,
            "item": f"item-{item:03d}",
            "text": f"answer {seed * cut + item}",
            "score": (seed + cut + item) % 8 / 8,
        }
        for cut in (0, 2, 4)
        for item in range(ITEMS)
    ]


def run(path: str, parts: int, pause: float = 0.0) -> None:
    with RunFolder.open(path, {"parts": parts, "items": ITEMS}) as folder:
        for seed in range(parts):
            key = cell_key("examples hidden", 5, seed)
            if not folder.has(key):
                time.sleep(pause)
                folder.write(key, rows(seed))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str, nth: int) -> None:
    """Makes the process kill itself at the n-th time that it comes to a step of writing a file."""
    calls = 0

    def dying(function: Callable[..., object], last_words: Callable[..., object] = lambda *_: None):
        def wrapped(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == nth:
                last_words(*arguments)
                die()
            return function(*arguments, **named)

        return wrapped

    class HalfFile:
        def __init__(self, *arguments):
            self.file = builtins.open(*arguments)  # noqa: SIM115

        def __enter__(self):
            self.file.__enter__()
            return self

        def __exit__(self, *arguments):
            return self.file.__exit__(*arguments)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def half(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()

        def write(self, content):
            return dying(self.file.write, self.half)(content)

    if step == "before the file":
        atomic.open = dying(builtins.open)
    elif step == "half a file":
        atomic.open = HalfFile
    elif step == "before the sync":
        os.fsync = dying(os.fsync)
    elif step == "before the rename":
        os.replace = dying(os.replace)
    else:
        atomic.sync_folder = dying(atomic.sync_folder)


def serve() -> None:
    while line := sys.stdin.readline():
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                if "step" in asked:
                    arm(asked["step"], asked["nth"])
                run(asked["path"], asked["parts"], asked.get("pause", 0.0))
                os._exit(0)
            except BaseException as error:
                print(error, file=sys.stderr)
            finally:
                os._exit(1)
        print(child, flush=True)
        # Not earlier: the id of a process that has not been waited for belongs to no other.
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
