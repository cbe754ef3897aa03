"""A run folder: rows in parts that are there or not, so that a killed run continues where it was.

```
DIR/config.json           what was asked, and library versions
DIR/rows/NAME.parquet     one part per cell, each with its key and library versions in its metadata
DIR/.lock                 held by the process that writes
```
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from taskpoint.errors import RunFolderError
from taskpoint.results.atomic import LEFTOVER, make_folder, write_whole
from taskpoint.results.lock import FolderLock
from taskpoint.results.manifest import Manifest, as_json, library_versions
from taskpoint.results.rows import ITEMS, Layout
from taskpoint.strict_json import parse

_KEY = b"taskpoint.key"
_VERSIONS = b"taskpoint.versions"
_SETTINGS = b"taskpoint.settings"


class RunFolder:
    """Rows of one run on disk; made by `open` to write, by `read` to read.

    A key names a part. A part is written whole under a temporary name, forced to disk and renamed: a process may be
    killed at any moment, and when it is started again `has` tells which parts it need not compute.
    """

    def __init__(self, path: Path, manifest: Manifest, lock: FolderLock | None, layout: Layout = ITEMS) -> None:
        self.path = path
        self.manifest = manifest
        self._layout = layout
        self._lock = lock
        self._parts = _checked_parts(path, manifest)

    @property
    def versions(self) -> dict[str, str]:
        """Library versions by name that the rows were computed with; several where the run was continued with others.

        Of a run without rows: those that it was begun with.
        """
        found: dict[str, set[str]] = {}
        for told in self._parts.values() or [self.manifest.versions]:
            for name, version in told.items():
                found.setdefault(name, set()).add(version)
        return {name: ", ".join(sorted(each, key=_in_order)) for name, each in found.items()}

    @classmethod
    def open(
        cls, path: str | Path, config: Mapping[str, object], kind: str = "locate", layout: Layout = ITEMS
    ) -> RunFolder:
        """Begins a run in a folder, or continues the one that is there; holds the folder until closed.

        The config is all settings that decide the rows, as text, numbers, lists and mappings.

        Raises:
            RunFolderError: The folder holds a run with other settings (the message lists them), is damaged, is in use
                by another process, or cannot be written.
            SettingError: A setting has no form in JSON.
        """
        folder = Path(path)
        wanted = Manifest(kind, as_json(config))
        lock = None
        try:
            _check_ours(folder)
            make_folder(folder)
            lock = FolderLock(folder / ".lock")
            make_folder(folder / "rows")
            _remove_leftovers(folder)
            return cls(folder, _agreed(folder, wanted), lock, layout)
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, OSError):
                raise _unwritable(folder, error) from None
            raise

    @classmethod
    def read(cls, path: str | Path, layout: Layout = ITEMS) -> RunFolder:
        """Opens the run in a folder to read; `write` is refused, and the folder is neither held nor changed.

        Raises:
            RunFolderError: There is no run, or it is damaged.
        """
        folder = Path(path)
        manifest = _stored(folder)
        if manifest is None:
            raise RunFolderError(f"{folder} holds no run (no config.json): give a folder that was written with --out")
        return cls(folder, manifest, None, layout)

    def of(self, layout: Layout) -> RunFolder:
        """The same folder, whose rows look like this."""
        same = copy.copy(self)
        same._layout = layout
        return same

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of parts."""
        return len(self._parts)

    def close(self) -> None:
        """Ends writing, and lets other processes have the folder; it can still be read."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def forget(self) -> None:
        """Removes a run that has no rows, so that one with other settings may begin in the folder."""
        if self._lock is not None and not self._parts:
            (self.path / "config.json").unlink(missing_ok=True)

    def has(self, key: str) -> bool:
        """Whether the part of this key is written."""
        return _name(key) in self._parts

    def write(self, key: str, rows: Sequence[Any]) -> None:
        """Writes the part of a key; when this returns, the rows survive a kill and a power cut.

        Rows are of the layout, or mappings; to write none means that the part is done.

        Raises:
            RunFolderError: The part is there already, the folder was opened to read or closed, or the disk refuses.
            SettingError: A row lacks a column, or has one of another name or type.
        """
        if self._lock is None:
            raise RunFolderError(f"{self.path} was opened to read, or closed: open it with RunFolder.open to write")
        name = _name(key)
        if name in self._parts:
            raise RunFolderError(
                f"{self.path / 'rows' / name} is written already: ask has(key) before computing {key!r}"
            )
        versions = library_versions()
        metadata = {_KEY: key.encode(), _VERSIONS: json.dumps(versions).encode()}
        metadata[_SETTINGS] = self.manifest.digest.encode()
        sink = pa.BufferOutputStream()
        pq.write_table(self._layout.table(rows).replace_schema_metadata(metadata), sink, write_page_checksum=True)
        try:
            write_whole(self.path / "rows" / name, sink.getvalue().to_pybytes())
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._parts[name] = versions

    def frame(self) -> pd.DataFrame:
        """All rows with the columns and types of the layout, sorted by setting and item.

        They are the same whatever the order in which they were written.

        Raises:
            RunFolderError: A part is damaged, or holds rows of another; the message names it.
        """
        layout = self._layout
        tables = [_table(self.path / "rows" / name, layout.schema) for name in sorted(self._parts)]
        joined = pa.concat_tables([layout.schema.empty_table(), *tables])
        rows: pd.DataFrame = joined.to_pandas(integer_object_nulls=True).astype(layout.dtypes)[list(layout.columns)]
        if rows.duplicated(list(layout.sorted_by)).any():
            raise self._twice(tables)
        return rows.sort_values(list(layout.sorted_by), kind="stable", ignore_index=True)

    def _twice(self, tables: Sequence[pa.Table]) -> RunFolderError:
        """What to raise for rows that are there twice: whatever counts them would count them twice."""
        seen: set[tuple[object, ...]] = set()
        for name, table in zip(sorted(self._parts), tables, strict=True):
            columns = [table[column].to_pylist() for column in self._layout.sorted_by]
            for row in zip(*columns, strict=True):
                if row in seen:
                    return RunFolderError(
                        f"{self.path / 'rows' / name} holds a row that is there twice "
                        f"({', '.join(map(str, row))}): remove that part and run again with the same --out"
                    )
                seen.add(row)
        return RunFolderError(f"{self.path / 'rows'} holds rows that are there twice: give another folder with --out")


def _name(key: str) -> str:
    """File name of a key: readable, and different for different keys also where a file system folds case."""
    readable = re.sub(r"[^A-Za-z0-9=.]+", "-", key).strip("-.")[:60]
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.parquet"


def _stored(folder: Path) -> Manifest | None:
    file = folder / "config.json"
    if file.exists() and not file.is_file():
        raise RunFolderError(f"{file} is no regular file: give the folder of a run")
    try:
        return Manifest.from_json(file.read_bytes(), str(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror}") from None


def _agreed(folder: Path, wanted: Manifest) -> Manifest:
    """The manifest of the folder: the stored one if it agrees, a new one in a new folder."""
    stored = _stored(folder)
    if stored is None:
        if any((folder / "rows").glob("*.parquet")):
            raise RunFolderError(f"{folder} holds rows but no config.json: give another folder with --out")
        write_whole(folder / "config.json", wanted.to_json())
        return wanted
    different = stored.differences(wanted)
    if different:
        raise RunFolderError(
            f"{folder} holds a run with other settings ({'; '.join(different)}): "
            "give another folder with --out, or the same settings"
        )
    return stored


def _check_ours(folder: Path) -> None:
    """Refuses to begin a run among files of somebody else, before anything is written there."""
    if not folder.is_dir() or (folder / "config.json").exists():
        return
    others = sorted(file.name for file in folder.iterdir() if file.name != "rows" and not file.name.startswith("."))
    if others:
        raise RunFolderError(
            f"{folder} holds files that are not of a run ({others[0]}{', ...' if len(others) > 1 else ''}), which it "
            "might overwrite: give a new or empty folder with --out"
        )


def _remove_leftovers(folder: Path) -> None:
    for place in (folder, folder / "rows"):
        for file in place.glob(f".*{LEFTOVER}"):
            file.unlink(missing_ok=True)


def _checked_parts(folder: Path, manifest: Manifest) -> dict[str, dict[str, str]]:
    """Library versions by name of the part; each part with a readable end and the key that its name stands for."""
    parts = {}
    settings = manifest.digest.encode()
    rows = folder / "rows"
    if (rows.is_symlink() or rows.exists()) and not rows.is_dir():
        raise RunFolderError(f"{rows} is no folder: give the folder of a run")
    for file in sorted(rows.glob("*.parquet")):
        if not file.is_file():
            raise RunFolderError(f"{file} is no regular file: move it away and run again")
        try:
            with file.open("rb") as opened:  # not by name: that would have to be UTF-8
                metadata = pq.read_metadata(opened).metadata or {}
        except (pa.ArrowException, OSError) as error:
            raise _damaged(file, error) from None
        if _name(metadata.get(_KEY, b"").decode("utf-8", "replace")) != file.name:
            raise RunFolderError(f"{file} was renamed or is no part of a run: move it away and run again")
        if metadata.get(_SETTINGS, settings) != settings:
            raise RunFolderError(
                f"{folder / 'config.json'} was changed after {file.name} was written: restore it, or give another "
                "folder"
            )
        try:
            parts[file.name] = {str(name): str(version) for name, version in parse(metadata[_VERSIONS]).items()}
        except (KeyError, ValueError, AttributeError) as error:
            raise _damaged(file, error) from None
    return parts


def _in_order(version: str) -> tuple[tuple[int, str], ...]:
    """Sorts 5.9 before 5.24."""
    return tuple((int(part or 0), rest) for part, rest in re.findall(r"(\d*)(\D*)", version))


def _table(file: Path, schema: pa.Schema) -> pa.Table:
    # Not read_table: that would take a folder named "seed=3" above the file for a column.
    try:
        with file.open("rb") as opened, pq.ParquetFile(opened, page_checksum_verification=True) as part:
            rows = part.read().replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None
    if not rows.schema.equals(schema):
        raise RunFolderError(f"{file} has other columns than a part of this taskpoint: give another folder with --out")
    return rows


def _damaged(file: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"{file} is damaged ({' '.join(str(error).split())[:160]}): remove it and run again with the same --out, "
        "only that part is computed anew"
    )


def _unwritable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{folder} cannot be written ({error.strerror or error}): give another folder with --out")
