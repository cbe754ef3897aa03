"""Files that are there as a whole or not at all, also after a kill or a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from taskpoint.errors import RunFolderError

# What an interrupted write leaves behind; never read, removed when the folder is opened again.
LEFTOVER = ".tmp"

_LONGEST_NAME = 200


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, forces it to disk, and renames it over a file that stands there.

    Raises:
        OSError: The disk is full, the folder is not writable, ...; then `path` is as it was.
    """
    # File systems take names of 255 bytes; one that is nearly as long leaves no room for more.
    name = path.name if len(os.fsencode(path.name)) <= _LONGEST_NAME else path.name[:40]
    temporary = path.with_name(f".{name}.{os.getpid()}{LEFTOVER}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def save_whole(path: Path, content: bytes) -> Path:
    """Writes a file that the user named, over one that stands there and through a link if it is one.

    Its folder is made. Gives the path.

    Raises:
        RunFolderError: The disk is full, the folder is not writable, something else than a file stands there, ...
    """
    target = Path(os.path.realpath(path))
    try:
        make_folder(target.parent)
        if target.exists() and not target.is_file():
            raise RunFolderError(f"{path} is there already and is no file: give another one")
        write_whole(target, content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunFolderError(f"{path} cannot be written ({reason}): give another file, or free the disk") from None
    return path


def make_folder(path: Path) -> None:
    """Makes a folder and those above it that are missing, and forces their entries to disk; an OSError if it cannot."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Forces the names in a folder to disk: without it a renamed file can be gone after a power cut.

    Raises:
        OSError: The folder cannot be opened.
    """
    if os.name == "nt":  # Windows opens no folders; its file system keeps the order of renames itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
