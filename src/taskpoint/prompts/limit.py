"""A limit on the time that somebody else's program may take, such as the chat template of a tokenizer."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds until a thread whose time is over is told once more: a destructor swallows what is raised in it.
_AGAIN = 0.5


class _Late(BaseException):
    """Raised in the thread whose time is over; no handler of `Exception` stops it."""


def within(seconds: int, run: Callable[[], T]) -> T:
    """Runs `run` in this thread; Python code in it is ended by a TimeoutError when the time is over."""
    thread, lock, done = threading.get_ident(), threading.Lock(), threading.Event()

    def end() -> None:
        late: float = seconds
        while not done.wait(late):
            late = _AGAIN
            with lock:
                if not done.is_set():
                    # Signals would do for the main thread alone, and not on every system.
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_Late))

    try:
        try:
            threading.Thread(target=end, daemon=True).start()
            return run()
        finally:
            with lock:
                done.set()
    except _Late:
        raise TimeoutError from None
