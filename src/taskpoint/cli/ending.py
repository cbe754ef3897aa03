"""How a command ends: in good order, by a signal, or because nobody can read what it prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_SHOW_CURSOR = b"\x1b[?25h"
AGAIN = "run the same command again to continue"


class Stopped(BaseException):
    """The system asks the process to end.

    Attributes:
        code: Exit code that says which signal it was.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets the first signal end the block by an exception, so that it leaves in order; the second ends the process.

    Python swallows an exception that a signal raises where nothing can be told, such as in a destructor.
    """
    came: list[int] = []

    def act(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            _leave(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Stopped(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    with suppress(ValueError):  # not in the main thread: then it is not ours to say how the process ends
        for number in numbers:
            # Who started us may have asked that a signal be ignored, as nohup does.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, act)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        show_cursor()


def show_cursor() -> None:
    """Progress bars hide the cursor of a terminal; whatever ended them, it is seen again."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)


def _leave(number: int) -> NoReturn:
    show_cursor()
    with suppress(OSError):
        os.write(2, f"taskpoint: interrupted; {AGAIN}\n".encode())
    os._exit(128 + number)


def unprinted() -> OSError | None:
    """What keeps standard output from being written; None where all that was printed is on its way."""
    if sys.stdout is None:
        return None
    try:
        sys.stdout.flush()
    except OSError as error:
        # What it still holds would be tried once more when Python ends, and fail with a traceback.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return error
    return None
