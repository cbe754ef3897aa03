"""Pairs of texts from tables: with tabs, commas and semicolons."""

from __future__ import annotations

import csv
import gzip
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.errors import DataError
from taskpoint.tasks.pairs import pairs, read_pairs, read_table
from taskpoint.tasks.scores.same_text import input_key


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
    assert task.content(task.items()[0], 0, 0).instruction == "Translate English to French:"
    assert task.name == f"pairs:{name}"


def test_several_translations_are_accepted_and_the_first_is_the_reference(tmp_path: Path) -> None:
    task = pairs(file(tmp_path, "Go.\tVa !\nHi.\tSalut.\nGo.\tAllez !\nGo.\tVa !\n"))
    item = next(item for item in task.items() if item.input == "Go.")
    assert item.answers == ("Va !", "Allez !")
    assert task.score(item, "Allez !") == 1.0


def test_records_are_read_one_by_one_with_every_repetition(tmp_path: Path) -> None:
    path = file(tmp_path, "Go.\tVa !\n\nHi.\tSalut.\nGo.\tVa !\n")
    expected = [("Go.", "Va !"), ("Hi.", "Salut."), ("Go.", "Va !")]
    assert list(read_pairs(path)) == list(read_table(path)) == expected


def test_a_corpus_has_no_header_and_keeps_every_quotation_mark(tmp_path: Path) -> None:
    path = file(tmp_path, 'source\ttarget\n"Go, "\t"Va\r\nIt\x0cis\ta\u2028b\n\n')
    assert list(read_pairs(path)) == [("source", "target"), ('"Go, "', '"Va'), ("It is", "a b")]


def test_lone_quotation_marks_and_rare_line_separators_belong_to_the_text(tmp_path: Path) -> None:
    path = file(tmp_path, '"Go, \t"Va\r\nIt\x0cis\ta\u2028b\n\nSay "no".\t5"\n"a ""b"""\t"c "" "d"\n')
    assert list(read_table(path)) == [
        ('"Go,', '"Va'),
        ("It is", "a b"),
        ('Say "no".', '5"'),
        ('a "b"', '"c "" "d"'),
    ]


PAIRS = [("Go.", "Va !"), ('Say "no", now.', "Dis « non », là."), ("Go.", "Allez ! Vite !")]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "delimiter"), [("a.csv", ","), ("a.CSV", ";"), ("a.csv", "\t"), ("a.tsv", "\t"), ("a.txt", "\t")]
)
def test_a_header_names_the_columns_of_every_kind_of_table(
    tmp_path: Path, name: str, delimiter: str, packed: str, ending: str, mark: str
) -> None:
    for names, places in (("input output", (0, 1)), ("id Target note Source", (3, 1))):
        header = names.split()
        written = io.StringIO()
        writer = csv.writer(written, delimiter=delimiter, lineterminator=ending)
        writer.writerow(header)
        for number, (source, target) in enumerate(PAIRS):
            row = [str(number)] * len(header)
            row[places[0]], row[places[1]] = source, target.replace(" ! ", " !\n")
            writer.writerow(row)
        assert list(read_table(file(tmp_path, mark + written.getvalue(), name + packed))) == PAIRS


def test_the_items_of_a_spreadsheet_are_named_and_answered_as_its_cells_say(tmp_path: Path) -> None:
    text = 'Question,Answer\r\n"Who, me?",Yes\r\n"Who, me?","""Yes"""\r\nWhy?,"Because\n\nof it"\r\n'
    task = pairs(file(tmp_path, text, "quiz.csv"))
    assert task.name == "pairs:quiz.csv"
    assert {item.id: item.answers for item in task.items()} == {
        "quiz/Who, me?": ("Yes", '"Yes"'),
        "quiz/Why?": ("Because of it",),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b,c\nd,e;f\n", [("a;b", "c"), ("d", "e;f")]),
        ("a, you;b\nc;d\n", None),  # its first record is whole with commas
        ("a, b, you;c\nd;e\n", [("a, b, you", "c"), ("d", "e")]),
        ("a;b\nc,d;e\n", [("a", "b"), ("c,d", "e")]),
        ('"a;b";c\nd;"e ""f"""\n', [("a;b", "c"), ("d", 'e "f"')]),
        ('input;output\n"a\n;b";c\n', [("a ;b", "c")]),
        ("input,output;x\n", None),
    ],
)
def test_semicolons_part_cells_only_where_commas_cannot(
    tmp_path: Path, text: str, expected: list[tuple[str, str]] | None
) -> None:
    path = file(tmp_path, text, "a.csv")
    if expected is not None:
        assert list(read_table(path)) == expected
        return
    with pytest.raises(DataError):
        list(read_table(path))


def test_lines_that_end_with_carriage_returns_alone_are_lines(tmp_path: Path) -> None:
    assert list(read_table(file(tmp_path, "input,output\ra,b\rc,d\r", "a.csv"))) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n\nc d\n", "line 3: found 1 texts in 1 columns, expected source TAB target"),
        ("a\tb\nc\td\te\n", "line 2: found 3 texts in 3 columns"),
        ("a\tb\nc\t \n", "line 2: found 1 texts in 2 columns"),
        ("\tb\n", "line 1: found 1 texts in 2 columns"),
        ("a\tb\na\tc\nA!\tc\n", "2 different inputs; expected at least 2 that differ in more than case"),
        ("\n", "is empty"),
        ("input\tFrench\nc\td\n", "line 1: 'input' is the name of an input, but no column has the name of an output"),
        ("\nid\tinput\toutput\n1\ta\tb\n2\tc\n", "line 4: found 2 texts in 2 columns, expected the 3 of the header"),
        ("id\tQuery\tanswer\n1\t \tb\n", "line 2: the column 'Query' is empty"),
        ("id\tQuery\tanswer\n\n1\ta\t\n", "line 3: the column 'answer' is empty"),
        ('a\t"b\nc"\nd\te\nf\n', "line 4: found 1 texts in 1 columns"),
        ("input\toutput\n", "0 different inputs"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        pairs(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b\nc,d,e\n",
            "line 2: found 3 texts in 3 columns, expected source COMMA target; put a text with a comma in",
        ),
        ("a;b\nc;d;e\n", "line 2: found 3 texts in 3 columns, expected source SEMICOLON target; put"),
        ("a\nb\n", "line 1: found 1 texts in 1 columns, expected source COMMA target"),
        ('input,output\n"a\n\nb",c\n"d,e\n', "line 5: a quotation mark opens the field '\"d,e"),
        ("id,source,question,answer,target\n", "line 1: the columns to ask and to answer may be"),
    ],
)
def test_a_malformed_spreadsheet_is_refused_in_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = file(tmp_path, text, "a.csv")
    with pytest.raises(DataError, match=message) as caught:
        pairs(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["any.csv", "any.tsv"])
@given(text=st.text(st.sampled_from('ab ",;\t\n\r'), max_size=30) | st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_table_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str
) -> None:
    path = file(tmp_path_factory.getbasetemp(), text, name)
    said = ""
    try:
        assert all(source and target for source, target in read_table(path))
    except DataError as error:
        said = str(error)
    assert re.fullmatch("|.*line [1-9].*|.* is empty.*", said)  # a full stop matches no line break


@pytest.mark.parametrize("language", ["fra", "deu", "spa", "nld"])
def test_real_sentences_lose_the_marks_of_whole_quoted_cells_and_nothing_else(data_dir: Path, language: str) -> None:
    path = data_dir / "tatoeba" / f"{language}.tsv.gz"
    changed = 0
    for plain, found in zip(read_pairs(path), read_table(path), strict=True):
        for text, cell in zip(plain, found, strict=True):
            if cell != text:
                changed += 1
                assert text == '"' + cell.replace('"', '""') + '"'
    assert changed <= 1


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
