"""The page in a real browser: what a reader does, and what then stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reading import END, ESCAPE, HOME, LEFT, RIGHT, Reader

from taskpoint.experiments.locate.findings import LocateView
from taskpoint.experiments.locate.page.html import save_page


@pytest.fixture(scope="module")
def address(sample: LocateView, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_page(sample, tmp_path_factory.mktemp("page") / "report.html").as_uri()


@pytest.fixture
def reader(browser: Any, address: str) -> Iterator[Reader]:
    seen = Reader(browser).open(address)
    yield seen
    assert seen.errors() == []


def _expected(view: LocateView, condition: int, cut: int) -> list[tuple[str, str, str, str]]:
    return [
        ("right" if it.scores[cut] else "wrong", it.query, it.texts[cut] or "(empty)", it.reference)
        for it in view.answers
        if it.condition == condition
    ]


def test_the_page_opens_at_the_recognition_point(reader: Reader, sample: LocateView) -> None:
    assert reader.text("#cut-name") == "cut 5"
    assert reader.text("#cut-words") == "layers 0–4 see the 5 examples, layers 5–11 do not"
    assert reader.rows() == _expected(sample, 0, 5)[:20]


def test_every_place_of_the_slider_shows_the_answers_and_marks_of_that_cut(reader: Reader, sample: LocateView) -> None:
    reader.click("#more")
    reader.press("#cut", HOME)
    for cut in range(13):
        assert reader.text("#cut-name") == f"cut {cut}"
        expected = _expected(sample, 0, cut)
        assert reader.rows() == expected
        right = sum(row[0] == "right" for row in expected)
        assert reader.text("#shares") == f"{right} of 40 right"
        assert reader.ask("document.querySelectorAll('#items .icon.good').length") == right
        assert reader.ask("document.querySelectorAll('#items .icon.bad').length") == 40 - right
        assert reader.ask("document.querySelectorAll('#layers .sees').length") == cut
        reader.press("#cut", RIGHT)


def test_the_slider_says_where_it_stands(reader: Reader) -> None:
    reader.press("#cut", HOME)
    assert "no layer sees the 5 examples" in reader.ask("document.querySelector('#cut').getAttribute('aria-valuetext')")
    reader.press("#cut", END)
    assert "nothing is cut" in reader.ask("document.querySelector('#cut').getAttribute('aria-valuetext')")


def test_arrow_keys_on_the_chart_move_the_cut_of_the_whole_page(reader: Reader) -> None:
    reader.press("#curve", LEFT, LEFT)
    assert reader.text("#cut-name") == "cut 3"
    assert reader.ask("document.querySelector('#curve').getAttribute('aria-valuenow')") == "3"
    said = reader.ask("document.querySelector('#curve').getAttribute('aria-valuetext')")
    assert said.startswith("cut 3: examples hidden, no instruction 0.54, 0.49 to 0.59; ")
    tip = reader.text("#tip")
    assert "cut 3" in tip
    assert "paper’s x = 4" in tip
    assert "0.540.49–0.59" in tip
    reader.press("#curve", ESCAPE)
    assert reader.ask("document.querySelector('#tip').hidden")


def test_the_pointer_on_the_chart_shows_values_and_a_click_chooses(reader: Reader) -> None:
    spot = reader.ask("""const box = document.querySelector('#curve').getBoundingClientRect();
        const {plot} = charts[0];
        return [plot.x(9) / plot.width * box.width + box.left + 3, box.top + 100]""")
    mouse = {"x": spot[0], "y": spot[1], "button": "left", "clickCount": 1}
    reader.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": spot[0], "y": spot[1]})
    if spot[1] > 900:
        pytest.fail("the chart should be in the first window")
    assert "cut 9" in reader.text("#tip")
    assert reader.text("#cut-name") == "cut 5"
    for kind in ("mousePressed", "mouseReleased"):
        reader.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, **mouse})
    assert reader.text("#cut-name") == "cut 9"


def test_a_condition_can_be_switched_off_and_on(reader: Reader) -> None:
    def drawn() -> list[str]:
        found = "[...document.querySelectorAll('#curve .line')].map((line) => line.dataset.series)"
        return list(reader.ask(found))

    assert drawn() == ["0", "1", "2", "3", "4"]
    reader.click("#legend button[data-series='1']")
    assert drawn() == ["0", "2", "3", "4"]
    assert reader.ask("document.querySelectorAll('#legend button')[1].getAttribute('aria-pressed')") == "false"
    said = reader.ask("document.querySelector('#curve').getAttribute('aria-valuetext')")
    assert "examples hidden, instruction stays" not in said
    reader.click("#legend button[data-series='1']")
    assert drawn() == ["0", "1", "2", "3", "4"]


def test_another_condition_shows_its_own_answers(reader: Reader, sample: LocateView) -> None:
    reader.ask("""const box = document.querySelector('#condition'); box.value = '3';
        box.dispatchEvent(new Event('change'));""")
    assert reader.rows() == _expected(sample, 3, 5)[:20]
    assert "see the query" in reader.text("#cut-words")


def test_filters_keep_the_items_that_they_name(reader: Reader, sample: LocateView) -> None:
    reader.press("#cut", HOME, RIGHT)
    items = [it for it in sample.answers if it.condition == 0]
    changed = [it.query for it in items if it.texts[1] != it.texts[12]]
    wrong = [it.query for it in items if it.scores[1] == 0]
    assert changed != wrong
    for name, queries in (("changed", changed), ("wrong", wrong)):
        reader.click(f"#filters label:has([value={name}])")
        assert [row[1] for row in reader.rows()] == queries[:20]
        assert reader.text(f"#count-{name}") == str(len(queries))
        assert reader.ask(f"return document.querySelector('[value={name}]').checked")


def test_search_looks_at_query_reference_answer_and_sub_task(reader: Reader) -> None:
    for word, query in (("FENÊTRE", "window"), ("demonym", "Peru"), ("ninety", "ninety")):
        reader.ask("document.querySelector('#search').value = '';")
        reader.press("#search", word)
        assert query in [row[1] for row in reader.rows()]
        assert len(reader.rows()) <= 3
    reader.press("#search", "zzz")
    assert reader.rows() == []
    assert not reader.ask("document.querySelector('#nothing').hidden")


@pytest.mark.parametrize("width", [390, 360])
def test_a_phone_does_not_scroll_sideways(
    browser: Any, address: str, hostile: LocateView, translations: LocateView, tmp_path: Path, width: int
) -> None:
    others = {"hostile.html": hostile, "translations.html": translations}
    pages = [save_page(view, tmp_path / name).as_uri() for name, view in others.items()]
    for page in (address, *pages):
        reader = Reader(browser).open(page, width=width)
        reader.ask("document.querySelectorAll('details').forEach((details) => { details.open = true; });")
        reader.press("#curve", RIGHT)
        assert reader.ask("document.documentElement.scrollWidth") <= width
        assert reader.errors() == []


def test_hostile_texts_are_shown_and_never_run(browser: Any, hostile: LocateView, tmp_path: Path) -> None:
    reader = Reader(browser).open(save_page(hostile, tmp_path / "hostile.html").as_uri())
    for index in range(8):
        reader.ask(
            """const box = document.querySelector('#condition'); box.value = arguments[0];
            box.dispatchEvent(new Event('change'));""",
            str(index),
        )
        reader.press("#cut", HOME, RIGHT, RIGHT)
    assert reader.ask("typeof window.hacked") == "undefined"
    assert reader.ask("document.querySelectorAll('#items img, #items script').length") == 0
    assert reader.rows()[0][1] == "</script><script>window.hacked=1</script>"
    assert reader.ask("getComputedStyle(document.querySelectorAll('#items th > bdi')[5]).direction") == "rtl"
    assert reader.errors() == []


def test_cuts_that_were_not_measured_are_stepped_over(browser: Any, hostile: LocateView, tmp_path: Path) -> None:
    reader = Reader(browser).open(save_page(hostile, tmp_path / "hostile.html").as_uri())
    reader.press("#cut", HOME)
    seen = [reader.text("#cut-name")]
    for _ in range(4):
        reader.press("#cut", RIGHT)
        seen.append(reader.text("#cut-name"))
    reader.press("#cut", LEFT)
    assert [*seen, reader.text("#cut-name")] == ["cut 0", "cut 5", "cut 20", "cut 40", "cut 41", "cut 40"]


def test_graded_scores_are_held_against_the_uncut_answer(browser: Any, hostile: LocateView, tmp_path: Path) -> None:
    reader = Reader(browser).open(save_page(hostile, tmp_path / "hostile.html").as_uri())
    reader.press("#cut", HOME)
    assert {row[0] for row in reader.rows()} == {"worse than uncut"}
    assert reader.text("#shares") == "0 of 10 as good as uncut"
    reader.press("#cut", END)
    assert {row[0] for row in reader.rows()} == {"as good as uncut"}


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_colours_follow_the_system_until_the_button_is_pressed(
    browser: Any, address: str, scheme: str, dark: bool
) -> None:
    reader = Reader(browser).open(address, scheme=scheme)

    def is_dark() -> bool:
        ground = str(reader.ask("getComputedStyle(document.body).backgroundColor"))
        return sum(int(part) for part in ground.strip("rgb()").split(",")) < 200

    assert is_dark() is dark
    reader.click("#theme")
    assert is_dark() is not dark
    reader.browser.refresh()
    assert is_dark() is not dark, "the choice is remembered"


def test_the_command_can_be_copied(reader: Reader, sample: LocateView) -> None:
    reader.ask("""const clipboard = {writeText: async (text) => { window.copied = text; }};
        Object.defineProperty(navigator, 'clipboard', {value: clipboard});""")
    reader.click("#copy")
    assert reader.ask("window.copied") == sample.command
    assert reader.text("#copied") == "Copied"


def test_every_control_has_a_name(reader: Reader) -> None:
    nameless = reader.ask("""return [...document.querySelectorAll('button, input, select, summary, [tabindex="0"]')]
        .filter((it) => !(it.getAttribute('aria-label') || it.textContent.trim() || it.labels?.[0]?.textContent.trim()))
        .map((it) => it.outerHTML)""")
    assert nameless == []
