"""The user's own prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskpoint.errors import DataError, PromptError, SettingError
from taskpoint.prompts.content import Content, Example
from taskpoint.tasks.base import Item
from taskpoint.tasks.own import OwnTask

ANIMALS = {
    "instruction": "Translate:",
    "examples": [
        {"input": "dog", "output": "chien"},
        {"input": "cat", "output": "chat"},
        {"input": "cow", "output": "vache"},
    ],
    "query": "bird",
    "answers": ["oiseau", "un oiseau"],
}
CHAT = {
    "messages": [
        {"role": "system", "content": "Translate:"},
        {"role": "user", "content": "red"},
        {"role": "assistant", "content": "rouge"},
        {"role": "user", "content": "blue"},
    ],
    "answers": "bleu",
}
BARE = {"query": "Why?"}


def own(folder: Path, *records: object) -> OwnTask:
    return OwnTask(write(folder, "\n".join(json.dumps(record) for record in records)))


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_prompt_is_asked_as_it_is_written_whatever_the_seed(tmp_path: Path) -> None:
    task = own(tmp_path, ANIMALS)
    (item,) = task.items()
    assert item == Item("mine/1", "mine", "bird", ("oiseau", "un oiseau"))
    written = Content("Translate:", (Example("dog", "chien"), Example("cat", "chat"), Example("cow", "vache")), "bird")
    for seed in range(3):
        assert task.content(item, 3, seed) == task.content(item, 3, seed, fresh=True) == written
    assert task.content(item, 2, 0, instruction=False) == Content(None, written.examples[:2], "bird")
    assert task.score(item, " un oiseau") == 1.0


def test_messages_are_a_prompt_too(tmp_path: Path) -> None:
    task = own(tmp_path, CHAT)
    (item,) = task.items()
    assert task.content(item, 1, 0) == Content("Translate:", (Example("red", "rouge"),), "blue")
    assert item.answers == ("bleu",)


def test_items_keep_the_order_and_the_line_of_the_file(tmp_path: Path) -> None:
    task = OwnTask(write(tmp_path, f"{json.dumps(CHAT)}\n\n{json.dumps(ANIMALS)}\n"))
    assert [item.id for item in task.items()] == ["mine/1", "mine/3"]
    assert [item.id for item in task.items(1)] == ["mine/1"]
    assert task.max_shots == 1
    assert all(task.content(item, 0, 0).instruction is not None for item in task.items())
    assert task.has_answers
    assert task.name == "prompts:mine.jsonl"


def test_equal_lines_are_two_items(tmp_path: Path) -> None:
    assert len({item.id for item in own(tmp_path, ANIMALS, ANIMALS).items()}) == 2


def test_a_file_without_answers_and_instructions_says_so(tmp_path: Path) -> None:
    task = own(tmp_path, ANIMALS, BARE)
    assert (task.has_answers, task.max_shots) == (False, 0)
    bare = task.items()[1]
    assert task.content(bare, 0, 0, instruction=False) == Content(None, (), "Why?")
    with pytest.raises(DataError, match="no accepted answers"):
        task.score(bare, "because")
    with pytest.raises(PromptError, match="no instruction"):
        task.content(bare, 0, 0)


def test_shuffled_answers_come_from_the_same_prompt_where_they_can(tmp_path: Path) -> None:
    task = own(tmp_path, ANIMALS, CHAT)
    first, second = task.items()
    for seed in range(10):
        right, wrong = (task.content(first, 3, seed, shuffled=shuffled).examples for shuffled in (False, True))
        assert {example.output for example in wrong} == {"chien", "chat", "vache"}
        assert all(a.input == b.input and a.output != b.output for a, b in zip(right, wrong, strict=True))
    assert task.content(second, 1, 0, shuffled=True).examples[0].output in {"chien", "chat", "vache"}


def test_more_shots_than_written_are_refused(tmp_path: Path) -> None:
    task = own(tmp_path, ANIMALS, CHAT)
    with pytest.raises(PromptError, match=r"4 shots asked of prompt 'mine/1', which has 3.*set shots to at most 1"):
        task.content(task.items()[0], 4, 0)
    with pytest.raises(SettingError, match="shots is -1"):
        task.content(task.items()[0], -1, 0)


def test_an_item_of_another_file_is_refused(tmp_path: Path) -> None:
    task = own(tmp_path, ANIMALS)
    with pytest.raises(PromptError, match="is not in task"):
        task.content(Item("mine/1", "mine", "other", ()), 0, 0)
    with pytest.raises(SettingError, match="items is 0"):
        task.items(0)


def test_a_fingerprint_changes_with_a_prompt_and_with_its_answers(tmp_path: Path) -> None:
    records = [ANIMALS, {**ANIMALS, "answers": "x"}, {**ANIMALS, "query": "x"}, {**ANIMALS, "instruction": "x"}]
    assert len({own(tmp_path, record).fingerprint() for record in records}) == len(records)


def bad(**changes: object) -> str:
    return json.dumps({**ANIMALS, **changes})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON .*expected one JSON object on every line"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no JSON object; expected one with 'query' or with 'messages'"),
        ('{"answers": "x"}', "'query': Field required"),
        (bad(query=" "), "'query': an empty text"),
        (bad(query=3), "'query': Input should be a valid string"),
        (bad(qeury="x"), "'qeury': no such key; expected instruction, examples, query"),
        (bad(**{"a\nb": 1}), r"'a\\nb': no such key"),
        (bad(examples=[{"input": "a"}]), "'examples.0.output': Field required"),
        (bad(examples=["a"]), "'examples.0': "),
        (bad(answers=["a", ""]), "'answers.1': an empty text"),
        (bad(answers=5), "'answers': "),
        (bad(examples=[{"input": "Bird!", "output": "x"}]), "the query is also an example"),
        (bad(query="\ud800"), "'query': "),
        (json.dumps({"messages": []}), "last message must be the user's question"),
        (json.dumps({"messages": [{"role": "robot", "content": "x"}]}), "'messages.0.role': "),
        (json.dumps({"messages": CHAT["messages"][:2] * 2}), "expected 'assistant'"),
        (json.dumps({**CHAT, "query": "x"}), "'query': no such key"),
    ],
)
def test_a_malformed_line_is_refused_in_one_line_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, f"{json.dumps(ANIMALS)}\n\n{line}\n")
    with pytest.raises(DataError, match=message) as caught:
        OwnTask(path)
    assert str(caught.value).startswith(f"{str(path)!r}, line 3: ")
    assert "\n" not in str(caught.value)


def test_prompts_that_agree_on_what_stands_before_the_query_have_it_in_common(tmp_path: Path) -> None:
    task = own(tmp_path, ANIMALS, ANIMALS | {"query": "fish"})
    assert task.context(2, 0) == Content("Translate:", (Example("dog", "chien"), Example("cat", "chat")), "")
    turned = ANIMALS | {"examples": ANIMALS["examples"][::-1]}
    with pytest.raises(SettingError, match="2 different beginnings of 1 shots"):
        own(tmp_path, ANIMALS, turned).context(1, 0)
    assert own(tmp_path, ANIMALS, turned).context(0, 0).examples == ()
    with pytest.raises(PromptError, match="4 shots"):
        task.context(4, 0)
