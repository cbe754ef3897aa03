"""Runs a program against the tests of a problem, contained, and says whether they passed.

The program and its tests are two contained processes: what the program does in its own tells the tests nothing but the
values that its functions return, and the verdict comes from the tests' process alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import time
from dataclasses import dataclass

from taskpoint.tasks.code.containment import Containment
from taskpoint.tasks.code.inside.wire import receive, send
from taskpoint.tasks.code.limits import Limits
from taskpoint.tasks.code.processes import Started, threads_of_all

_LOOK_SECONDS = 0.25
_GLANCE_SECONDS = 0.01
# Processes that do the containing, and those of the program that waits for the first of them.
_OURS = 4


@dataclass(frozen=True)
class Exam:
    """What decides whether a program is right.

    Attributes:
        reference: A program that is; the tests use its imports and its functions but for those that are asked.
        asked: Names of the functions and classes that the tests take from the program.
        needed: Other names that a program has to have.
        source: The tests, which raise an exception where the program is wrong.
    """

    reference: str
    asked: tuple[str, ...]
    needed: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Verdict:
    """Whether a program passed; `reason` says in a word or two why it did not."""

    passed: bool
    reason: str = ""


def judged(program: str, tests: Exam, limits: Limits, containment: Containment) -> Verdict:
    """Runs a program against its tests."""
    job = {
        "program": program,
        "reference": tests.reference,
        "asked": tests.asked,
        "needed": tests.needed,
        "tests": tests.source,
    }
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs, tempfile.TemporaryFile() as told:
        try:
            send(told.fileno(), job)
        except ValueError:
            return Verdict(False, "too long")
        told.seek(0)
        (asked, asks), (answers, answered) = _pipe(theirs, theirs), _pipe(theirs, theirs)
        verdict, said = _pipe(ours, theirs)
        own = limits.of_a_process
        started = containment.started
        with (
            started(limits, [("program", (own,))], asked, answered) as one,
            started(limits, [("judge", (own, asks, answers))], told, said, keep=(asks, answers)),
        ):
            # Without the ends of both here, each notices when the other one is gone.
            theirs.close()
            reason = _too_much(one, verdict, limits, counts=not containment.counts_files)
            if reason:
                one.end(now=True)
                return Verdict(False, reason)
            return _read(verdict)


def _pipe(reads: contextlib.ExitStack, writes: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for stack, end in zip((reads, writes), ends, strict=True):
        stack.callback(os.close, end)
    return ends


def _too_much(program: Started, verdict: int, limits: Limits, counts: bool) -> str:
    """Waits for the verdict; the name of the limit that the program broke before there was one."""
    begun, threads_before = time.monotonic(), threads_of_all()
    looked = begun
    while (now := time.monotonic()) < begun + limits.seconds:
        if select.select([verdict], [], [], _GLANCE_SECONDS)[0]:
            return "disk" if counts and program.files() > limits.folder << 20 else ""
        # To count the threads of one program takes as long as to start fifty.
        if now < looked + _LOOK_SECONDS and threads_of_all() <= threads_before + limits.processes:
            continue
        looked = now
        threads, memory = program.use()
        if threads > limits.processes + _OURS:
            return "processes"
        if memory > limits.memory << 20:
            return "memory"
        if counts and program.files() > limits.folder << 20:
            return "disk"
    return "time"


def _read(verdict: int) -> Verdict:
    try:
        said = receive(verdict)
    except (EOFError, ValueError, OSError):
        return Verdict(False, "no verdict")
    failed = said.get("failed") if isinstance(said, dict) else None
    return Verdict(failed == "", str(failed))
