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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
def test_what_is_no_file_is_not_replaced_and_a_link_leads_to_its_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.svg")
    with pytest.raises(RunFolderError, match="is there already and is no file"):
        save_whole(tmp_path / "pipe.svg", b"drawn")
    assert (tmp_path / "pipe.svg").is_fifo()
    (tmp_path / "link.svg").symlink_to(tmp_path / "far.svg")
    save_whole(tmp_path / "link.svg", b"drawn")
    assert (tmp_path / "link.svg").is_symlink()
    assert (tmp_path / "far.svg").read_bytes() == b"drawn"
