"""Ctrl-C waits while hooks are put on or taken off, so that none is left behind half way.

Everywhere else it comes at once; in the middle of a forward call it does no harm.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any


@contextmanager
def uninterrupted(*contexts: AbstractContextManager[Any]) -> Iterator[None]:
    """Enters contexts one after the other, and leaves them all, without a Ctrl-C in between."""
    with ExitStack() as stack:  # closes them where the first line of the block is not reached
        with _waiting():
            for context in contexts:
                stack.enter_context(context)
        try:
            yield
        finally:
            with _waiting():
                stack.close()


@contextmanager
def _waiting() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # Python interrupts the main thread alone
        return
    came: list[Any] = []
    signal.signal(signal.SIGINT, lambda *signalled: came.append(signalled))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])
