"""The page of a translation in a real browser: when does the model know which language?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from reading import END, ESCAPE, HOME, LEFT, RIGHT, Reader

from taskpoint.experiments.locate.findings import AnswerView, LocateView
from taskpoint.experiments.locate.page.html import save_page
from taskpoint.experiments.locate.page.languages import stories


@pytest.fixture(scope="module")
def address(translations: LocateView, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_page(translations, tmp_path_factory.mktemp("page") / "report.html").as_uri()


@pytest.fixture
def reader(browser: Any, address: str) -> Iterator[Reader]:
    seen = Reader(browser).open(address)
    yield seen
    assert seen.errors() == []


def _first_stories(view: LocateView) -> list[AnswerView]:
    answers = [answer for answer in view.answers if answer.condition == 0]
    return [answers[place] for place in stories(answers)]


def test_the_chart_of_languages_chooses_the_cut_of_the_whole_page(reader: Reader) -> None:
    reader.press("#language", HOME, RIGHT, RIGHT)
    assert reader.text("#cut-name") == "cut 2"
    for chart in ("#curve", "#language"):
        assert reader.ask(f"document.querySelector('{chart}').getAttribute('aria-valuenow')") == "2"
    said = reader.ask("document.querySelector('#language').getAttribute('aria-valuetext')").replace("\xa0", " ")
    assert said.startswith("cut 2: examples hidden, no instruction 85 %, 83 % to 87 %; ")
    assert "85 %83 %–87 %" in reader.text("#language ~ #tip").replace("\xa0", " ")
    reader.press("#language", ESCAPE)
    assert reader.ask("document.querySelector('#tip').hidden")
    reader.press("#curve", LEFT)
    assert reader.ask("document.querySelector('#language').getAttribute('aria-valuenow')") == "1"
    assert reader.text("#curve ~ #tip").startswith("cut 1")


def test_a_cut_stands_at_the_same_place_in_both_charts(reader: Reader) -> None:
    for cut in (0, 7, 10):
        left = reader.ask(
            "return charts.map(({plot, svg}) => svg.getBoundingClientRect().left + plot.x(arguments[0]))", cut
        )
        assert left[0] == pytest.approx(left[1])


def test_a_condition_that_is_switched_off_leaves_both_charts(reader: Reader) -> None:
    reader.click("#legend button[data-series='0']")
    for chart in ("#curve", "#language"):
        assert reader.ask(f"[...document.querySelectorAll('{chart} .line')].map((it) => it.dataset.series)") == ["1"]


def test_every_answer_wears_the_language_it_is_in(reader: Reader, translations: LocateView) -> None:
    reader.press("#cut", HOME)
    for cut in translations.cuts:
        tags = reader.ask("[...document.querySelectorAll('#items .tag')].map((it) => it.textContent)")
        spoken = [it.languages[cut] for it in translations.answers if it.condition == 0 and it.languages]
        assert tags == [language or "unclear" for language in spoken]
        reader.press("#cut", RIGHT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_languages_differ_in_colour_and_can_be_read(browser: Any, address: str, scheme: str) -> None:
    reader = Reader(browser).open(address, scheme=scheme)
    reader.press("#cut", END)
    found = reader.ask("""return [...document.querySelectorAll('#items .tag')].map((it) =>
        [it.textContent, getComputedStyle(it).backgroundColor, getComputedStyle(it).color])""")
    ground = {name: colour for name, colour, _ in found}
    assert len(set(ground.values())) == len(ground) == 5
    for _, colour, ink in found:
        light, dark = sorted((_luminance(colour), _luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_page_opens_with_the_sentence_that_tells_the_change_best(reader: Reader, translations: LocateView) -> None:
    story = _first_stories(translations)[0]
    assert story.languages is not None
    assert reader.text("#story-asked").startswith(story.query)
    assert reader.text("#story-expected") == story.reference
    assert reader.text("#story-changes") == "r = 0 to 3: French; from r = 4: Dutch"
    reader.press("#cut", HOME)
    for cut in translations.cuts:
        assert reader.text("#story-answer") == f"{story.languages[cut]} {story.texts[cut]}"
        assert reader.text("#story-score") == f"BLEU {story.scores[cut]:.1f}"
        reader.press("#cut", RIGHT)


def test_another_item_comes_on_request_and_the_first_after_the_last(reader: Reader, translations: LocateView) -> None:
    found = _first_stories(translations)
    for story in (*found[1:], found[0]):
        reader.click("#another")
        assert reader.text("#story-expected") == story.reference
        assert reader.text("#story-answer").endswith(story.texts[4])


def test_a_condition_under_which_no_language_changes_has_no_story(reader: Reader) -> None:
    assert not reader.ask("document.querySelector('#story').hidden")
    for condition, hidden in (("1", True), ("0", False)):
        reader.ask(
            """const box = document.querySelector('#condition'); box.value = arguments[0];
            box.dispatchEvent(new Event('change'));""",
            condition,
        )
        assert reader.ask("document.querySelector('#story').hidden") is hidden


def test_every_scale_of_scores_has_at_least_two_ticks(reader: Reader) -> None:
    assert reader.ask("ticks(0, 42.7, 2)") == [0, 20, 40]
    assert reader.ask("ticks(0, 1, 2)") == [0, 0.5, 1]
    assert reader.ask("ticks(0, 42.7, 6)") == [0, 10, 20, 30, 40]


def test_the_line_of_the_slider_gives_the_share_in_the_asked_language(reader: Reader) -> None:
    reader.press("#cut", HOME)
    assert reader.text("#language-share").replace("\xa0", " ") == "7 % in the asked language"


def test_every_control_has_a_name(reader: Reader) -> None:
    nameless = reader.ask("""return [...document.querySelectorAll('button, input, select, summary, [tabindex="0"]')]
        .filter((it) => !(it.getAttribute('aria-label') || it.textContent.trim() || it.labels?.[0]?.textContent.trim()))
        .map((it) => it.outerHTML)""")
    assert nameless == []
