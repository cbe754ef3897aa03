"""How far long work is, and how long it will still take: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(title: str, console: Console) -> Iterator[Callable[..., None]]:
    """Shows progress while the block runs.

    Args:
        title: what is being done.
        console: where; when it is no terminal, a plain line is written every ten seconds and at the end.

    Yields:
        A function to call with the steps done, the steps there are (they may grow), and if there is one a short note.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(title, console)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("elapsed"))
    with Progress(
        *columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, description=f"{title} {note}".strip())

        yield show


class _Lines:
    def __init__(self, title: str, console: Console) -> None:
        self._title, self._console = title, console
        self._start = self._last = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if done < total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        fresh = done - self._first  # what an earlier run left done says nothing about the speed
        left = f", about {(now - self._start) / fresh * (total - done):.0f} s left" if fresh and done < total else ""
        self._console.print(f"{self._title}: {done} of {total}{left} {note}".strip(), highlight=False)
