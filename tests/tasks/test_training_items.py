"""What a task gives to train on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskpoint.errors import DataError, SettingError
from taskpoint.tasks.everyday import everyday
from taskpoint.tasks.lexicon import lexicon
from taskpoint.tasks.mapping import MappingTask, Subtask
from taskpoint.tasks.own import OwnTask
from taskpoint.tasks.scores.same_text import input_key
from taskpoint.tasks.tatoeba import corpora, tatoeba
from taskpoint.tasks.translation import sentence_key


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 140), st.one_of(st.none(), st.integers(1, 400)))
def test_items_to_train_on_are_the_others_of_the_task_in_its_order(scored: int, limit: int | None) -> None:
    task = lexicon("past")
    without = task.items(scored)
    found = task.training(limit, without)
    assert list(found) == [item for item in task.items() if item not in without][:limit]


def test_variants_of_a_scored_input_are_not_trained_on() -> None:
    pairs = (("red", ("rot",)), ("Red!", ("Rot!",)), ("blue", ("blau",)))
    task = MappingTask("colours", (Subtask("colours", None, pairs),))
    [red] = [item for item in task.items() if item.input == "red"]
    assert [item.input for item in task.training(None, [red])] == ["blue"]


def test_a_word_that_one_sub_task_scores_may_be_trained_on_in_another() -> None:
    task = lexicon()
    without = [item for item in task.items() if item.task == "english-french"]
    found = task.training(None, without)
    assert {item.task for item in found} == {each.name for each in task.subtasks} - {"english-french"}
    assert {input_key(item.input) for item in without} <= {input_key(item.input) for item in found}


def test_a_scored_sentence_is_not_trained_on_in_any_direction() -> None:
    task = everyday()
    without = task.items(100)
    said = {sentence_key(text) for item in without for text in (item.input, *item.answers)}
    found = task.training(None, without)
    assert said.isdisjoint(sentence_key(text) for item in found for text in (item.input, *item.answers))
    assert {item.task for item in found} == {each.name for each in task.subtasks}


def test_items_to_train_on_become_prompts_like_the_others() -> None:
    task = everyday("eng-fra,fra-eng")
    for item in task.training(4, task.items(40)):
        content = task.content(item, 5, 0)
        assert (content.query, len(content.examples)) == (item.input, 5)


def test_nothing_that_is_left_is_one_clear_line() -> None:
    task = lexicon("past")
    with pytest.raises(DataError, match=r"'lexicon:past' has no item with an answer .* beside the 1.. to be scored"):
        task.training(None, task.items())
    with pytest.raises(SettingError, match="items is 0"):
        task.training(0, [])


def test_prompts_of_a_file_without_an_answer_are_not_trained_on(tmp_path: Path) -> None:
    lines = [{"query": "a", "answers": "x"}, {"query": "b"}, {"query": "c", "answers": "y"}, {"query": "A."}]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = OwnTask(tmp_path / "own.jsonl")
    assert [item.input for item in task.training(None, [])] == ["a", "c"]
    assert [item.input for item in task.training(None, task.items(1))] == ["c"]


def test_tatoeba_trains_on_its_training_part(sentence_folder: Callable[..., Path]) -> None:
    read = corpora(sentence_folder(fra=[(f"Go now {number}.", f"Va {number}.") for number in range(400)]))
    task = tatoeba(read, "eng-fra,fra-eng")
    [french] = [corpus for corpus in read if corpus.language == "fra"]
    found = task.training(None, task.items())
    assert [item.task for item in found] == ["eng-fra", "fra-eng"] * len(french.train)
    for name, pairs in (("eng-fra", french.train), ("fra-eng", [pair[::-1] for pair in french.train])):
        order = [(item.input, *item.answers) for item in found if item.task == name]
        assert set(order) == set(pairs)
        assert order != list(pairs)
    assert task.training(20, task.items(3)) == found[:20]
    assert task.content(found[0], 2, 0).query == found[0].input
