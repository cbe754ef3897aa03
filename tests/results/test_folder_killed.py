from __future__ import annotations

import functools
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from taskpoint.errors import RunFolderError
from taskpoint.results.folder import RunFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can neither fork nor SIGKILL")

WRITER = Path(__file__).with_name("kill_writer.py")
SMALL = SimpleNamespace(**runpy.run_path(str(WRITER)))
KILLS = 20


class Server:
    """Starts runs in processes of their own, one after the other."""

    def __init__(self, process):
        self.process = process

    def begin(self, path, **more):
        """The id of the process that runs."""
        return self.ask(json.dumps({"path": str(path), **more}))

    def end(self):
        """Its exit code, once it has ended."""
        return self.ask("end")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server():
    command = [sys.executable, str(WRITER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Server(process)
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows of a run of so many parts that nobody interrupted."""

    @functools.cache
    def rows(parts):
        path = tmp_path_factory.mktemp("whole")
        SMALL.run(str(path), parts)
        return RunFolder.read(path).frame()

    return rows


def check(path, whole):
    rows = RunFolder.read(path).frame()
    assert not rows.duplicated(["seed", "cut", "item"]).any()
    pd.testing.assert_frame_equal(rows, whole)
    assert not [name for _, _, names in os.walk(path) for name in names if name.endswith(".tmp")]


def count(path):
    return len(list((path / "rows").glob("*.parquet")))


def wait_until(true):
    patience = time.monotonic() + 30
    while not true():
        assert time.monotonic() < patience, "the writer does not get on"
        time.sleep(0.001)


def test_a_run_that_is_killed_twenty_times_ends_with_the_rows_of_an_uninterrupted_one(tmp_path, server, whole):
    parts = 120
    pick = random.Random(0)
    sizes = [0]
    for _ in range(KILLS):
        process = server.begin(tmp_path, parts=parts, pause=0.005)
        # By progress and not by the clock alone, so that a busy machine is killed at other moments than the first too.
        wanted = sizes[-1] + pick.randrange(4)
        wait_until(lambda wanted=wanted: count(tmp_path) >= wanted)
        time.sleep(pick.uniform(0.0, 0.02))
        os.kill(process, signal.SIGKILL)
        assert server.end() == -signal.SIGKILL
        sizes.append(count(tmp_path))
    assert sizes == sorted(sizes)
    assert 0 < sizes[-1] < parts
    SMALL.run(str(tmp_path), parts)
    check(tmp_path, whole(parts))


@pytest.mark.parametrize("step", SMALL.STEPS)
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_kill_at_each_step_of_a_write_loses_nothing_and_doubles_nothing(tmp_path, server, whole, step, nth):
    path = tmp_path / "run"
    server.begin(path, parts=8, step=step, nth=nth)
    assert server.end() == -signal.SIGKILL
    SMALL.run(str(path), 8)
    check(path, whole(8))


def test_a_process_that_dies_gives_its_folder_free(tmp_path, server):
    pytest.importorskip("fcntl")
    process = server.begin(tmp_path, parts=8, pause=60)
    try:
        wait_until((tmp_path / "config.json").exists)
        with pytest.raises(RunFolderError, match=rf"in use by another process \(id {process}\)"):
            SMALL.run(str(tmp_path), 8)
    finally:
        os.kill(process, signal.SIGKILL)
        server.end()
    SMALL.run(str(tmp_path), 8)
