"""No program passes a test that it should fail, does harm, or is still there afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from taskpoint.tasks.code import containment as containing
from taskpoint.tasks.code.containment import Bubblewrap, Containment, containment, plain
from taskpoint.tasks.code.limits import Limits
from taskpoint.tasks.code.processes import MARK
from taskpoint.tasks.code.verdict import Exam, Verdict, judged

from .programs import FORGERS, GREEDY, HARMFUL, STAYING

LIMITS = Limits(seconds=2.5, computing=1, memory=400, processes=12, file=2, folder=8)
EXAM = Exam("def f(): return 1", ("f",), (), "assert f() == 1")
WAYS = {
    "bubblewrap": lambda: found if isinstance(found := containment(), Bubblewrap) else None,
    "namespaces": lambda: plain(("namespaces", "user", "landlock")),
    "landlock": lambda: plain(("user", "landlock")),
}
EVERYTHING = {"namespaces", "files", "tcp", "signals"}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Containment:
    """Every way to contain that works here."""
    found = WAYS[request.param]()
    if found is None or (isinstance(found, containing.Plain) and request.param not in measures(found)):
        pytest.skip(f"{request.param} does not work here")
    return found


def measures(way: Containment) -> set[str]:
    """What a way keeps programs from."""
    if isinstance(way, Bubblewrap):
        return EVERYTHING
    assert isinstance(way, containing.Plain)
    return {*way.taken, *(["landlock"] if "files" in way.taken else [])}


@dataclass
class Surroundings:
    """What programs could harm."""

    folder: Path
    marks: list[str] = field(default_factory=list)
    messages: list[socket.socket] = field(default_factory=list)

    @property
    def names(self) -> str:
        """The names that programs use."""
        port = self.messages[0].getsockname()[1]
        canary, secret = str(self.folder / "canary"), str(self.folder / "secret")
        return f"CANARY, SECRET, PORT, PARENT = {canary!r}, {secret!r}, {port}, {os.getpid()}\n"

    def heard(self) -> bool:
        """Whether anybody called, or sent a message."""
        return bool(select.select(self.messages, [], [], 0)[0])

    def unharmed(self) -> bool:
        """Whether all is as before."""
        files = {path.name: path.read_text() for path in self.folder.iterdir()}
        return files == {"canary": "whole", "secret": "secret"} and not Path("/dev/shm/taskpoint-mine").exists()

    def running(self) -> list[psutil.Process]:
        """What is left of the programs: by their mark, or by what two of them start."""
        left = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) in self.marks or process.cmdline()[-1:] == [
                    "import time; time.sleep(60)"
                ]:
                    left.append(process)
            except (psutil.Error, OSError):
                continue
        return left


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Surroundings]:
    """A file to harm, one to read, a variable that is nobody's business, somebody who listens."""
    for name, text in (("canary", "whole"), ("secret", "secret")):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("TASKPOINT_SECRET", "secret")
    found = Surroundings(tmp_path)

    def marked(size: int) -> str:
        found.marks.append(os.urandom(size).hex())
        return found.marks[-1]

    monkeypatch.setattr(containing.secrets, "token_hex", marked)
    with socket.socket() as listening, socket.socket(type=socket.SOCK_DGRAM) as receiving:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        receiving.bind(listening.getsockname())
        found.messages += [listening, receiving]
        yield found


GROUPS = {"forgers": FORGERS, "greedy": GREEDY, "staying": STAYING, "harmful": HARMFUL}


@pytest.mark.parametrize("group", GROUPS)
def test_a_hostile_program_fails_harms_nothing_and_leaves_nothing_running(
    group: str, way: Containment, surroundings: Surroundings, capsys: pytest.CaptureFixture[str]
) -> None:
    # Those that wait for the end of their time are tried in one way alone.
    every = isinstance(way, Bubblewrap) or "TASKPOINT_EVERY_PROGRAM" in os.environ
    tried = [
        each for each in GROUPS[group] if (not each.kept or each.kept in measures(way)) and (every or not each.waits)
    ]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda each: judged(surroundings.names + each.source, EXAM, LIMITS, way), tried))
    honest = judged("def f(): return 1", EXAM, Limits(), way)
    escaped = [each.name for each, verdict in zip(tried, verdicts, strict=True) if verdict.passed]
    left = surroundings.running()
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    with capsys.disabled():
        print(f"\n{group}, {way.description}: tried {len(tried)}, escaped {len(escaped)}, left running {len(left)}")
    assert honest == Verdict(True)
    assert not escaped
    assert not left
    assert surroundings.unharmed()
    assert not surroundings.heard()
