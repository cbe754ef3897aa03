"""Word tasks from JSON files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskpoint.errors import DataError, PromptError
from taskpoint.tasks.words import words


def file(folder: Path, text: str) -> Path:
    path = folder / "opposites.json"
    path.write_text(text, encoding="utf-8")
    return path


def answers(path: Path) -> dict[str, tuple[str, ...]]:
    return {item.input: item.answers for item in words(path).items()}


def test_records_are_read(tmp_path: Path) -> None:
    path = file(tmp_path, '[{"input": "hot", "output": "cold"}, {"output": ["small", "little"], "input": "big"}]')
    assert answers(path) == {"hot": ("cold",), "big": ("small", "little")}
    task = words(path)
    assert task.name == "words:opposites.json"
    assert {(item.task, item.id) for item in task.items()} == {
        ("opposites", "opposites/hot"),
        ("opposites", "opposites/big"),
    }


def test_an_object_says_the_same_as_a_list(tmp_path: Path) -> None:
    said = answers(file(tmp_path, '{"hot": "cold", "big": ["small", "little"]}'))
    assert said == {"hot": ("cold",), "big": ("small", "little")}


def test_records_with_one_input_are_one_item_with_all_answers(tmp_path: Path) -> None:
    rows = [("hot", "cold"), ("big", "small"), ("hot", "cold"), ("big", "little"), (" big\n", "tiny ")]
    path = file(tmp_path, json.dumps([{"input": source, "output": target} for source, target in rows]))
    assert answers(path) == {"hot": ("cold",), "big": ("small", "little", "tiny")}


def test_a_key_that_stands_twice_in_an_object_loses_nothing(tmp_path: Path) -> None:
    said = answers(file(tmp_path, '{"hot": "cold", "big": "small", "hot": "cool"}'))
    assert said["hot"] == ("cold", "cool")


def test_brackets_and_commas_within_texts_are_left_alone(tmp_path: Path) -> None:
    said = answers(file(tmp_path, '[ {"input": "[a, b}", "output": "],:"} ,\n {"input": "{\\"x\\"", "output": "[["}]'))
    assert said == {"[a, b}": ("],:",), '{"x"': ("[[",)}


def test_an_instruction_can_be_given(tmp_path: Path) -> None:
    path = file(tmp_path, '{"hot": "cold", "big": "small"}')
    with pytest.raises(PromptError, match="no instruction"):
        words(path).content(words(path).items()[0], 1, 0)
    task = words(path, instruction="Give the opposite:")
    assert task.content(task.items()[0], 1, 0).instruction == "Give the opposite:"


def test_the_folder_changes_neither_the_prompts_nor_the_fingerprint(tmp_path: Path) -> None:
    text = json.dumps({f"word{number}": f"answer{number}" for number in range(30)})
    first, second = tmp_path / "a", tmp_path / "b"
    tasks = []
    for folder in (first, second):
        folder.mkdir()
        tasks.append(words(file(folder, text)))
    assert tasks[0].name == tasks[1].name
    assert tasks[0].items() == tasks[1].items()
    assert tasks[0].fingerprint() == tasks[1].fingerprint()
    prompts = [task.content(task.items()[0], 5, 0, instruction=False) for task in tasks]
    assert prompts[0] == prompts[1]


GOOD = '[\n{"input": "a", "output": "b"},\n{"input": "c", "output": "d"},\n\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"input": "a",\n "output" "b"}]', "line 3: .*delimiter.*expected JSON"),
        (GOOD, "line 5: .*expected JSON"),
        ('{"input": "a", "output": "b"}\n{"input": "c", "output": "d"}\n', "line 2: Extra data"),
        ('"hot"', "line 1: found a text, expected a list or an object"),
        ("3", "found a number"),
        ("null", "found null"),
        (GOOD + '"e"]', "line 5: found a text, expected a record with 'input' and 'output'"),
        (GOOD + '{"input": "e"}]', r"line 5: found keys \['input'\]"),
        (GOOD + '{"input": "e", "ouput": "f"}]', r"line 5: found keys \['input', 'ouput'\]"),
        (GOOD + '{"input": "e", "output": 5}]', "line 5: the output is a number"),
        (GOOD + '{"input": "e", "output": null}]', "line 5: the output is null"),
        (GOOD + '{"input": "e", "output": []}]', "line 5: the output is a list"),
        (GOOD + '{"input": "e", "output": ["f", ""]}]', "line 5: the output is an empty text"),
        (GOOD + '{"input": " ", "output": "f"}]', "line 5: the input is an empty text"),
        (GOOD + '{"input": true, "output": "f"}]', "line 5: the input is true or false"),
        (GOOD + '{"input": "\\ud800", "output": "f"}]', "line 5: the input is half a character"),
        ('{"a": "b",\n"c": {"d": "e"}}', "line 2: the output is an object"),
        ("[]", "0 different inputs; expected at least 2"),
        ('{"a": "b"}', "1 different inputs; expected at least 2"),
        ("[" * 100_000, "expected JSON"),
        ("[" + "9" * 5000 + "]", "expected JSON"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        words(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_real_tasks_load_and_can_be_asked(data_dir: Path) -> None:
    paths = sorted((data_dir / "icl_tasks" / "function_vectors").glob("*/*.json"))
    assert len(paths) == 46
    tasks = {path.stem: words(path) for path in paths}
    for path in paths:
        task = tasks[path.stem]
        records = json.loads(path.read_text(encoding="utf-8"))
        items = task.items()
        assert len(items) == len({record["input"].strip() for record in records})
        for item in items[:5]:
            content = task.content(item, 5, 0, instruction=False, fresh=True, shuffled=True)
            assert item.input.casefold() not in {example.input.casefold() for example in content.examples}
    several = {
        name: sum(len(item.answers) > 1 for item in tasks[name].items()) for name in ("national_parks", "antonym")
    }
    assert several["national_parks"] > 0
    german = {item.input: item.answers for item in tasks["english-german"].items()}
    assert all(answer == answer.strip() for answer in german["brick"])
