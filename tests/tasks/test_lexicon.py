"""The bundled suite."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

import taskpoint
from taskpoint.errors import UnknownNameError
from taskpoint.tasks.files import tables
from taskpoint.tasks.lexicon import lexicon, subtasks
from taskpoint.tasks.scores.same_text import input_key, normalise

NAMES = sorted(subtasks())


def answer(name: str, text: str) -> tuple[str, ...]:
    return dict(subtasks()[name].pairs)[text]


@pytest.mark.parametrize("name", NAMES)
def test_a_sub_task_has_at_least_100_words_that_can_all_meet_in_one_prompt(name: str) -> None:
    subtask = subtasks()[name]
    assert subtask.name == name
    assert len({input_key(text) for text, _ in subtask.pairs}) == len(subtask.pairs) >= 100


@pytest.mark.parametrize("name", NAMES)
def test_words_are_clean(name: str) -> None:
    for text, answers in subtasks()[name].pairs:
        assert answers
        assert len(set(answers)) == len(answers)
        for each in (text, *answers):
            assert each == normalise(each) != ""


def test_no_instruction_is_shared_and_each_is_one_line_that_ends_in_a_colon() -> None:
    instructions = [subtask.instruction for subtask in subtasks().values()]
    assert len(set(instructions)) == len(instructions)
    assert all(line.endswith(":") and "\n" not in line for line in instructions)


def test_the_suite_has_the_sub_tasks_that_are_documented() -> None:
    translation = [f"english-{tongue}" for tongue in ("french", "german", "spanish", "italian", "dutch", "portuguese")]
    grammar = ["plural", "past", "gerund", "third-person", "comparative", "superlative", "antonym"]
    rest = ["capital", "demonym", "first-letter", "last-letter", "uppercase"]
    numbers = ["next-number", "digits"]
    assert list(subtasks()) == translation + grammar + rest + numbers


@pytest.mark.parametrize(
    ("name", "text", "answers"),
    [
        ("english-french", "pig", ("cochon", "porc")),
        ("english-german", "dog", ("Hund",)),
        ("english-spanish", "dog", ("perro",)),
        ("english-italian", "dog", ("cane",)),
        ("english-dutch", "dog", ("hond",)),
        ("english-portuguese", "dog", ("cão", "cachorro")),
        ("plural", "mouse", ("mice",)),
        ("past", "go", ("went",)),
        ("gerund", "run", ("running",)),
        ("third-person", "do", ("does",)),
        ("comparative", "bad", ("worse",)),
        ("superlative", "bad", ("worst",)),
        ("antonym", "big", ("small", "little")),
        ("capital", "Peru", ("Lima",)),
        ("demonym", "Peru", ("Peruvian",)),
        ("first-letter", "dog", ("d",)),
        ("last-letter", "dog", ("g",)),
        ("uppercase", "dog", ("DOG",)),
        ("next-number", "nineteen", ("twenty",)),
        ("next-number", "ninety-nine", ("one hundred",)),
        ("digits", "one hundred thirty-nine", ("139",)),
        ("digits", "forty", ("40",)),
    ],
)
def test_a_known_word_has_its_answer(name: str, text: str, answers: tuple[str, ...]) -> None:
    assert answer(name, text) == answers


def test_numbers_count_up() -> None:
    for text, answers in subtasks()["next-number"].pairs:
        assert int(answer("digits", answers[0])[0]) == int(answer("digits", text)[0]) + 1


def test_every_table_is_used_and_found_through_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = resources.files

    def files(package: str) -> object:
        asked.append(package)
        return real(package)

    monkeypatch.setattr(tables.resources, "files", files)
    found = [Path(str(entry)).stem for entry in real("taskpoint.tasks").joinpath("data", "lexicon").iterdir()]
    assert sorted(found) == ["adjectives", "countries", "nouns", "verbs"]
    subtasks.__wrapped__()
    assert set(asked) == {"taskpoint.tasks"}


def test_the_data_needs_no_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(subtasks.__wrapped__()) == list(subtasks())


def test_the_suite_is_named_after_what_was_asked() -> None:
    assert (lexicon().name, lexicon("plural").name) == ("lexicon", "lexicon:plural")
    assert all(subtask.instruction is not None for subtask in lexicon().subtasks)
    assert lexicon().has_answers
    assert (lexicon().metric, lexicon().template) == ("exact match", "qa")


def test_an_unknown_sub_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'english-frensh'\. Did you mean 'english-french'"):
        lexicon("english-frensh")


def test_the_data_lies_in_the_package() -> None:
    assert (Path(taskpoint.__file__).parent / "tasks" / "data" / "lexicon" / "nouns.tsv").is_file()
