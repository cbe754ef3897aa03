from __future__ import annotations

import dataclasses
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

from taskpoint.experiments.locate.findings import AnswerView, LocateView
from taskpoint.experiments.locate.page.html import page, save_page
from taskpoint.experiments.locate.page.payload import payload
from taskpoint.experiments.locate.wording import conclusion


class _Reader(HTMLParser):
    """What a browser would see: elements, attributes, visible text, contents of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\xa0", " ").split())


def _data(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(_Reader(text).scripts[1])
    return found


def test_nothing_is_fetched_from_anywhere(sample: LocateView) -> None:
    text = page(sample)
    for tag, attributes in _Reader(text).elements:
        assert tag not in {"iframe", "img", "object", "embed", "form"}
        assert "src" not in attributes
        assert attributes.get("href", "#") in {"data:,", "#main", "#"}
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", text)
    assert re.search(r"default-src 'none'", text)


def test_the_headline_is_the_conclusion(sample: LocateView) -> None:
    assert conclusion(sample) in _Reader(page(sample)).text


def test_hostile_texts_are_text_and_add_no_element(sample: LocateView, hostile: LocateView) -> None:
    read = _Reader(page(hostile))
    assert [tag for tag, _ in read.elements].count("script") == len(read.scripts) == 3
    assert "img" not in {tag for tag, _ in read.elements}
    assert "hacked" not in read.scripts[0] + read.scripts[2]
    assert "<img src=x onerror='window.hacked=1'>" in read.text
    assert "{{ 7 * 7 }}" in read.text


def test_data_survives_the_trip_exactly(hostile: LocateView) -> None:
    data = json.loads(payload(hostile))
    for group, (number, answer) in zip(
        (row for rows in data["answers"] for row in rows), enumerate(hostile.answers), strict=True
    ):
        assert number >= 0
        assert [data["texts"][text] for text in group[4]] == list(answer.texts)
        assert data["texts"][group[2]] == answer.query
    assert not set("<>&\u2028\u2029") & set(payload(hostile))


def test_scores_and_curves_are_those_of_the_view(sample: LocateView) -> None:
    data = json.loads(payload(sample))
    for seen, condition in zip(data["conditions"], sample.conditions, strict=True):
        assert all(abs(a - b) < 1e-5 for a, b in zip(seen["mean"], condition.mean, strict=True))
        layer = condition.point.layer
        assert seen["point"] == (None if layer is None else [layer, condition.point.low, condition.point.high])
    assert [row[5] for row in data["answers"][0]] == [
        [int(value) for value in answer.scores] for answer in sample.answers if answer.condition == 0
    ]


def test_equal_texts_are_stored_once(sample: LocateView) -> None:
    texts = json.loads(payload(sample))["texts"]
    assert len(texts) == len(set(texts))
    assert len(texts) < len(sample.answers)


def test_half_a_surrogate_pair_does_not_stop_the_report(hostile: LocateView, tmp_path: Path) -> None:
    path = save_page(hostile, tmp_path / "new" / "report.html")
    assert "half a pair ?" in json.dumps(_data(path.read_text(encoding="utf-8")), ensure_ascii=False)


def test_controls_savings_settings_command_and_versions_are_there(sample: LocateView) -> None:
    text = _Reader(page(sample)).text
    for word in ("shuffled answers", "zero-shot", "early exit", "prompt work", "KV memory", "by formula", "49 %"):
        assert word in text
    for key, value in {**sample.settings, **sample.versions}.items():
        assert key in text
        assert value in text
    assert sample.command in text


def test_without_answers_there_is_no_explorer(sample: LocateView) -> None:
    read = _Reader(page(dataclasses.replace(sample, answers=())))
    assert not any(attributes.get("id") == "answers" for _, attributes in read.elements)


def test_200_items_at_13_cuts_under_5_conditions_stay_below_3_megabytes(sample: LocateView) -> None:
    draw = random.Random(3)
    texts = [" ".join(draw.choice(["lorem", "ipsum", "dolor", "amet"]) for _ in range(24)) for _ in range(5000)]
    answers = tuple(
        AnswerView(
            condition,
            f"item {item}",
            "sub-task",
            f"a query of some length, number {item}",
            f"the reference {item}",
            tuple(draw.choice(texts) + str(cut) for cut in range(13)),
            tuple(round(draw.random(), 5) for _ in range(13)),
        )
        for condition in range(5)
        for item in range(200)
    )
    size = len(page(dataclasses.replace(sample, answers=answers)).encode())
    assert size < 3_000_000


def test_languages_of_answers_survive_the_trip(translations: LocateView) -> None:
    data = json.loads(payload(translations))
    assert data["tongues"] == ["Dutch", "English", "French", "German", "Spanish"]
    rows = [row for group in data["answers"] for row in group]
    for row, answer in zip(rows, translations.answers, strict=True):
        assert answer.languages is not None
        assert [data["tongues"][number] if number >= 0 else "" for number in row[6]] == list(answer.languages)
    assert data["texts"][rows[0][7]] == "r = 0 to 2: German; from r = 3: French"
    assert data["stories"][0]
    assert data["stories"][1] == []


def test_without_languages_a_page_carries_and_shows_none(sample: LocateView) -> None:
    read = _Reader(page(sample))
    assert {attributes.get("id") for _, attributes in read.elements} & {"language", "story", "another"} == set()
    assert "asked language" not in read.text
    assert "By sub-task" not in read.text
    assert {len(row) for group in json.loads(payload(sample))["answers"] for row in group} == {6}


def test_every_direction_stands_in_a_table_under_each_condition(translations: LocateView) -> None:
    text = _Reader(page(translations)).text
    assert text.count("By direction") == 2
    assert "eng-fra 3.3 38.2 4.5 4 (3-5) 8 % \u2192 99 %" in text
    assert "nld-eng 27.9 45.0 44.1 undefined 91 % \u2192 99 %" in text


def test_shares_of_the_asked_language_stand_in_a_table(translations: LocateView) -> None:
    assert "0 7 % 5 % to 9 % 93 % 91 % to 95 %" in _Reader(page(translations)).text


def test_names_of_directions_and_languages_are_text(translations: LocateView) -> None:
    attack = "</script><img src=x onerror='window.hacked=1'>"
    condition = translations.conditions[0]
    parts = tuple(dataclasses.replace(part, name=attack) for part in condition.parts)
    answers = tuple(
        dataclasses.replace(answer, languages=(attack, *(answer.languages or ())[1:]))
        for answer in translations.answers
        if answer.condition == 0
    )
    view = dataclasses.replace(translations, conditions=(dataclasses.replace(condition, parts=parts),), answers=answers)
    read = _Reader(page(view))
    assert "img" not in {tag for tag, _ in read.elements}
    assert attack in read.text


def test_bleu_on_the_page_has_one_decimal(translations: LocateView) -> None:
    text = _Reader(page(translations)).text
    assert "40.7 39.5-41.9" in text
    assert "3.27" not in text
