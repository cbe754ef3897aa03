"""A text file that the user named, read whole; whatever is wrong with it becomes one line."""

from __future__ import annotations

import difflib
import gzip
import io
import os
import stat
import unicodedata
import zlib
from itertools import groupby
from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.prompts.content import LONGEST_TEXT

# Bytes of a file at most, unpacked: a megabyte of gzip may hold a thousand of them.
_MOST_BYTES = 1 << 29
# Unicode's limit for streams is 30 (UAX 15, section 13). To put them in order costs the square of their number: two
# times 40,000 take 10 s.
_MOST_MARKS = 2_000


def check_text(text: str, what: str) -> None:
    """Refuses a text that no model can read, before minutes are spent on its tokens.

    ``what`` says for the message what the text is and where it stands.

    Raises:
        DataError: It has too many characters, or piles up marks on one of them.
    """
    if len(text) > LONGEST_TEXT:
        raise DataError(f"{what} has {len(text):,} characters; expected at most {LONGEST_TEXT:,}: leave it out")
    if len(text) > 2 * _MOST_MARKS and not text.isascii():
        marks = max(sum(1 for _ in run) if mark else 0 for mark, run in groupby(map(_is_mark, text)))
        if marks > _MOST_MARKS:
            raise DataError(f"{what} has {marks:,} marks on one letter; expected at most {_MOST_MARKS:,}: leave it out")


def _is_mark(character: str) -> bool:
    return unicodedata.combining(character) != 0


def file_name(path: Path) -> str:
    """The name of a file as text that any file can hold, also where it is none: bytes that are not UTF-8 as escapes."""
    return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, unpacked when its name ends in ``.gz``; a byte order mark is left out.

    Raises:
        DataError: No such file, a directory, not readable, a damaged archive, not UTF-8 (with the line), or no text.
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISDIR(mode)):
            raise DataError(f"{str(path)!r} is no regular file (a device or a socket); name a file")
        # So as not to wait: a pipe that nobody writes to counts as empty; one that is written to is read to its end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as opened:
            if hasattr(os, "set_blocking"):
                os.set_blocking(descriptor, True)
            packed = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"no file {str(path)!r}; check the path{_near(path)}") from None
    except IsADirectoryError:
        raise DataError(f"{str(path)!r} is a directory; expected a file: name one that lies in it") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise DataError(f"cannot read {str(path)!r}: {reason}; name a readable file") from None
    try:
        data = packed
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unpacked:
                data = unpacked.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{str(path)!r} is no whole gzip archive: {error}; pack it anew, or drop .gz from its name"
        ) from None
    if len(data) > _MOST_BYTES:
        raise DataError(f"{str(path)!r} holds more than {_MOST_BYTES >> 20} MiB of text; give a part of it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{str(path)!r}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    if not text.strip():
        raise DataError(f"{str(path)!r} is empty; expected at least one record")
    return text


def _near(path: Path) -> str:
    try:
        names = [neighbour.name for neighbour in path.parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f", or did you mean {str(path.parent / near[0])!r}?" if near else ""
