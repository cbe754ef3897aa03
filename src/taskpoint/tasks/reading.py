"""A text file that the user named, read whole; whatever is wrong with it becomes one line."""

from __future__ import annotations

import difflib
import gzip
import zlib
from pathlib import Path

from taskpoint.errors import DataError


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, unpacked when its name ends in ``.gz``; a byte order mark is left out.

    Raises:
        DataError: No such file, a directory, not readable, a damaged archive, not UTF-8 (with the line), or no text.
    """
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"no file {str(path)!r}; check the path{_near(path)}") from None
    except IsADirectoryError:
        raise DataError(f"{str(path)!r} is a directory; expected a file: name one that lies in it") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise DataError(f"cannot read {str(path)!r}: {reason}; name a readable file") from None
    try:
        data = gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{str(path)!r} is no whole gzip archive: {error}; pack it anew, or drop .gz from its name"
        ) from None
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
