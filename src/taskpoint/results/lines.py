"""A file of JSON lines in the order of the work, so that a killed run continues behind its last whole line.

```
OUT              one record a line
OUT.run.json     what was asked, and library versions
.OUT.lock        held by the process that writes
```
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from taskpoint.errors import RunFolderError
from taskpoint.results.atomic import LEFTOVER, make_folder, sync_folder, write_whole
from taskpoint.results.lock import FolderLock
from taskpoint.results.manifest import Manifest, as_json
from taskpoint.strict_json import parse

# Read at once when the end of the last whole line is looked for.
_BLOCK = 1 << 16


class LineFile:
    """Records of one run, one a line; made by `open`.

    A line without its newline was torn by a kill: it is taken off when the file is opened again, and its record is
    computed anew.
    """

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self.path = path
        self._lock: FolderLock | None = lock

    @classmethod
    def open(cls, path: str | Path, config: Mapping[str, object], kind: str) -> LineFile:
        """Begins a file, or continues the one that is there without its torn last line; holds it until closed.

        The config is all settings that decide the records, as text, numbers, lists and mappings.

        Raises:
            RunFolderError: It was written with other settings (the message lists them) or by something else, is in
                use by another process, or cannot be written.
            SettingError: A setting has no form in JSON.
        """
        file = Path(path)
        wanted = Manifest(kind, as_json(config))
        lock = None
        try:
            make_folder(file.parent)
            if file.exists() and not file.is_file():
                kind = "a folder" if file.is_dir() else "no regular file"
                raise RunFolderError(f"{file} is {kind}: give a file with --out")
            lock = FolderLock(file.with_name(f".{file.name}.lock"), file)
            for leftover in file.parent.glob(f".{glob.escape(file.name)}.run.json.*{LEFTOVER}"):
                leftover.unlink(missing_ok=True)
            _agree(file, wanted)
            _repair(file)
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, OSError):
                raise _unwritable(file, error) from None
            raise
        return cls(file, lock)

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets other processes have the file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def records(self) -> Iterator[dict[str, Any]]:
        """What the lines say, in their order; a RunFolderError where one is no JSON object."""
        with open(self.path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = parse(line)
                except ValueError:
                    record = None
                if not isinstance(record, dict):
                    raise RunFolderError(
                        f"{self.path}, line {number} is damaged: take it and what follows away, and run again"
                    )
                yield record

    def append(self, records: Sequence[Mapping[str, object]]) -> None:
        """Adds records; when this returns, they survive a kill and a power cut.

        Raises:
            RunFolderError: The file was closed, or the disk refuses.
        """
        if self._lock is None:
            raise RunFolderError(f"{self.path} was closed: open it with LineFile.open to write")
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        try:
            with open(self.path, "ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from None


def _agree(file: Path, wanted: Manifest) -> None:
    """Refuses a file that another run began; an empty one may be taken by any run."""
    beside = file.with_name(f"{file.name}.run.json")
    held = file.exists() and file.stat().st_size > 0
    if not beside.exists():
        if held:
            raise RunFolderError(f"{file} is there already and was not written by this command: give another --out")
    else:
        different = Manifest.from_json(beside.read_bytes(), str(beside)).differences(wanted) if held else ("nothing",)
        if not different:
            return
        if held:
            raise RunFolderError(
                f"{file} holds a run with other settings ({'; '.join(different)}): "
                "give another file with --out, or the same settings"
            )
    write_whole(beside, wanted.to_json())


def _repair(file: Path) -> None:
    with open(file, "ab") as opened:
        end = opened.tell()
    whole = _end_of_last_line(file, end)
    if whole < end:
        os.truncate(file, whole)
    sync_folder(file.parent)


def _end_of_last_line(file: Path, end: int) -> int:
    with open(file, "rb") as opened:
        while end > 0:
            start = max(0, end - _BLOCK)
            opened.seek(start)
            found = opened.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _unwritable(file: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{file} cannot be written ({error.strerror or error}): give another file with --out")
