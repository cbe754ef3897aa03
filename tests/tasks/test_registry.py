"""From a name to a task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flores_files import write_folder
from taskpoint.errors import DataError, SettingError, TaskpointError, UnknownNameError
from taskpoint.tasks.everyday import directions
from taskpoint.tasks.lexicon import subtasks
from taskpoint.tasks.registry import task, task_names

PROMPT = {"examples": [{"input": "a", "output": "b"}], "query": "c", "answers": "d"}


def test_every_bundled_name_gives_the_task_of_that_name() -> None:
    bundled = [name for name in task_names() if not any(word in name for word in ("FILE", "DIR", "hub"))]
    assert len(bundled) == len(subtasks()) + len(directions()) + 2
    assert [task(name).name for name in bundled] == bundled


def test_every_form_with_a_file_gives_a_task(tmp_path: Path) -> None:
    text = {
        "words": json.dumps({"a": "b", "c": "d"}),
        "pairs": "a\tb\nc\td\n",
        "prompts": json.dumps(PROMPT),
    }
    forms = [name for name in task_names() if "FILE" in name and "humaneval" not in name and "mbpp" not in name]
    assert [form.split(":")[0] for form in forms] == list(text)
    for form in forms:
        kind, pattern = form.split(":")
        path = tmp_path / pattern.replace("FILE", "a:b")
        path.write_text(text[kind])
        made = task(f"{kind}:{path}")
        assert made.name == f"{kind}:{path.name}"
        assert made.content(made.items()[0], 1, 0, instruction=False).examples


def test_every_form_with_a_folder_gives_a_task(sentence_folder: Callable[..., Path]) -> None:
    forms = [name for name in task_names() if "DIR" in name]
    assert forms == ["tatoeba:DIR", "tatoeba:DIR:eng-fra", "flores:DIR:eng-fra"]
    for name in ("plain", "a:b"):
        place = write_folder(sentence_folder(name))
        named = [task(form.replace("DIR", str(place))).name for form in forms]
        assert named == ["tatoeba", "tatoeba:eng-fra", "flores:eng-fra"]


def test_only_what_looks_like_a_direction_is_taken_off_a_folder(sentence_folder: Callable[..., Path]) -> None:
    place = sentence_folder("x:eng")
    assert task(f"tatoeba:{place}").name == "tatoeba"
    with pytest.raises(UnknownNameError, match=r"direction of tatoeba 'eng-frr'\. Did you mean 'eng-fra'"):
        task(f"tatoeba:{place}:eng-frr")


def test_several_directions_are_asked_in_the_order_that_names_them(sentence_folder: Callable[..., Path]) -> None:
    for suite, place in (("everyday", ""), ("tatoeba", f":{sentence_folder('a:b')}")):
        found = task(f"{suite}{place}:spa-eng,eng-fra")
        assert found.name == f"{suite}:spa-eng,eng-fra"
        assert [item.task for item in found.items(4)] == ["spa-eng", "eng-fra", "spa-eng", "eng-fra"]
        with pytest.raises(SettingError, match="has eng-fra twice; name each direction once"):
            task(f"{suite}{place}:eng-fra,eng-fra")
        with pytest.raises(UnknownNameError, match="eng-frr"):
            task(f"{suite}{place}:eng-fra,eng-frr")
    with pytest.warns(UserWarning, match=r"this is everyday:spa-eng\. Name the one you mean: everyday:eng-fra$"):
        task("everyday:spa-eng,eng-fra").context(1, 0)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.json").write_text('{"a": "b", "c": "d"}')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert task("words:~/w.json").name == "words:w.json"
    with pytest.raises(DataError, match="no file"):
        task("words:~nobody-of-this-name/w.json")


def test_an_instruction_is_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "w.tsv"
    path.write_text("a\tb\nc\td\n")
    told = task(f"pairs:{path}", instruction="Do it:")
    assert told.content(told.items()[0], 0, 0).instruction == "Do it:"


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("lexcion", "lexicon"),
        ("lexicon:english-frensh", "lexicon:english-french"),
        ("lexicon:", "lexicon"),
        ("plural", "lexicon:plural"),
        ("word:FILE.json", "words:FILE.json"),
        ("evryday", "everyday"),
        ("everyday:eng-frr", "everyday:eng-fra"),
        ("everyday:", "everyday"),
    ],
)
def test_an_unknown_task_is_refused_with_the_nearest_and_all_that_exist(spec: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Did you mean {near!r}") as caught:
        task(spec)
    assert "\n" not in str(caught.value)
    assert all(name in str(caught.value) for name in task_names())


@pytest.mark.parametrize("spec", ["", "zzz", "lexicon:\n"])
def test_a_name_like_no_other_is_refused_in_one_line(spec: str) -> None:
    with pytest.raises(UnknownNameError, match="Known: everyday") as caught:
        task(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["words", "words:", "pairs", "prompts:"])
def test_a_form_without_its_file_is_refused(spec: str) -> None:
    with pytest.raises(SettingError, match=r"names no file; expected \w+:FILE"):
        task(spec)


@pytest.mark.parametrize("spec", ["tatoeba", "tatoeba:"])
def test_a_form_without_its_folder_is_refused(spec: str) -> None:
    with pytest.raises(SettingError, match="names no folder; expected tatoeba:DIR"):
        task(spec)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("lexicon", "Do:"),
        ("prompts:x.jsonl", "Do:"),
        ("words:x.json", " "),
        ("everyday", "Do:"),
        ("everyday:eng-fra", "Do:"),
        ("tatoeba:x", "Do:"),
        ("flores:x:eng-fra", "Do:"),
    ],
)
def test_an_instruction_that_cannot_be_used_is_refused(spec: str, line: str) -> None:
    with pytest.raises(SettingError, match=r"leave (instruction|it) out"):
        task(spec, instruction=line)


@pytest.mark.parametrize("kind", ["words", "pairs", "prompts", "tatoeba", "flores"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"{\n", b"\x00"])
def test_no_file_of_any_kind_ends_in_a_traceback(tmp_path: Path, kind: str, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    behind = ":eng-fra" if kind == "flores" else ""
    for spec in (f"{kind}:{path}{behind}", f"{kind}:{tmp_path}{behind}", f"{kind}:{tmp_path}/\x00{behind}"):
        with pytest.raises(TaskpointError) as caught:
            task(spec)
        assert "\n" not in str(caught.value)
