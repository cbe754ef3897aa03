"""Signals at any moment: the command says that nothing is lost, and the terminal shows its cursor again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("Windows knows neither these signals nor these terminals", allow_module_level=True)

LOCATE = ("locate", "--task", "lexicon", "--shots", "2", "--items", "60", "--batch-size", "4", "--out", "out")
PRETRAIN = ("pretrain", "lexicon", "--out", "out")
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._own, other = os.openpty()
        self.said = b""
        env = {**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskpoint", *words],
            cwd=folder,
            stdin=other,
            stdout=other,
            stderr=other,
            env=env,
            start_new_session=True,
        )
        os.close(other)

    def read_until(self, reached: Callable[[bytes], bool], seconds: float = 60.0) -> None:
        """Reads what the command says until that is enough, or its end."""
        end = time.monotonic() + seconds
        while not reached(self.said):
            left = end - time.monotonic()
            assert left > 0, self.said[-500:]
            if select.select([self._own], [], [], left)[0]:
                try:
                    part = os.read(self._own, 1 << 16)
                except OSError:  # the command has ended, and nobody else has this terminal
                    return
                self.said += part

    def end(self) -> int:
        self.read_until(lambda _: False)
        os.close(self._own)
        return self.process.wait(20)


def parts(folder: Path) -> int:
    return len(list(folder.rglob("*.parquet")))


MOMENTS: dict[str, Callable[[Path, bytes], bool]] = {
    "at the instant the bar starts": lambda _, said: HIDE in said,
    "in the middle of the work": lambda folder, said: parts(folder) >= 2,
}
SHORT = ("locate", "--task", "lexicon:plural", "--shots", "1", "--items", "8", "--out", "out")
ALONE = {"capture_output": True, "text": True, "timeout": 60}


@pytest.mark.parametrize(
    ("number", "code", "word", "moment"),
    [
        (signal.SIGINT, 130, b"interrupted", "at the instant the bar starts"),
        (signal.SIGINT, 130, b"interrupted", "in the middle of the work"),
        (signal.SIGTERM, 143, b"stopped", "at the instant the bar starts"),
        (signal.SIGTERM, 143, b"stopped", "in the middle of the work"),
    ],
)
def test_a_signal_leaves_a_sentence_a_cursor_and_whole_rows(
    tmp_path: Path, number: signal.Signals, code: int, word: bytes, moment: str
) -> None:
    terminal = Terminal(tmp_path, *LOCATE)
    terminal.read_until(lambda said: MOMENTS[moment](tmp_path, said))
    terminal.process.send_signal(number)
    assert terminal.end() == code, terminal.said
    assert terminal.said.count(word + b"; run the same command again to continue") == 1, terminal.said
    assert b"Traceback" not in terminal.said
    assert terminal.said.rfind(SHOW) > terminal.said.rfind(HIDE)


@pytest.mark.parametrize("delay", [0.15, 0.6, 1.0, 2.0])
def test_a_signal_while_libraries_are_imported_is_no_traceback(tmp_path: Path, delay: float) -> None:
    code = "import taskpoint.__main__ as command; print('ready', flush=True); command.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *LOCATE], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"interrupted; run the same command again" in said
    assert b"Traceback" not in said


def test_a_second_signal_ends_what_the_first_did_not(tmp_path: Path) -> None:
    # A destructor swallows what is raised in it, as Python's own do.
    code = """
import os, signal, sys
from taskpoint.cli.ending import ended_by_signals
class Deaf:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
with ended_by_signals():
    deaf = Deaf()
    del deaf
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000): pass
    print("never", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "still here\n")
    assert "run the same command again" in done.stderr


def test_a_signal_while_the_report_is_written_keeps_all_rows(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, *SHORT)
    terminal.read_until(lambda said: said.rfind(SHOW) > said.rfind(HIDE) >= 0)  # the bar has gone
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.end() == 129, terminal.said
    assert terminal.said.count(b"stopped; run the same command again to continue") == 1, terminal.said
    assert parts(tmp_path) == 10
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_request_to_end_before_anything_is_imported_says_so(tmp_path: Path) -> None:
    code = "import signal, sys, taskpoint.__main__ as command\nsys.meta_path.insert(0, command)\n"
    code += "command.find_spec = lambda *_: signal.raise_signal(signal.SIGTERM)\ncommand.main()"
    done = subprocess.run([sys.executable, "-c", code, "tasks"], cwd=tmp_path, **ALONE)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == "taskpoint: stopped; run the same command again to continue\n"


def test_a_signal_during_an_import_raises_nothing_in_what_is_imported(tmp_path: Path) -> None:
    (tmp_path / "compiled.py").write_text("""
import signal
try:
    signal.raise_signal(signal.SIGTERM)
finally:
    print("an exception came up here", flush=True)
""")
    code = "from taskpoint.cli.ending import ended_by_signals\nwith ended_by_signals():\n    import compiled"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, **ALONE)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == "taskpoint: stopped; run the same command again to continue\n"


@pytest.mark.parametrize(("name", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "stopped")])
@pytest.mark.parametrize("error", ["ImportError", "taskpoint.ModelError"])
def test_a_signal_that_compiled_code_turned_into_an_error_is_told_as_a_signal(
    tmp_path: Path, name: str, code: int, word: str, error: str
) -> None:
    text = f"""
import signal, sys, taskpoint
from taskpoint.cli import app, main
@app.command()
def spoil():
    try:
        signal.raise_signal(signal.{name})
    except BaseException:
        raise {error}("numpy._core.multiarray failed to import")
sys.argv = ["taskpoint", "spoil"]
main()
"""
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, **ALONE)
    assert done.returncode == code
    assert done.stderr == f"taskpoint: {word}; run the same command again to continue\n"


def test_ctrl_c_while_a_dataclass_is_made_has_its_own_exit_code(tmp_path: Path) -> None:
    # By -m, as no file that is run by its name is concerned.
    (tmp_path / "run.py").write_text("""
import signal, sys
import taskpoint.__main__ as command
from taskpoint.cli import app
@app.command()
def spoil():
    exec("signal.raise_signal(signal.SIGINT)")
sys.argv = ["taskpoint", "spoil"]
command.main()
""")
    done = subprocess.run([sys.executable, "-m", "run"], cwd=tmp_path, **ALONE)
    assert (done.returncode, done.stderr) == (130, "taskpoint: interrupted; run the same command again to continue\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("tasks > /dev/full", 2, "standard output cannot be written (No space left on device)\n"),
        ("tasks >&-", 2, "standard output cannot be written (it is closed): send it to a file, or to /dev/null\n"),
        ("nonsense 2> /dev/full", 2, ""),
        ("tasks 2>&- | true; exit ${PIPESTATUS[0]}", 1, ""),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, line: str, code: int, said: str, unbuffered: str
) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = ["bash", "-c", f"{sys.executable} -m taskpoint {line}"]
    done = subprocess.run(command, cwd=tmp_path, env=env, **ALONE)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said and f"taskpoint: {said}")


def test_an_interrupted_training_says_so(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, *PRETRAIN, "--steps", "60")
    terminal.read_until(lambda said: b"loss" in said)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 143, terminal.said
    assert b"stopped; run the same command again to continue" in terminal.said
    assert terminal.said.rfind(SHOW) > terminal.said.rfind(HIDE)


def test_nohup_is_respected(tmp_path: Path) -> None:
    code = """
import os, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from taskpoint.cli.ending import ended_by_signals
with ended_by_signals():
    os.kill(os.getpid(), signal.SIGHUP)
    print("goes on")
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "goes on\n"), done.stderr
