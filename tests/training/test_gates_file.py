"""Files of gates: read as they were written, and refused in one line where they are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import taskpoint as tp
from taskpoint.errors import DataError, SettingError
from taskpoint.models.head_gates import HeadGates
from taskpoint.training.gates_file import load_gates, save_gates

GATES = HeadGates(np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3), "some/model", "llama")


def test_gates_are_read_as_they_were_written_also_over_older_ones(tmp_path: Path) -> None:
    path = save_gates(HeadGates(np.ones((1, 1), np.float32)), tmp_path / "new" / "gates.safetensors")
    save_gates(GATES, path)
    found = load_gates(str(path))
    assert np.array_equal(found.values, GATES.values)
    assert (found.model, found.family, found.digest) == ("some/model", "llama", GATES.digest)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_nothing_but_gates_is_written_over(tmp_path: Path) -> None:
    other = tmp_path / "thesis.txt"
    other.write_text("years of work")
    for target in (other, tmp_path):
        with pytest.raises(DataError, match="expected a file of gates"):
            save_gates(GATES, target)
    assert other.read_text() == "years of work"


def content(tensors: dict[str, np.ndarray], **said: Any) -> bytes:
    told = {"model": "m", "family": "llama", "shape": [2, 3]} | said
    return save(tensors, {"taskpoint.head_gates": json.dumps(told)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged"),
        (b"years of work", "damaged"),
        (save({"gates": GATES.values}), "holds tensors, but no gates"),
        (content({"other": GATES.values}), "damaged"),
        (content({"gates": GATES.values}, shape=[3, 2]), "its description does not fit its numbers"),
        (content({"gates": GATES.values}, model=3), "its description does not fit its numbers"),
        (content({"gates": GATES.values.astype(np.float64)}), "its numbers are float64"),
        (content({"gates": np.full((2, 3), np.nan, np.float32)}), "NaN or infinity"),
        (content({"gates": np.zeros((0, 3), np.float32)}, shape=[0, 3]), "shape"),
        (content({"gates": GATES.values})[:-3], "damaged"),
        (save({"gates": GATES.values}, {"taskpoint.head_gates": "{"}), "damaged"),
        (save({"gates": GATES.values}, {"taskpoint.head_gates": "[1]"}), "damaged"),
    ],
    ids=range(12),
)
def test_a_file_that_is_not_what_was_written_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "gates.safetensors"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as raised:
        load_gates(path)
    assert "\n" not in str(raised.value)
    assert "gates.safetensors" in str(raised.value)


def test_a_missing_file_and_no_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        tp.load_gates(tmp_path / "gates.safetensors")
    with pytest.raises(SettingError, match="path is empty"):
        tp.load_gates("")
