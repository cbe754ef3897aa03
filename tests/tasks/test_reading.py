"""Files that cannot be read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from taskpoint.errors import DataError
from taskpoint.tasks.files.reading import check_text, read_text


def refused(path: Path, message: str) -> str:
    with pytest.raises(DataError, match=message) as caught:
        read_text(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_is_read_without_its_byte_order_mark(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(mark + "é\n".encode())
    assert read_text(path) == "é\n"


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress("é\tb\n".encode()))
    assert read_text(path) == "é\tb\n"


def test_a_missing_file_is_named_with_the_nearest_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "antonym.json").write_text("x")
    assert "did you mean" in refused(tmp_path / "antonyms.json", "no file")
    assert "did you mean" not in refused(tmp_path / "nowhere" / "antonym.json", "no file")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path, "is a directory")


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    refused(tmp_path / "a" / "b", "cannot read")


@pytest.mark.parametrize("text", ["", " \n\n\t"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    refused(path, "is empty")


def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\nth\xe9\n")
    refused(path, "line 3: byte 0xe9")


@pytest.mark.parametrize("cut", [0, 5, 20])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.gz"
    whole = gzip.compress(b"one two three" * 100)
    path.write_bytes(whole[:cut] or b"plain text")
    refused(path, "no whole gzip archive")


@pytest.mark.parametrize("place", [10, -8])  # the first byte of the packed data, and of the checksum
def test_an_archive_with_a_changed_byte_is_refused(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.gz"
    whole = bytearray(gzip.compress(b"one two three"))
    whole[place] = 0xFF
    path.write_bytes(bytes(whole))
    refused(path, "no whole gzip archive")


def test_marks_that_take_minutes_to_sort_are_refused() -> None:
    check_text("a" + "\u0300" * 900 + "\u0323" * 900 + "x" * 10_000, "line 1: a text")
    with pytest.raises(DataError, match="line 1: a text has 80,000 marks on one letter"):
        check_text("a" + "\u0300" * 40_000 + "\u0323" * 40_000, "line 1: a text")
