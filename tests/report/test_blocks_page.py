from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pieces import ATTACK, PNG, SVG, curves, every_kind, facts, heat_map, pictures, table

from taskpoint.errors import RunFolderError
from taskpoint.report.blocks import Block, Report, Sentence
from taskpoint.report.page import page, save_page

EMPTY = {"meta", "link", "img", "path", "use", "br"}


class Page(HTMLParser):
    """What a browser would see: elements, attributes, visible text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag, "elements are nested"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def names(self) -> list[str]:
        return [tag for tag, _ in self.elements]


def read(*blocks: Block, title: str = "a report") -> Page:
    return Page(page(Report(title, blocks)))


def test_every_block_is_there() -> None:
    seen = read(*every_kind())
    assert seen.open == []
    names = seen.names()
    assert [names.count(name) for name in ("svg", "img", "dl", "h1", "h2")] == [2, 2, 1, 1, 5]
    assert names.count("table") == 1 + 2 + 1, "the table, the numbers of the curves, those of the map"


def test_a_table_has_heads_marks_and_sections() -> None:
    seen = read(table())
    assert "apple 3 2-4 pear 5 4-6 plum" in seen.text
    assert "marks the best fruit" in seen.text
    assert sum("marked" in (attributes.get("class") or "") for _, attributes in seen.elements) == 1
    assert sum(attributes.get("class") == "section" for _, attributes in seen.elements) == 1
    assert [attributes.get("scope") for tag, attributes in seen.elements if tag == "th"] == ["col"] * 2 + ["row"] * 3


def test_sentences_facts_and_captions_are_read_as_they_are() -> None:
    assert "one two" in read(Sentence("one", "headline"), Sentence("two", "aside")).text
    assert "settings 1 seed settings" in read(facts()).text
    sources = [attributes["src"] for tag, attributes in read(pictures()).elements if tag == "img"]
    kinds = [("image/svg+xml", SVG), ("image/png", PNG)]
    assert sources == [f"data:{kind};base64,{base64.b64encode(content).decode()}" for kind, content in kinds]
    assert [attributes["alt"] for tag, attributes in read(pictures()).elements if tag == "img"] == [
        "drawings",
        "a photograph",
    ]


def test_a_drawing_has_its_numbers_beside_it() -> None:
    assert "0.50 0.40-0.60" in read(curves()).text
    assert "effect 0.50 -0.25 second 0.00 1.00 0.75" in read(heat_map()).text
    for block in (curves(), heat_map()):
        (drawing,) = (attributes for tag, attributes in read(block).elements if tag == "svg")
        assert drawing["role"] == "img"
        assert drawing["aria-labelledby"] == "block-1"


def test_drawings_refer_to_their_own_parts_only() -> None:
    text = page(Report("two", (curves(), curves(), heat_map())))
    names = re.findall(r'\bid="([^"]*)"', text)
    used = re.findall(r'(?:href="|url\()#([^")]*)', text)
    assert len(names) == len(set(names))
    assert used
    assert set(used) <= set(names)


def test_nothing_runs_and_nothing_is_fetched() -> None:
    text = page(Report("a report", every_kind()))
    seen = Page(text)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(seen.names())
    for tag, attributes in seen.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), tag
    (policy,) = (it["content"] for _, it in seen.elements if it.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "script-src" not in policy
    assert text.count("<style") == 1, "a drawing must not style the page"
    assert not re.search(r"@import|url\((?!#)", text)


@pytest.mark.filterwarnings("ignore:Glyph", "ignore:constrained_layout not applied")
def test_texts_of_strangers_are_text_and_add_no_element() -> None:
    attacked, calm = read(*every_kind(ATTACK), title=ATTACK), read(*every_kind())
    kinds = {"script", "img", "table", "section", "h2", "dl", "style", "svg"}
    assert [it for it in attacked.names() if it in kinds] == [it for it in calm.names() if it in kinds]
    assert not any("onerror" in attributes for _, attributes in attacked.elements)
    assert "<img src=x onerror='window.hacked=1'>" in attacked.text
    assert "{{ 7 * 7 }}" in read(Sentence("{{ 7 * 7 }}")).text


def test_half_a_surrogate_pair_does_not_stop_the_page(tmp_path: Path) -> None:
    half = "half a pair \ud83d"
    path = save_page(Report(half, every_kind(half)), tmp_path / "new" / "report.html")
    assert "half a pair ?" in path.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no file"):
        save_page(Report("x", (Sentence("x"),)), tmp_path)
