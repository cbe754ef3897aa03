"""Sentence pairs from tab-separated files."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from taskpoint.errors import DataError
from taskpoint.tasks.pairs import pairs, read_pairs
from taskpoint.tasks.scoring import input_key


def file(folder: Path, text: str, name: str = "fra.tsv") -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["fra.tsv", "fra.tsv.gz"])
def test_pairs_are_read_plain_and_packed(tmp_path: Path, name: str) -> None:
    task = pairs(file(tmp_path, "Go.\tVa !\nHi.\tSalut.\n", name), instruction="Translate English to French:")
    assert {item.input: item.answers for item in task.items()} == {"Go.": ("Va !",), "Hi.": ("Salut.",)}
    assert {item.task for item in task.items()} == {"fra"}
    assert task.has_instruction
    assert task.name == f"pairs:{name}"


def test_several_translations_are_accepted_and_the_first_is_the_reference(tmp_path: Path) -> None:
    task = pairs(file(tmp_path, "Go.\tVa !\nHi.\tSalut.\nGo.\tAllez !\nGo.\tVa !\n"))
    item = next(item for item in task.items() if item.input == "Go.")
    assert item.answers == ("Va !", "Allez !")
    assert task.score(item, "Allez !") == 1.0


def test_lines_are_read_one_by_one_with_every_repetition(tmp_path: Path) -> None:
    path = file(tmp_path, "Go.\tVa !\n\nHi.\tSalut.\nGo.\tVa !\n")
    assert list(read_pairs(path)) == [("Go.", "Va !"), ("Hi.", "Salut."), ("Go.", "Va !")]


def test_quotation_marks_and_rare_line_separators_belong_to_the_text(tmp_path: Path) -> None:
    task = pairs(file(tmp_path, '"Go, "\t"Va\r\nIt\x0cis\ta\u2028b\n\n'))
    assert {item.input: item.answers for item in task.items()} == {'"Go, "': ('"Va',), "It is": ("a b",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n\nc d\n", "line 3: found 1 texts in 1 columns, expected source TAB target"),
        ("a\tb\nc\td\te\n", "line 2: found 3 texts in 3 columns"),
        ("a\tb\nc\t \n", "line 2: found 1 texts in 2 columns"),
        ("\tb\n", "line 1: found 1 texts in 2 columns"),
        ("a\tb\na\tc\nA!\tc\n", "2 different inputs; expected at least 2 that differ in more than case"),
        ("\n", "is empty"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        pairs(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_real_file_has_one_item_for_each_source(data_dir: Path) -> None:
    task = pairs(data_dir / "tatoeba" / "nld.tsv.gz")
    assert len(task.subtasks[0].pairs) == 60_119
    for item in task.items(20):
        content = task.content(item, 10, 0, instruction=False, fresh=True)
        assert input_key(item.input) not in {input_key(example.input) for example in content.examples}


def test_a_real_file_of_160_000_lines_loads_within_two_seconds(data_dir: Path) -> None:
    # In a process of its own, since the shape checks of the tests make every call of a small function slow.
    code = (
        "import sys, time; from pathlib import Path; from taskpoint.tasks.pairs import pairs; "
        "start = time.process_time(); task = pairs(Path(sys.argv[1])); task.items(20); "
        "print(len(task.subtasks[0].pairs), time.process_time() - start)"
    )
    path = data_dir / "tatoeba" / "deu.tsv.gz"
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    distinct, seconds = said.stdout.split()
    assert int(distinct) == 129_984
    assert float(seconds) < 2
