"""The processes of a program: how many there are, what they hold, and their end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "TASKPOINT_PROGRAM"
"""A variable in the environment of a program and of all that it starts."""

_GONE_SECONDS = 10.0
_LEAVES_SECONDS = 0.25


@dataclass(frozen=True)
class Started:
    """A program that was started.

    Attributes:
        mark: The value of `MARK`; no other program has it.
        folder: The one that it may write to, as it is called outside.
        vanishes: Whether all of its processes end with the first.
    """

    process: subprocess.Popen[bytes]
    mark: str
    folder: Path
    vanishes: bool

    def descendants(self) -> list[psutil.Process]:
        """What it started, and what these started."""
        return self._children(recursive=True)

    def _children(self, recursive: bool) -> list[psutil.Process]:
        try:
            return list(psutil.Process(self.process.pid).children(recursive=recursive))
        except psutil.NoSuchProcess:
            return []

    def use(self) -> tuple[int, int]:
        """Threads and bytes of memory of all of its processes."""
        threads = memory = 0
        for process in self.descendants():
            with contextlib.suppress(psutil.Error):
                threads += process.num_threads()
                memory += process.memory_info().rss
        return threads, memory

    def files(self) -> int:
        """Bytes of the files in its folder."""
        size = 0
        for place, _, names in os.walk(self.folder, onerror=None):
            for name in names:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(place, name)).st_blocks * 512
        return size

    def end(self, *, now: bool = False) -> None:
        """Ends it and everything that it started; returns when nothing of it is left.

        Without `now` it is given a moment to end by itself, as it does where nothing is asked of it any more.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process.wait(0 if now else _LEAVES_SECONDS) >= 0:
                return
        deadline = time.monotonic() + _GONE_SECONDS
        if self.vanishes:
            _kill(self._children(recursive=False))
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_GONE_SECONDS)
        else:
            _kill_all(self.descendants, deadline)
        self.process.kill()
        self.process.wait()
        if not self.vanishes:
            _kill_all(lambda: marked(self.mark), deadline)


def _kill_all(find: Callable[[], list[psutil.Process]], deadline: float) -> None:
    """Ends processes that may start others meanwhile: all are stopped first, so that none is missed."""
    known: set[psutil.Process] = set()
    while (found := set(find())) and time.monotonic() < deadline:
        if found <= known:
            _kill(found)
        for process in found - known:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        known |= found


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def threads_of_all() -> int:
    """The threads of the whole system, in microseconds; 0 where that cannot be had."""
    try:
        with open("/proc/loadavg") as file:
            return int(file.read().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def marked(mark: str) -> list[psutil.Process]:
    """The processes that carry a mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
