"""How a command ends: in good order, by a signal, or because nobody can read what it prints."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal, NoReturn

_SHOW_CURSOR = b"\x1b[?25h"


class Stopped(BaseException):
    """The system asks the process to end, by the signal of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def sentence(number: int) -> str:
    """What is said of a signal: nothing is lost."""
    word = "interrupted" if number == signal.SIGINT else "stopped"
    return f"taskpoint: {word}; run the same command again to continue"


def by_signal(number: int) -> BaseException:
    """What a signal raises."""
    return KeyboardInterrupt() if number == signal.SIGINT else Stopped(number)


@contextmanager
def ended_by_signals() -> Iterator[list[int]]:
    """Lets the first signal end the block by an exception, so that it leaves in order; the second ends the process.

    So does the first while a library is imported: no row is written then, and nothing is lost.

    Yields:
        The signals that came. Compiled code may raise an error of its own in place of the exception, and Python
        swallows one that is raised in a destructor.
    """
    came: list[int] = []

    def act(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1 or _importing(frame):
            _leave(number)
        raise by_signal(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    with suppress(ValueError):  # not in the main thread: then it is not ours to say how the process ends
        for number in numbers:
            # Who started us may have asked that a signal be ignored, as nohup does.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, act)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        show_cursor()


def _importing(frame: FrameType | None) -> bool:
    """Whether a library is being imported: compiled ones may end the process where an exception comes up in them."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def show_cursor() -> None:
    """Shows the cursor of a terminal again, which progress bars hide, whatever ended them."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)


def _leave(number: int) -> NoReturn:
    show_cursor()
    with suppress(OSError):
        os.write(2, f"{sentence(number)}\n".encode())
    os._exit(128 + number)


def open_streams() -> None:
    """Makes standard streams safe to write to, whatever the process was started with."""
    # A file that took the number of a closed stream would get what is meant for a terminal.
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(nowhere)
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        return
    if sys.__stdout__ is stream and isinstance(stream.buffer, io.RawIOBase):
        # Python was asked not to buffer: what could not be written would be forgotten, and with it whose fault it was.
        own = io.BufferedWriter(io.FileIO(stream.fileno(), "w", closefd=False))
        sys.stdout = stream = io.TextIOWrapper(own, encoding=stream.encoding, line_buffering=True)
    stream.reconfigure(errors="backslashreplace")  # names of files need not be text


def unwritten(name: Literal["stdout", "stderr"]) -> OSError | None:
    """What keeps a standard stream from being written; None where all that was printed is on its way."""
    stream = getattr(sys, name)
    if stream is None:
        return None
    try:
        stream.flush()
    except OSError as error:
        # What it still holds would be tried once more when Python ends, and fail with a traceback.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return error
    return None
