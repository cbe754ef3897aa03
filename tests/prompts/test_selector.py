from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.errors import PromptError, SettingError
from taskpoint.prompts.segments import Part, Segment, SegmentedPrompt
from taskpoint.prompts.selector import parse_selector

LETTERS = {
    "p": (Segment.PREFIX, Part.NONE),
    "i": (Segment.INSTRUCTION, Part.NONE),
    "e": (Segment.INSTRUCTION, Part.DELIMITER),
    "q": (Segment.EXAMPLES, Part.QUESTION),
    "a": (Segment.EXAMPLES, Part.ANSWER),
    "d": (Segment.EXAMPLES, Part.DELIMITER),
    "u": (Segment.QUERY, Part.DELIMITER),
    "v": (Segment.QUERY, Part.QUESTION),
    "o": (Segment.OUTPUT, Part.ANSWER),
}
FULL = "p iie dqdad dqqdaad dqdad uvvu oo"


def prompt(letters: str) -> SegmentedPrompt:
    """One token for each letter; every group that starts with d is the next example."""
    groups = letters.split()
    labels, number = [], -1
    for group in groups:
        number += group.startswith("d")
        labels += [(*LETTERS[c], number if group.startswith("d") else -1) for c in group]
    n = len(labels)
    return SegmentedPrompt(
        np.arange(n),
        np.array([s for s, _, _ in labels], dtype=np.int8),
        np.array([e for _, _, e in labels], dtype=np.int16),
        np.array([p for _, p, _ in labels], dtype=np.int8),
        letters,
        np.zeros((n, 2), dtype=np.int64),
    )


def hidden(selector: str, letters: str = FULL) -> str:
    """The letters with x for each hidden token."""
    mask = iter(parse_selector(selector).mask(prompt(letters)))
    return "".join(c if c == " " else "x" if next(mask) else c for c in letters)


@pytest.mark.parametrize(
    ("selector", "left"),
    [
        ("none", "p iie dqdad dqqdaad dqdad uvvu oo"),
        ("examples", "p iie xxxxx xxxxxxx xxxxx uvvu oo"),
        ("instruction,examples", "p xxx xxxxx xxxxxxx xxxxx uvvu oo"),
        ("query", "p iie dqdad dqqdaad dqdad xxxu oo"),
        ("examples[1:]", "p iie dqdad xxxxxxx xxxxx uvvu oo"),
        ("examples[0]", "p iie xxxxx dqqdaad dqdad uvvu oo"),
        ("examples[-1]", "p iie dqdad dqqdaad xxxxx uvvu oo"),
        ("examples[-2]", "p iie dqdad xxxxxxx dqdad uvvu oo"),
        ("examples[::2]", "p iie xxxxx dqqdaad xxxxx uvvu oo"),
        ("examples-answers", "p iie xxxax xxxxaax xxxax uvvu oo"),
        ("examples.answers", "p iie dqdxd dqqdxxd dqdxd uvvu oo"),
        ("examples-answers-questions", "p iie xqxax xqqxaax xqxax uvvu oo"),
        ("examples.questions,examples.answers", "p iie dxdxd dxxdxxd dxdxd uvvu oo"),
        ("examples[1:2].answers,examples[0]", "p iie xxxxx dqqdxxd dqdad uvvu oo"),
        ("instruction.delimiters", "p iix dqdad dqqdaad dqdad uvvu oo"),
        ("instruction-delimiters", "p xxe dqdad dqqdaad dqdad uvvu oo"),
        ("query.delimiters", "p iie dqdad dqqdaad dqdad xvvu oo"),
        ("query-delimiters", "p iie dqdad dqqdaad dqdad uxxu oo"),
        ("TTT", "p xxx xxxxx xxxxxxx xxxxx xxxu oo"),
        ("FFT", "p iie dqdad dqqdaad dqdad xxxu oo"),
        ("FFF", "p iie dqdad dqqdaad dqdad uvvu oo"),
    ],
)
def test_a_selector_hides_what_it_names_and_nothing_else(selector: str, left: str) -> None:
    assert hidden(selector) == left


def test_the_last_token_of_a_prompt_without_output_stays_visible() -> None:
    assert hidden("query", "p uvvu") == "p xxxu"


def test_flags_are_the_segments_of_paper_a() -> None:
    for flags in itertools.product("TF", repeat=3):
        names = [n for n, f in zip(("instruction", "examples", "query"), flags, strict=True) if f == "T"]
        assert parse_selector("".join(flags)) == parse_selector(",".join(names) or "none")
    assert parse_selector("ftf").text == "examples"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        (" Examples , instruction", "instruction,examples"),
        ("examples,examples", "examples"),
        ("examples[:]", "examples"),
        ("examples[0:]", "examples"),
        ("examples[1::1]", "examples[1:]"),
        ("examples[0:2]", "examples[:2]"),
        ("examples[0::2]", "examples[::2]"),
        ("examples[0::-1]", "examples[0::-1]"),
        ("examples-delimiters-answers", "examples-answers-delimiters"),
        ("NONE", "none"),
    ],
)
def test_different_spellings_have_one_normal_form(written: str, normal: str) -> None:
    assert parse_selector(written).text == normal


NUMBER = st.just("") | st.integers(-4, 4).map(str)
RANGE = st.builds("[{}:{}]".format, NUMBER, NUMBER) | st.builds(
    "[{}:{}:{}]".format, NUMBER, NUMBER, st.sampled_from(["", "-1", "1", "2"])
)
PARTS = st.sampled_from(["", ".questions", ".answers", ".delimiters", "-questions", "-answers", "-delimiters"])
TERM = st.builds("examples{}{}".format, st.just("") | RANGE | st.integers(-4, 4).map("[{}]".format), PARTS)
SELECTOR = st.lists(TERM | st.sampled_from(["instruction", "query"]), min_size=1, max_size=3).map(",".join)


@given(SELECTOR)
def test_the_normal_form_reads_back_as_itself(text: str) -> None:
    selector = parse_selector(text)
    assert parse_selector(selector.text) == selector


@given(SELECTOR)
def test_prefix_output_and_the_last_prompt_token_are_never_hidden(text: str) -> None:
    labelled = prompt(FULL)
    try:
        mask = parse_selector(text).mask(labelled)
    except PromptError:
        return
    assert not mask[labelled.where(Segment.PREFIX) | labelled.where(Segment.OUTPUT)].any()
    assert not mask[labelled.prompt_length - 1]


@given(SELECTOR, SELECTOR)
def test_a_list_of_terms_hides_what_any_of_them_hides(one: str, other: str) -> None:
    labelled = prompt(FULL)
    try:
        apart = parse_selector(one).mask(labelled) | parse_selector(other).mask(labelled)
    except PromptError:
        return
    assert (parse_selector(f"{one},{other}").mask(labelled) == apart).all()


@given(RANGE | st.integers(-4, 4).map("[{}]".format))
def test_ranges_count_as_python_does(bracket: str) -> None:
    try:
        wanted = eval(f"range(3){bracket}", {"range": range})
        picked = set(wanted) if isinstance(wanted, range) else {wanted}
    except IndexError:
        picked = set()
    labelled = prompt(FULL)
    if not picked:
        with pytest.raises(PromptError, match="none of the prompt's 3 examples"):
            parse_selector("examples" + bracket).mask(labelled)
    else:
        found = labelled.examples[parse_selector("examples" + bracket).mask(labelled)]
        assert set(found.tolist()) == picked


@pytest.mark.parametrize(
    ("selector", "letters", "message"),
    [
        ("examples", "p iie uvu", "no examples; set shots of at least 1"),
        ("examples.answers", "p iie uvu", "no examples"),
        ("FTF", "p uvu", "no examples"),
        ("TTF", "p dqdad uvu", "no instruction; set instruction=True"),
        ("query,instruction", "p dqdad uvu", "no instruction"),
        ("examples[1:]", "p dqdad uvu", "picks none of the prompt's 1 examples"),
        ("examples[5]", "p dqdad uvu", "picks none of the prompt's 1 examples"),
    ],
)
def test_hiding_what_the_prompt_lacks_says_so(selector: str, letters: str, message: str) -> None:
    with pytest.raises(PromptError, match=re.escape(message)) as caught:
        parse_selector(selector).mask(prompt(letters))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exmples", "did you mean 'examples'?"),
        ("example", "did you mean 'examples'?"),
        ("instructions", "did you mean 'instruction'?"),
        ("examples-answer", "did you mean 'answers'?"),
        ("output", "expected one of instruction, examples, query"),
        ("prefix", "expected one of instruction, examples, query"),
        ("query.answers", "expected one of questions, delimiters"),
        ("instruction.questions", "expected one of delimiters"),
        ("query[0]", "only examples have numbers"),
        ("examples[a]", "the range '[a]'"),
        ("examples[]", "the range '[]'"),
        ("examples[::0]", "the range '[::0]'"),
        ("examples[1:2:3:4]", "the range '[1:2:3:4]'"),
        ("examples[1:", "holds 'examples[1:'"),
        ("examples,,query", "holds ''"),
        ("", "holds ''"),
        ("TFTF", "has 4 flags, expected three: instruction, examples, query"),
        ("none,examples", "'none' beside other segments"),
        ("examples.answers.questions", "several parts at once"),
        ("examples.answers-questions", "several parts at once"),
        ("query-questions-delimiters", "nothing is left to hide"),
    ],
)
def test_bad_syntax_says_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)) as caught:
        parse_selector(text)
    assert "\n" not in str(caught.value)


def test_a_selector_knows_which_segments_it_needs() -> None:
    assert parse_selector("TFT").needs == {Segment.INSTRUCTION, Segment.QUERY}
    assert parse_selector("examples[1:]-answers").needs == {Segment.EXAMPLES}
    assert parse_selector("none").needs == frozenset()
