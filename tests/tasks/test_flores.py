"""Translation of FLORES sentences."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flores_files import WORDS, sentences, write_dataset, write_folder
from taskpoint.errors import DataError, PromptError, SettingError, TaskpointError, UnknownNameError
from taskpoint.tasks.flores.folder import Folder
from taskpoint.tasks.flores.hub import Hub
from taskpoint.tasks.flores.languages import detectable, language
from taskpoint.tasks.flores.task import FloresTask, flores, flores_of
from taskpoint.tasks.language import LANGUAGES, detected_language
from taskpoint.tasks.registry import task

PAIRS = ("eng", "fra", "por", "deu", "spa")


def lines(data_dir: Path, code: str, split: str) -> list[str]:
    text = (data_dir / "flores101" / split / f"{code}.{split}").read_bytes().decode()
    return [line.strip() for line in text.split("\n")[:-1]]


@pytest.fixture(scope="module")
def english_french(data_dir: Path) -> FloresTask:
    return flores(data_dir / "flores101", "eng-fra")


def test_all_of_devtest_is_asked_once_in_a_fixed_random_order(english_french: FloresTask, data_dir: Path) -> None:
    asked = dict(zip(lines(data_dir, "eng", "devtest"), lines(data_dir, "fra", "devtest"), strict=True))
    items = english_french.items()
    assert len(items) == len({item.id for item in items}) == 1012
    assert {item.input: item.answers for item in items} == {text: (answer,) for text, answer in asked.items()}
    assert [item.id for item in items[:3]] == ["eng-fra/153", "eng-fra/325", "eng-fra/21"]
    assert items[0].input == list(asked)[152]


def test_examples_come_from_dev_801_to_997_and_training_from_1_to_800_in_order(
    english_french: FloresTask, data_dir: Path
) -> None:
    dev = list(zip(lines(data_dir, "eng", "dev"), lines(data_dir, "fra", "dev"), strict=True))
    item = english_french.items(1)[0]
    assert english_french.max_shots == 197
    examples = english_french.content(item, 197, 3).examples
    assert {(each.input, each.output) for each in examples} == set(dev[800:])
    trained = english_french.training(None, english_french.items())
    assert [(each.input, *each.answers) for each in trained] == dev[:800]
    assert english_french.training(7, []) == trained[:7]
    assert english_french.content(trained[0], 5, 0).examples == english_french.content(item, 5, 0).examples


def test_an_item_has_the_examples_of_the_seed_whichever_it_is(english_french: FloresTask) -> None:
    first, *others = english_french.items(20)
    for seed in range(3):
        shown = english_french.content(first, 5, seed).examples
        assert all(english_french.content(item, 5, seed).examples == shown for item in others)
        assert english_french.context(5, seed).examples == shown


def test_white_space_within_a_sentence_stays_as_it_is(english_french: FloresTask) -> None:
    answers = [answer for item in english_french.items() for answer in item.answers]
    # 169 lines of the file have one; of 18 it was at an end only.
    assert sum("\u00a0" in answer for answer in answers) == 151
    assert all(answer == answer.strip() for answer in answers)


def test_several_directions_are_a_suite_that_takes_turns(data_dir: Path) -> None:
    suite = task(f"flores:{data_dir / 'flores101'}:eng-fra,fra-eng,por-eng")
    assert suite.name == "flores:eng-fra,fra-eng,por-eng"
    items = suite.items(6)
    assert [item.task for item in items] == ["eng-fra", "fra-eng", "por-eng"] * 2
    assert [suite.asked_language(item) for item in items[:3]] == ["French", "English", "English"]
    assert suite.content(items[2], 0, 0).instruction == "Translate Portuguese to English:"
    assert [item.id for item in suite.training(3, items)] == ["eng-fra/dev/1", "fra-eng/dev/1", "por-eng/dev/1"]


@pytest.mark.parametrize("pattern", ["{code}.{split}", "{split}.{code}"])
@pytest.mark.parametrize("direction", ["eng-fra", "eng_Latn-fra", "eng-fra_Latn", "eng_Latn-fra_Latn"])
def test_folders_of_every_release_are_read_by_short_and_full_codes(
    tmp_path: Path, pattern: str, direction: str
) -> None:
    place = write_folder(tmp_path / "a:b", pattern, {f"{code}_Latn": word for code, word in WORDS.items()})
    found = task(f"flores:{place}:{direction}")
    assert {item.input: item.answers[0] for item in found.items()} == dict(
        zip(sentences("Sentence", "devtest"), sentences("Phrase", "devtest"), strict=True)
    )
    assert found.content(found.items()[0], 1, 0).instruction == "Translate English to French:"


def test_the_same_prompts_come_from_a_folder_of_either_release(tmp_path: Path) -> None:
    old = flores(write_folder(tmp_path / "old"), "eng-fra")
    new = flores(write_folder(tmp_path / "new", codes={f"{c}_Latn": w for c, w in WORDS.items()}), "eng-fra")
    assert old.fingerprint() == new.fingerprint()
    assert [old.content(item, 3, 1) for item in old.items()] == [new.content(item, 3, 1) for item in new.items()]


@pytest.mark.parametrize(("split", "line"), [("dev", 1), ("dev", 803), ("devtest", 5)])
def test_a_sentence_that_is_asked_shown_or_trained_on_changes_the_fingerprint(
    tmp_path: Path, split: str, line: int
) -> None:
    place = write_folder(tmp_path / "x")
    before = flores(place, "eng-fra").fingerprint()
    lines = sentences("Phrase", split)
    lines[line - 1] = "Autre."
    (place / split / f"fra.{split}").write_text("\n".join(lines))
    assert flores(place, "eng-fra").fingerprint() != before


def test_a_code_that_may_be_two_languages_is_refused(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "x", codes={"eng_Latn": "A", "zho_Hans": "B", "zho_Hant": "C"})
    with pytest.raises(SettingError, match="may be zho_Hans or zho_Hant; name the one"):
        flores(place, "eng-zho")
    assert flores(place, "eng-zho_Hans,eng-zho_Hant").items(2)[1].answers[0].startswith("C")


def test_a_language_without_a_name_has_no_instruction_and_is_asked_without_one(tmp_path: Path) -> None:
    found = flores(write_folder(tmp_path / "x", codes={"eng": "A", "xxx": "B"}), "eng-xxx")
    [item] = found.items(1)
    assert found.asked_language(item) is None
    assert found.content(item, 2, 0, instruction=False).query == item.input
    with pytest.raises(PromptError, match="'eng-xxx' has no instruction; set instruction to False"):
        found.content(item, 2, 0)


def cut_short(place: Path) -> None:
    (place / "dev/fra.dev").write_text("\n".join(sentences("Phrase", "dev")[:-1]))


def with_an_empty_line(place: Path) -> None:
    (place / "devtest/fra.devtest").write_text("Un.\n\nTrois.\nQuatre.\nCinq.\n")


def in_latin_1(place: Path) -> None:
    (place / "devtest/fra.devtest").write_bytes("Un.\nDeux.\nTroisième.".encode("latin-1"))


def without_dev(place: Path) -> None:
    (place / "dev").rename(place / "old")


def without_a_language(place: Path) -> None:
    (place / "devtest/fra.devtest").unlink()


def with_a_short_dev(place: Path) -> None:
    for code in ("eng", "fra"):
        (place / f"dev/{code}.dev").write_text("\n".join(map(str, range(800))))


def nothing(place: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("harm", "directions", "message"),
    [
        (cut_short, "eng-fra", "dev has 803 sentences of eng and 802 of fra; .* anew"),
        (with_an_empty_line, "eng-fra", "fra.devtest', line 2 is empty; .* anew"),
        (in_latin_1, "eng-fra", "fra.devtest', line 3: byte 0xe8 is not UTF-8; save"),
        (without_dev, "eng-fra", r"has no sentences in dev; expected .* dev/fra\.dev"),
        (without_a_language, "eng-fra", "unknown language of .* 'fra'.*Known: eng, por"),
        (with_a_short_dev, "eng-fra", "dev of eng has 800 sentences; expected more than 800"),
        (nothing, "eng-frn", r"'frn'\. Did you mean 'fra'\? Known: eng, fra, por"),
        (nothing, "fra-fra", "has the same language twice; name two"),
        (nothing, "eng-fra,por-fra,eng-fra", "has a direction twice"),
        (nothing, "eng", "names no direction"),
        (nothing, "eng-fra-por", "names no direction"),
        (nothing, "eng-fra,", "names no direction"),
        (nothing, "-fra", "names no direction"),
        (nothing, "", "names no direction"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    tmp_path: Path, harm: Callable[[Path], None], directions: str, message: str
) -> None:
    place = write_folder(tmp_path / "flores")
    harm(place)
    with pytest.raises(TaskpointError, match=message) as caught:
        task(f"flores:{place}:{directions}")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none_of_flores_is_refused(tmp_path: Path, data_dir: Path) -> None:
    for place, message in (
        (tmp_path / "nowhere", "no folder"),
        (data_dir / "tatoeba", "no sentences in dev; expected a folder of FLORES"),
        (Path(__file__), "no folder"),
    ):
        with pytest.raises(DataError, match=message):
            task(f"flores:{place}:eng-fra")
    with pytest.raises(SettingError, match="names no direction; expected flores:DIR:eng-fra"):
        task(f"flores:{tmp_path}")


def test_an_answer_in_any_of_five_languages_is_known_by_its_first_words(data_dir: Path) -> None:
    # Shares that were measured on all of devtest, rounded down; see flores/languages.py.
    names = detectable(language(code) for code in ("eng", "por"))
    for words, least in ((None, 1.0), (8, 0.995), (5, 0.97), (3, 0.87)):
        for code in PAIRS:
            texts = [" ".join(line.split()[:words]) for line in lines(data_dir, code, "devtest")[::5]]
            assert sum(detected_language(text, names) == language(code).name for text in texts) >= least * len(texts)


def test_languages_of_a_direction_that_the_detector_cannot_tell_are_not_judged(tmp_path: Path) -> None:
    codes = {"eng_Latn": "A", "zho_Hans": "B", "zho_Hant": "C", "fur_Latn": "D"}
    place = write_folder(tmp_path / "x", codes=codes)
    asked = {
        direction: flores(place, direction).asked_language(flores(place, direction).items(1)[0])
        for direction in ("eng-zho_Hans", "zho_Hans-zho_Hant", "zho_Hant-zho_Hans", "eng-fur", "fur-eng")
    }
    assert asked == {
        "eng-zho_Hans": "Chinese (Simplified)",
        "zho_Hans-zho_Hant": None,
        "zho_Hant-zho_Hans": None,
        "eng-fur": None,
        "fur-eng": "English",
    }


def test_the_detector_knows_every_label_of_the_table_and_names_agree_with_those_of_other_tasks() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    from taskpoint.tasks.files.tables import bundled_table

    known = set(LanguageIdentifier.from_model_file(MODEL_FILE).nb_classes)
    rows = bundled_table("flores", "languages")
    assert {row["detected"] for row in rows} - {"-"} <= known
    assert len({row["code"] for row in rows}) == len(rows) > 204
    assert {code: language(code).name for code in LANGUAGES} == dict(LANGUAGES)


def test_a_dataset_in_the_layout_of_the_hub_gives_the_task_of_the_folder(tmp_path: Path) -> None:
    place = write_dataset(tmp_path / "hub")
    # In a process of its own, so that the library keeps its cache where the test says.
    code = (
        "import sys; from taskpoint.tasks.flores.hub import Hub; from taskpoint.tasks.flores.task import flores_of;"
        "print(flores_of(Hub(sys.argv[1]), [('eng', 'fra_Latn'), ('fra', 'eng')]).fingerprint())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(place)], capture_output=True, text=True, env=_cached(tmp_path), check=True
    )
    folder = Folder(write_folder(tmp_path / "folder", codes={f"{c}_Latn": w for c, w in WORDS.items()}))
    assert said.stdout.split()[-1] == flores_of(folder, [("eng", "fra_Latn"), ("fra", "eng")]).fingerprint()


def _cached(place: Path) -> dict[str, str]:
    import os

    return {**os.environ, "HF_HOME": str(place / "cache")}


def test_the_hub_out_of_reach_or_in_another_layout_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"cannot get openlanguagedata/flores_plus .*hf auth login.*folder") as caught:
        task("flores:hub:eng-fra")
    assert "\n" not in str(caught.value)
    hub = Hub(str(write_dataset(tmp_path / "hub", text="sentence")))
    with pytest.raises(UnknownNameError, match=r"'por'.*Known: eng_Latn, fra_Latn"):
        hub.code("por")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(DataError, match=r"has the columns .*sentence.*; expected id and text"):
        hub.sentences("fra_Latn", "devtest")


def test_without_the_library_of_the_hub_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SettingError, match=r"pip install 'taskpoint\[data\]'"):
        task("flores:hub:eng-fra")
