"""Hears what libraries call deprecated in what this project calls: their warnings, and the notices of transformers.

What another library calls in an old way is not ours to mend, so the question is who called the library that complains.
"""

from __future__ import annotations

import logging
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
KINDS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
STANDARD = sysconfig.get_path("stdlib")

# A module is called through the first, and the shapes of arguments are checked by the others: never the caller.
BETWEEN = {"torch", "jaxtyping", "beartype"}


def package(file: str) -> str | None:
    """The installed package that a file belongs to; None for the standard library and for generated code."""
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return None if file.startswith(("<", STANDARD)) or file == __file__ else ""


def our_call(frame: FrameType | None) -> str | None:
    """Where this project calls the library that complains in a frame; None where somebody else does."""
    issuer = None
    while frame is not None:
        file, found = frame.f_code.co_filename, package(frame.f_code.co_filename)
        if found:
            if issuer is None:
                issuer = found
            elif found not in (issuer, *BETWEEN):
                return None
        elif found == "":
            inside = Path(file).is_relative_to(ROOT)
            return f"{Path(file).relative_to(ROOT)}:{frame.f_lineno}" if inside else None
        frame = frame.f_back
    return None


class _Ear(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        if "deprecat" in record.getMessage() and (where := our_call(sys._getframe())):
            self.heard.append(f"{where}: {record.getMessage()}")


@contextmanager
def listening() -> Iterator[list[str]]:
    """While the block runs, what is heard is added to the list: place and message."""
    from transformers.utils import logging as notices

    heard: list[str] = []
    show = warnings.showwarning

    def showwarning(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, KINDS) and (where := our_call(sys._getframe())):
            heard.append(f"{where}: {message}")
        show(message, category, *rest)

    logger, ear = logging.getLogger("transformers"), _Ear(heard)
    level = logger.level
    # What was said once in an earlier block is to be heard in this one too.
    notices.warning_once.cache_clear()
    logger.setLevel(min(level, logging.WARNING))
    logger.addHandler(ear)
    warnings.showwarning = showwarning
    try:
        yield heard
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)
        if warnings.showwarning is showwarning:
            warnings.showwarning = show
