"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from taskpoint.errors import RunFolderError
from taskpoint.results import atomic
from taskpoint.results.atomic import save_whole


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
@pytest.mark.parametrize("name", ["a" * 251 + ".svg", "ü" * 125 + ".svg", "\udcff" * 251 + ".svg"])
def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path, name: str) -> None:
    save_whole(tmp_path / name, b"drawn")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_disk_that_is_full_late_leaves_the_older_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    file = save_whole(tmp_path / "figure.svg", b"older")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, moment, full)
    with pytest.raises(RunFolderError, match=r"figure\.svg cannot be written \(No space left on device\)"):
        save_whole(file, b"newer")
    assert [each.name for each in tmp_path.iterdir()] == ["figure.svg"]
    assert file.read_bytes() == b"older"
