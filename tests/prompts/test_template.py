from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.errors import PromptError, SettingError, UnknownNameError
from taskpoint.prompts.content import Content, Example, Place
from taskpoint.prompts.segments import Part, Segment, Span
from taskpoint.prompts.template import TEMPLATES, DelimiterTemplate, template
from taskpoint.prompts.writing import WrittenPrompt

TWO = Content("Translate English to French:", (Example("dog", "chien"), Example("cat", "chat")), "cow")
BARE = Content(None, TWO.examples, "cow")
TEXT = st.text(max_size=6) | st.sampled_from(["", "Q: x\nA: y\n", " -> ", "\nA:", "é\u0301"])
CONTENT = st.builds(
    Content,
    st.none() | TEXT,
    st.lists(st.builds(Example, TEXT, TEXT), max_size=3).map(tuple),
    TEXT,
    st.sampled_from(Place),
)
FORMS = sorted(set(TEMPLATES) - {"chat"})


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("qa", TWO, "Translate English to French:\nQ: dog\nA: chien\nQ: cat\nA: chat\nQ: cow\nA:"),
        ("qa", BARE, "Q: dog\nA: chien\nQ: cat\nA: chat\nQ: cow\nA:"),
        ("paper", TWO, "Translate English to French:\nQ:dogA:chien \nQ:catA:chat \nQ:cowA:"),
        ("paper-bare", BARE, "\nQ:dog\nA:chien \nQ:cat\nA:chat \nQ:cow\nA:"),
        ("arrow", BARE, "dog -> chien\ncat -> chat\ncow ->"),
        ("colon", BARE, "dog: chien\ncat: chat\ncow:"),
    ],
)
def test_a_form_is_written_to_the_letter(name: str, content: Content, text: str) -> None:
    assert template(name).write(content).text == text


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("qa", Place.before_query, "Q: dog\nA: chien\nQ: cat\nA: chat\nTranslate English to French:\nQ: cow\nA:"),
        ("qa", Place.after_query, "Q: dog\nA: chien\nQ: cat\nA: chat\nQ: cow\nTranslate English to French:\nA:"),
        ("paper", Place.after_query, "\nQ:dogA:chien \nQ:catA:chat \nQ:cow\nTranslate English to French:A:"),
        ("arrow", Place.after_query, "dog -> chien\ncat -> chat\ncow\nTranslate English to French: ->"),
    ],
)
def test_an_instruction_stands_where_it_is_asked_to(name: str, place: Place, text: str) -> None:
    written = template(name).write(replace(TWO, place=place))
    assert written.text == text
    told = [written.text[span.start : span.end] for span in written.spans if span.segment is Segment.INSTRUCTION]
    assert sorted(told) == ["\n", "Translate English to French:"]
    assert written.spans[-1].segment is Segment.QUERY


@pytest.mark.parametrize(("name", "end"), [("qa", "A: vache"), ("paper", "A:vache"), ("arrow", "-> vache")])
def test_an_output_continues_the_prompt_as_an_example_does(name: str, end: str) -> None:
    prompt, full = template(name).write(TWO), template(name).write(TWO, "vache")
    assert full.text.startswith(prompt.text)
    assert full.text.endswith(end)
    assert full.spans[: len(prompt.spans)] == prompt.spans
    assert {span.segment for span in full.spans[len(prompt.spans) :]} == {Segment.OUTPUT}


@given(st.sampled_from(FORMS), CONTENT, st.none() | TEXT)
def test_spans_tile_the_text_and_hold_the_content(name: str, content: Content, output: str | None) -> None:
    written = template(name).write(content, output)
    ends = [0, *(span.end for span in written.spans)]
    assert [span.start for span in written.spans] == ends[:-1]
    assert ends[-1] == len(written.text)
    found = {
        (span.segment, span.example, span.part): written.text[span.start : span.end]
        for span in written.spans
        if span.part is not Part.DELIMITER and span.segment is not Segment.PREFIX
    }
    wanted = {(Segment.QUERY, -1, Part.QUESTION): content.query}
    if content.instruction is not None:
        wanted[Segment.INSTRUCTION, -1, Part.NONE] = content.instruction
    if output is not None:
        wanted[Segment.OUTPUT, -1, Part.ANSWER] = output
    for number, example in enumerate(content.examples):
        wanted[Segment.EXAMPLES, number, Part.QUESTION] = example.input
        wanted[Segment.EXAMPLES, number, Part.ANSWER] = example.output
    assert found == wanted


@pytest.mark.parametrize("name", FORMS)
def test_the_next_example_is_not_part_of_an_answer(name: str) -> None:
    form = template(name)
    longer = form.write(Content(None, (Example("dog", "chien"),), "cow")).text
    generated = longer[len(form.write(Content(None, (), "dog")).text) :]
    assert form.answer(generated) == "chien"


def test_without_a_stop_the_whole_text_is_the_answer() -> None:
    assert template("chat").answer(" a\nQ: b ") == "a\nQ: b"


def test_an_unknown_template_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown template 'arow'. Did you mean 'arrow'\?"):
        template("arow")


def test_a_template_that_asks_for_nothing_is_refused() -> None:
    with pytest.raises(SettingError, match="answer_mark"):
        DelimiterTemplate("own", "\n", question="", answer_mark="", answer_gap=" ", separator="\n")
    with pytest.raises(SettingError, match="stop"):
        DelimiterTemplate("own", "", question="", answer_mark=":", answer_gap=" ", separator="\n")


@pytest.mark.parametrize("spans", [((1, 3),), ((0, 2),), ((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 4), (4, 3))])
def test_spans_that_do_not_tile_the_text_are_refused(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(PromptError, match="span"):
        WrittenPrompt("abc", tuple(Span(start, end, Segment.QUERY) for start, end in spans))
