"""The bundled sentences."""

from __future__ import annotations

import pytest

from taskpoint.errors import DataError, UnknownNameError
from taskpoint.tasks import everyday as module
from taskpoint.tasks.everyday import directions, everyday
from taskpoint.tasks.files import tables
from taskpoint.tasks.language import LANGUAGES, detected_language
from taskpoint.tasks.scores.same_text import normalise
from taskpoint.tasks.tatoeba import LONGEST, Corpus
from taskpoint.tasks.translation import DIRECTIONS, direction_name, sentence_key

NAMES = [direction_name(*direction) for direction in DIRECTIONS]


def pairs(name: str) -> dict[str, tuple[str, ...]]:
    return dict(next(subtask.pairs for subtask in directions() if subtask.name == name))


def test_there_are_eight_directions_of_150_sentences_that_can_all_meet_in_one_prompt() -> None:
    assert [subtask.name for subtask in directions()] == NAMES
    assert len(NAMES) == 8
    for subtask in directions():
        assert len({sentence_key(text) for text, _ in subtask.pairs}) == len(subtask.pairs) == 150
    assert everyday().max_shots == 149


@pytest.mark.parametrize("name", NAMES)
def test_sentences_are_clean_and_no_translation_is_there_twice(name: str) -> None:
    for text, answers in pairs(name).items():
        assert len(set(answers)) == len(answers) in (1, 2)
        for each in (text, *answers):
            assert each == normalise(each) != ""
            assert each[-1] in ".?!"


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_is_in_its_language(name: str) -> None:
    source, target = (LANGUAGES[code] for code in name.split("-"))
    for text, answers in pairs(name).items():
        assert detected_language(text) == source
        assert {detected_language(answer) for answer in answers} == {target}


def test_the_way_back_starts_from_the_first_translation() -> None:
    for code in ("fra", "deu", "spa", "nld"):
        there, back = pairs(f"eng-{code}"), pairs(f"{code}-eng")
        assert back == {answers[0]: (text,) for text, answers in there.items()}
        assert any(len(answers) == 2 for answers in there.values())


def test_english_sentences_are_the_same_in_every_direction_and_no_longer_than_those_of_training() -> None:
    english = [list(pairs(name)) for name in NAMES if name.startswith("eng")]
    assert all(sentences == english[0] for sentences in english)
    assert max(len(text.split()) for text in english[0]) <= LONGEST


def test_two_accepted_translations_are_both_right() -> None:
    task = everyday("eng-nld")
    item = next(item for item in task.items() if item.input == "The soup is too hot for me.")
    assert item.answers == ("De soep is te heet voor mij.", "De soep is te warm voor mij.")
    assert [task.score(item, answer) for answer in item.answers] == pytest.approx([100, 100])


def test_no_english_sentence_is_in_tatoeba(real_corpora: tuple[Corpus, ...]) -> None:
    own = {text.casefold().rstrip(".?!") for text in pairs("eng-fra")}
    for corpus in real_corpora:
        assert own.isdisjoint(english.casefold().rstrip(".?!") for english, _ in corpus.train + corpus.test)


def test_the_task_is_named_after_what_was_asked() -> None:
    assert (everyday().name, everyday("eng-fra").name) == ("everyday", "everyday:eng-fra")
    assert all(subtask.instruction is not None for subtask in everyday().subtasks)
    assert everyday().metric == "BLEU"
    item = everyday("spa-eng").items()[0]
    assert everyday().content(item, 1, 0).instruction == "Translate Spanish to English:"


def test_an_unknown_direction_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'eng-frr'\. Did you mean 'eng-fra'"):
        everyday("eng-frr")


def test_a_table_with_a_cell_too_few_is_refused_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Table:
        def joinpath(self, *_: str) -> Table:
            return self

        def read_text(self, encoding: str) -> str:
            return "english\tfrench\nGo.\tVa.\nStay.\t\n"

    monkeypatch.setattr(tables.resources, "files", lambda _: Table())
    with pytest.raises(DataError, match=r"sentences\.tsv, line 3: 2 cells, expected 2, none of them empty"):
        module.directions.__wrapped__()
