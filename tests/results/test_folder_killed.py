from __future__ import annotations

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from taskpoint.errors import RunFolderError
from taskpoint.results import folder as folder_module
from taskpoint.results.folder import RunFolder

WRITER = Path(__file__).with_name("kill_writer.py")
KILLS = 20


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_run_that_is_killed_twenty_times_ends_with_the_rows_of_an_uninterrupted_one(tmp_path):
    small_run = runpy.run_path(str(WRITER))
    small_run["main"](str(tmp_path / "whole"), 0.0)
    pick = random.Random(0)
    killed = 0
    sizes = []
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, str(WRITER), str(tmp_path / "killed"), "0.002"], stdout=subprocess.PIPE
        )
        if pick.random() < 0.75:
            process.stdout.readline()
            time.sleep(pick.uniform(0.0, 0.02))
        else:
            time.sleep(pick.uniform(0.0, 0.5))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        sizes.append(len(list((tmp_path / "killed" / "rows").glob("*.parquet"))))
    assert killed >= KILLS // 2
    assert sizes == sorted(sizes)
    small_run["main"](str(tmp_path / "killed"), 0.0)
    rows = RunFolder.read(tmp_path / "killed").frame()
    assert not rows.duplicated(["seed", "cut", "item"]).any()
    pd.testing.assert_frame_equal(rows, RunFolder.read(tmp_path / "whole").frame())
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".tmp")]


STEPS = ("open", "write", "fsync", "replace", "folder")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_kill_at_each_step_of_a_write_loses_nothing_and_doubles_nothing(tmp_path, step, nth):
    small_run = runpy.run_path(str(WRITER))
    small_run["main"](str(tmp_path / "whole"), 0.0)
    script = f"""
import os, signal, builtins, runpy, sys
import taskpoint.results.atomic as atomic
import pyarrow.parquet
calls = 0
def die_at(function, before):
    def wrapped(*arguments, **named):
        global calls
        if not before:
            function(*arguments, **named)
        calls += 1
        if calls == {nth}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named) if before else None
    return wrapped
step = {step!r}
run = runpy.run_path({str(WRITER)!r})
if step == "open":
    atomic.open = die_at(builtins.open, True)
elif step == "write":
    real = os.fsync
    def half(descriptor):
        global calls
        calls += 1
        if calls == {nth} + 3:
            os.ftruncate(descriptor, 100)
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)
    os.fsync = half
elif step == "fsync":
    os.fsync = die_at(os.fsync, True)
elif step == "replace":
    os.replace = die_at(os.replace, True)
else:
    atomic.sync_folder = die_at(atomic.sync_folder, True)
run["main"]({str(tmp_path / "killed")!r}, 0.0)
"""
    # The child has the modules loaded already: a fork is fast, and a kill there is as sudden as anywhere.
    child = os.fork()
    if child == 0:
        exec(compile(script, "killed", "exec"), {"__name__": "killed"})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    small_run["main"](str(tmp_path / "killed"), 0.0)
    pd.testing.assert_frame_equal(
        RunFolder.read(tmp_path / "killed").frame(), RunFolder.read(tmp_path / "whole").frame()
    )
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".tmp")]


def test_a_process_that_dies_gives_its_folder_free(tmp_path):
    process = subprocess.Popen([sys.executable, str(WRITER), str(tmp_path / "run"), "60"], stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        if folder_module.FolderLock.supported():
            with pytest.raises(RunFolderError, match=rf"in use by another process \(id {process.pid}\)"):
                RunFolder.open(tmp_path / "run", runpy.run_path(str(WRITER))["CONFIG"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    RunFolder.open(tmp_path / "run", runpy.run_path(str(WRITER))["CONFIG"]).close()
