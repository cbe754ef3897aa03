"""The split of the sentences, and the task that their held-out part is."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from taskpoint.errors import DataError, UnknownNameError
from taskpoint.tasks.tatoeba import LONGEST, Corpus, corpora, direction_pairs, tatoeba
from taskpoint.tasks.translation import DIRECTIONS, direction_name, sentence_key

Folder = Callable[..., Path]


def bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


@cache
def english(sentences: tuple[tuple[str, str], ...]) -> set[str]:
    return {bare(source) for source, _ in sentences}


def other(sentences: tuple[tuple[str, str], ...]) -> set[str]:
    return {bare(target) for _, target in sentences}


def test_no_sentence_that_is_tested_is_trained_on_in_its_language(real_corpora: tuple[Corpus, ...]) -> None:
    tested = set().union(*(english(corpus.test) for corpus in real_corpora))
    for corpus in real_corpora:
        assert tested.isdisjoint(english(corpus.train))
        assert other(corpus.test).isdisjoint(other(corpus.train))


def test_an_english_sentence_is_held_out_in_every_language_that_has_it(real_corpora: tuple[Corpus, ...]) -> None:
    by_language = [(english(corpus.train), english(corpus.test)) for corpus in real_corpora]
    for _, tested in by_language:
        assert len(tested) > 500
        assert all(tested.isdisjoint(trained) for trained, _ in by_language)
    shared = by_language[0][1] & by_language[1][1]
    assert len(shared) > 100


def test_a_small_part_of_the_real_sentences_is_held_out_and_little_is_lost(real_corpora: tuple[Corpus, ...]) -> None:
    for corpus in real_corpora:
        total = len(corpus.train) + len(corpus.test)
        assert 0.01 < len(corpus.test) / total < 0.02
        assert max(len(source.split()) for source, _ in corpus.train + corpus.test) == LONGEST


def test_examples_of_a_real_prompt_do_not_give_the_answer_away(real_corpora: tuple[Corpus, ...]) -> None:
    task = tatoeba(real_corpora)
    for item in task.items(40):
        secret = {sentence_key(text) for text in (item.input, *item.answers)}
        for example in task.content(item, task.max_shots, 0).examples:
            assert secret.isdisjoint(map(sentence_key, (example.input, example.output)))


def test_the_split_does_not_depend_on_the_order_of_the_lines_nor_on_the_other_sentences(
    sentence_folder: Folder,
) -> None:
    lines = [(f"Go now {number}.", f"Va {number}.") for number in range(400)]
    mixed = random.Random(0).sample(lines, len(lines))
    straight, shuffled, half = (
        corpora(sentence_folder(name, fra=found))[0]
        for name, found in (("a", lines), ("b", mixed), ("c", [*lines[100:300], *lines[:4]]))
    )
    assert set(straight.test) == set(shuffled.test)
    assert set(straight.train) == set(shuffled.train)
    assert set(half.test) == set(straight.test) & {*lines[100:300], *lines[:4]}


def test_what_is_held_out_does_not_depend_on_case_and_punctuation(sentence_folder: Folder) -> None:
    lines = [("Go now 1.", "Va 1."), ("Go now 3.", "Va 3."), ("GO, now 3!", "Va 4."), ("Go now 180.", "Va 5.")]
    french = corpora(sentence_folder(fra=lines))[0]
    assert french.train == (("Go now 1.", "Va 1."),)
    assert french.test == tuple(lines[1:])


def test_another_sentence_with_a_translation_that_is_tested_is_not_trained_on(sentence_folder: Folder) -> None:
    lines = [("Go now 3.", "Vas-y !"), ("Go now 180.", "Va."), ("Go there 1.", "Vas-y."), ("Go there 2.", "Reste.")]
    french = corpora(sentence_folder(fra=lines))[0]
    assert french.train == (("Go there 2.", "Reste."),)
    assert "Go there 1." not in {source for source, _ in french.test}


def test_long_sentences_are_left_out(sentence_folder: Folder) -> None:
    lines = [("a b c d e f g h", "kurz"), ("a b c d e f g h i", "lang")]
    german = corpora(sentence_folder(deu=lines))[1]
    assert german.train + german.test == (("a b c d e f g h", "kurz"),)


def test_the_languages_are_in_the_order_of_the_directions(sentence_folder: Folder) -> None:
    found = corpora(sentence_folder())
    assert [corpus.language for corpus in found] == [target for source, target in DIRECTIONS if source == "eng"]
    task = tatoeba(found)
    assert [subtask.name for subtask in task.subtasks] == [direction_name(*direction) for direction in DIRECTIONS]
    assert task.name == "tatoeba"
    assert all(subtask.instruction is not None for subtask in task.subtasks)


def test_the_task_asks_what_is_held_out_with_every_translation(sentence_folder: Folder) -> None:
    lines = [("Go now 3.", "Va 3."), ("Go now 180.", "Va."), ("Go now 3.", "Pars 3."), ("Stay 3.", "Reste.")]
    task = tatoeba(corpora(sentence_folder(fra=lines)), "eng-fra")
    assert task.name == "tatoeba:eng-fra"
    assert {item.input: item.answers for item in task.items()} == {
        "Go now 3.": ("Va 3.", "Pars 3."),
        "Go now 180.": ("Va.",),
    }
    back = tatoeba(corpora(sentence_folder(fra=lines)), "fra-eng")
    assert {item.input for item in back.items()} == {"Va 3.", "Va.", "Pars 3."}
    assert back.content(back.items()[0], 1, 0).instruction == "Translate French to English:"


def test_pairs_of_a_direction_have_each_source_once_with_all_its_translations() -> None:
    sentences = (("Go.", "Va."), ("Go.", "Pars."), ("Leave.", "Pars."))
    assert direction_pairs(sentences, from_english=True) == (("Go.", ("Va.", "Pars.")), ("Leave.", ("Pars.",)))
    assert direction_pairs(sentences, from_english=False) == (("Va.", ("Go.",)), ("Pars.", ("Go.", "Leave.")))


def test_a_folder_is_read_once_however_it_is_written(sentence_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    place = sentence_folder()
    first = corpora(place)
    monkeypatch.chdir(place.parent)
    assert corpora(Path(place.name)) is first


def test_an_unknown_direction_is_refused_with_the_nearest(sentence_folder: Folder) -> None:
    with pytest.raises(UnknownNameError, match=r"'eng-frr'\. Did you mean 'eng-fra'"):
        tatoeba(corpora(sentence_folder()), "eng-frr")


def test_a_folder_that_lacks_a_file_is_refused_in_one_line(sentence_folder: Folder, tmp_path: Path) -> None:
    place = sentence_folder()
    (place / "spa.tsv.gz").unlink()
    for folder, message in (
        (place, r"no file .*spa\.tsv\.gz"),
        (tmp_path / "nowhere", r"no folder .*expected one with fra\.tsv\.gz"),
        (place / "fra.tsv.gz", "no folder"),
        (Path("a\0b"), "cannot read the folder"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            corpora(folder)
        assert "\n" not in str(caught.value)


def test_too_few_held_out_sentences_are_refused(sentence_folder: Folder) -> None:
    with pytest.raises(DataError, match="'eng-fra' has 0 different inputs"):
        tatoeba(corpora(sentence_folder(fra=[("Go now 1.", "Va 1.")])))
