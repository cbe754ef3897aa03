"""Texts by layer: which items come first, and what the page shows of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reading import Reader

from taskpoint.experiments.locate.findings import AnswerView, LocateView
from taskpoint.experiments.locate.page.html import page, save_page
from taskpoint.experiments.locate.page.payload import payload
from taskpoint.experiments.locate.page.texts import most_changed


def _answer(texts: str, scores: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> AnswerView:
    return AnswerView(0, "item", "eng-fra", "It is fine.", "Il fait beau.", tuple(texts), scores)


def test_the_items_that_change_most_come_first_and_those_that_never_change_not_at_all() -> None:
    never, once, twice, back = _answer("aaaa"), _answer("abbb"), _answer("abcc"), _answer("abab")
    assert most_changed([never, once, twice, back]) == [3, 2, 1]
    gains = _answer("abbb", (0.0, 1.0, 1.0, 50.0))
    assert most_changed([once, gains]) == [1, 0]
    assert most_changed([]) == most_changed([never]) == []
    assert len(most_changed([twice] * 40)) == 12


def test_the_page_carries_them_for_every_condition(translations: LocateView) -> None:
    data = json.loads(payload(translations))
    for index, changed in enumerate(data["changed"]):
        own = [answer for answer in translations.answers if answer.condition == index]
        assert changed == most_changed(own)
        assert changed
    assert 'id="texts"' in page(translations)
    assert 'id="texts"' not in page(dataclasses.replace(translations, answers=()))


@pytest.fixture
def reader(browser: Any, translations: LocateView, tmp_path: Path) -> Iterator[Reader]:
    seen = Reader(browser).open(save_page(translations, tmp_path / "report.html").as_uri())
    yield seen
    assert seen.errors() == []


def _rows(reader: Reader) -> list[tuple[str, str]]:
    script = """return [...document.querySelectorAll('#texts-rows tr')].map((row) => [
        row.querySelector('th').firstChild.textContent,
        row.querySelector('td:last-child > :last-child').textContent])"""
    return [tuple(row) for row in reader.ask(script)]


def _expected(answer: AnswerView, cuts: tuple[int, ...]) -> list[tuple[str, str]]:
    found: list[list[Any]] = []
    for cut, text in zip(cuts, answer.texts, strict=True):
        if found and found[-1][2] == text:
            found[-1][1] = cut
        else:
            found.append([cut, cut, text])
    return [(str(a) if a == b else f"{a}–{b}", text or "(empty)") for a, b, text in found]


def test_one_item_stands_there_at_every_cut(reader: Reader, translations: LocateView) -> None:
    own = [answer for answer in translations.answers if answer.condition == 0]
    cuts = translations.conditions[0].cuts
    first = most_changed(own)[0]
    assert _rows(reader) == _expected(own[first], cuts)
    reader.ask("const s = document.querySelector('#texts-item'); s.value = '5'; s.dispatchEvent(new Event('change'));")
    assert _rows(reader) == _expected(own[5], cuts)
    assert reader.text("#texts-expected") == own[5].reference
    assert reader.ask("document.querySelectorAll('#texts-rows .chosen').length") == 1


@pytest.mark.parametrize("width", [360, 1280])
def test_a_phone_needs_no_sideways_scrolling_for_it(reader: Reader, width: int) -> None:
    reader.open(reader.browser.current_url, width=width)
    assert reader.ask("document.querySelector('.texts').getBoundingClientRect().right <= innerWidth")
