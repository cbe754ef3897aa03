from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from taskpoint.errors import DataError, PromptError, SettingError, TokenizerError
from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.encode import check_length, encode, encode_many
from taskpoint.prompts.segments import Part, Segment, SegmentedPrompt
from taskpoint.prompts.template import TEMPLATES, DelimiterTemplate, template

ODD = [
    "",
    " ",
    "  ",
    "\n",
    "Q: ",
    "\nA:",
    "A:",
    " -> ",
    "e\u0301",
    "\u0301",
    "👩‍👩‍👧‍👦",
    "🇫🇷",
    "ß",
    "日本",
    "\u200d",
    "\t",
    "x\u0323\u0307",
    "▁",
    "Ġ",
    "the dog",
]
TEXT = st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=4).map("".join)
CONTENT = st.builds(Content, st.none() | TEXT, st.lists(st.builds(Example, TEXT, TEXT), max_size=3).map(tuple), TEXT)
FORMS = st.sampled_from(sorted(set(TEMPLATES) - {"chat"}))
# `code` marks an answer by a line end, of which a tokenizer that drops white space makes no token.
SEEN = st.sampled_from(sorted(set(TEMPLATES) - {"chat", "code"}))
Label = tuple[Segment, int, Part]


def labels_of_characters(form: DelimiterTemplate, content: Content, output: str | None) -> tuple[str, list[Label]]:
    """The text and the label of each character, written out from the definition of the forms."""
    pieces: list[tuple[str, Label]] = []
    if content.instruction is None:
        pieces.append((form.bare_start, (Segment.PREFIX, -1, Part.NONE)))
    else:
        pieces.append((content.instruction, (Segment.INSTRUCTION, -1, Part.NONE)))
        pieces.append((form.instruction_end, (Segment.INSTRUCTION, -1, Part.DELIMITER)))
    for number, shot in enumerate(content.examples):
        around = (Segment.EXAMPLES, number, Part.DELIMITER)
        pieces.append((form.question, around))
        pieces.append((shot.input, (Segment.EXAMPLES, number, Part.QUESTION)))
        pieces.append((form.answer_mark + form.answer_gap, around))
        pieces.append((shot.output, (Segment.EXAMPLES, number, Part.ANSWER)))
        pieces.append((form.separator, around))
    pieces.append((form.question, (Segment.QUERY, -1, Part.DELIMITER)))
    pieces.append((content.query, (Segment.QUERY, -1, Part.QUESTION)))
    pieces.append((form.answer_mark, (Segment.QUERY, -1, Part.DELIMITER)))
    if output is not None:
        pieces.append((form.answer_gap, (Segment.OUTPUT, -1, Part.DELIMITER)))
        pieces.append((output, (Segment.OUTPUT, -1, Part.ANSWER)))
    return "".join(text for text, _ in pieces), [label for text, label in pieces for _ in text]


def labels_of(prompt: SegmentedPrompt) -> list[Label]:
    rows = zip(prompt.segments.tolist(), prompt.examples.tolist(), prompt.parts.tolist(), strict=True)
    return [(Segment(s), e, Part(p)) for s, e, p in rows]


def bytes_of_tokens(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[bytes]:
    """What each token spells, from the vocabulary alone (the byte alphabet of GPT-2, or SentencePiece's pieces)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    alphabet = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(rest)}
    spelt = []
    for piece in tokenizer.convert_ids_to_tokens(ids):
        if "<0x00>" not in tokenizer.get_vocab():
            spelt.append(bytes(alphabet[c] for c in piece))
        elif piece.startswith("<0x") and len(piece) == 6:
            spelt.append(bytes([int(piece[3:5], 16)]))
        else:
            spelt.append(piece.replace("▁", " ").encode())
    return spelt


@settings(deadline=None, max_examples=150)
@given(FORMS, CONTENT, st.none() | TEXT)
@example("qa", Content(None, (Example("  two", "  spaces "), Example("", "")), "  x "), " ")
@example("paper", Content("", (Example("👩‍👩‍👧‍👦", "🇫🇷"),), "\u0301"), "\u0301")
def test_every_token_has_the_label_of_the_last_byte_that_it_spells(
    lossless: PreTrainedTokenizerFast, name: str, content: Content, output: str | None
) -> None:
    form = template(name)
    assert isinstance(form, DelimiterTemplate)
    text, labels = labels_of_characters(form, content, output)
    spelt_out = ("▁", *lossless.all_special_tokens)  # what Llama-2 reads as itself, with its spaces elsewhere
    if "<0x00>" in lossless.get_vocab() and any(piece in text for piece in spelt_out):
        return
    prompt = encode(lossless, form, content, output)
    assert prompt.text == text
    of_byte = [label for char, label in zip(text, labels, strict=True) for _ in char.encode()]
    front = 1 if lossless.bos_token_id is not None else 0
    wanted: list[Label] = [(Segment.PREFIX, -1, Part.NONE)] * front
    # Llama-2 puts a space of its own before the text.
    end = -1 if "<0x00>" in lossless.get_vocab() else 0
    spelt = bytes_of_tokens(lossless, prompt.ids.tolist()[front:])
    assert b"".join(spelt) == b" " * -end + text.encode()
    for piece in spelt:
        end += len(piece)
        wanted.append(of_byte[max(end - 1, 0)])
    assert labels_of(prompt) == wanted


@settings(deadline=None, max_examples=60)
@given(SEEN, CONTENT, st.none() | TEXT)
def test_labels_run_in_order_and_the_ids_are_what_the_tokenizer_makes_of_the_text(
    tokenizer: PreTrainedTokenizerFast, name: str, content: Content, output: str | None
) -> None:
    prompt = encode(tokenizer, template(name), content, output)
    ids = tokenizer(prompt.text)["input_ids"]
    assert prompt.ids.tolist() == ids[: len(prompt)]
    assert tokenizer.convert_ids_to_tokens(ids[len(prompt) :]) in ([], ["</s>"], ["[SEP]"])
    front = tokenizer.convert_ids_to_tokens(ids[0]) in ("<s>", "[CLS]")
    assert not front or prompt.segments[0] == Segment.PREFIX
    assert prompt.ids[-1] != tokenizer.eos_token_id
    assert (np.diff(prompt.segments) >= 0).all()
    inside = prompt.examples[prompt.where(Segment.EXAMPLES)]
    assert (np.diff(inside) >= 0).all()
    assert (prompt.examples[~prompt.where(Segment.EXAMPLES)] == -1).all()
    if output is None:
        assert prompt.segments[-1] == Segment.QUERY


@settings(deadline=None, max_examples=40)
@given(CONTENT)
def test_a_token_that_straddles_a_border_belongs_to_the_later_segment(
    tokenizer: PreTrainedTokenizerFast, content: Content
) -> None:
    form = template("qa")
    assert isinstance(form, DelimiterTemplate)
    prompt = encode(tokenizer, form, content)
    _, labels = labels_of_characters(form, content, None)
    for (start, end), label in zip(prompt.offsets.tolist(), labels_of(prompt), strict=True):
        if start < end and not prompt.text[start:end].isspace():
            assert label[0] >= max(segment for segment, _, _ in labels[start:end])


def test_merges_do_run_across_borders_in_the_tokenizer_that_tests_them(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    content = Content("Translate English to French:", (Example("dog", "chien"),), "cat")
    prompt = encode(tokenizers["greedy"], template("qa"), content, "chat")
    later = {
        prompt.text.index("Q: dog"): Segment.EXAMPLES,
        prompt.text.index("Q: cat"): Segment.QUERY,
        prompt.text.rindex(" chat"): Segment.OUTPUT,
    }
    found = {
        border: Segment(label)
        for border in later
        for (start, end), label in zip(prompt.offsets.tolist(), prompt.segments.tolist(), strict=True)
        if start < border < end
    }
    assert found
    assert found.items() <= later.items()


@settings(deadline=None, max_examples=25)
@given(st.lists(CONTENT, max_size=4), SEEN, st.booleans())
def test_many_prompts_at_once_are_the_same_as_one_by_one(
    tokenizer: PreTrainedTokenizerFast, contents: list[Content], name: str, answered: bool
) -> None:
    outputs = [f"answer {i}" for i in range(len(contents))]
    many = encode_many(tokenizer, template(name), contents, outputs if answered else None)
    assert len(many) == len(contents)
    for content, output, prompt in zip(contents, outputs, many, strict=True):
        single = encode(tokenizer, template(name), content, output if answered else None)
        assert single.text == prompt.text
        for field in ("ids", "segments", "examples", "parts", "offsets"):
            assert np.array_equal(getattr(single, field), getattr(prompt, field))


def test_paper_a_borders_that_the_released_code_misses(tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    content = Content("Translate English to French:", (Example("dog", "chien"), Example("cat", "chat")), "the house")
    prompt = encode(tokenizers["llama3"], template("paper"), content)
    pieces = [prompt.text[a:b] for a, b in prompt.offsets.tolist()]
    shots = [piece for piece, hit in zip(pieces, prompt.where(Segment.EXAMPLES), strict=True) if hit]
    query = [piece for piece, hit in zip(pieces, prompt.where(Segment.QUERY), strict=True) if hit]
    assert "".join(shots) == "Q:dogA:chien \nQ:catA:chat \n"
    assert "".join(query) == "Q:the houseA:"
    assert prompt.segments[0] == Segment.PREFIX
    assert prompt.where(Segment.PREFIX).sum() == 1


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        chat_template = None
        is_fast = False

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        apply_chat_template = convert_ids_to_tokens = __call__

    with pytest.raises(TokenizerError, match="Slow gives no character offsets") as caught:
        encode(Slow(), template("qa"), Content(None, (), "x"))
    assert "\n" not in str(caught.value)


def test_offsets_that_say_nothing_are_refused(tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    true = tokenizers["gpt2"]

    class Blind:
        chat_template = None
        is_fast = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            coded = true(*args, **kwargs)
            coded["offset_mapping"] = [[(a, a) for a, _ in row] for row in coded["offset_mapping"]]
            return coded

        apply_chat_template = convert_ids_to_tokens = __call__

    with pytest.raises(TokenizerError, match="empty character offsets"):
        encode(Blind(), template("qa"), Content(None, (), "x"))


def test_a_token_without_a_place_in_the_text_goes_with_the_token_before_it(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    true = tokenizers["llama3"]

    class Forgetful:
        chat_template = None
        is_fast = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            coded = true(*args, **kwargs)
            coded["offset_mapping"][0][-1] = (0, 0)
            return coded

        apply_chat_template = convert_ids_to_tokens = __call__

    content = Content("Say:", (Example("dog", "chien"),), "cat")
    prompt = encode(Forgetful(), template("qa"), content)
    assert prompt.offsets[-1].tolist() == [0, 0]
    assert labels_of(prompt) == labels_of(encode(true, template("qa"), content))


def test_half_of_a_surrogate_pair_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(DataError, match="prompt 1 holds half of a surrogate pair"):
        encode_many(tokenizer, template("qa"), [Content(None, (), "x"), Content(None, (), "\ud83d")])


def test_answers_must_be_one_for_each_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(SettingError, match="outputs has 2 answers for 1 prompts"):
        encode_many(tokenizer, template("qa"), [Content(None, (), "x")], ["a", "b"])


def test_a_prompt_that_is_too_long_says_by_how_much(tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    prompt = encode(tokenizers["gpt2"], template("qa"), Content(None, (), "dog"))
    check_length(prompt, len(prompt))
    check_length(prompt, len(prompt) + 5, new_tokens=5)
    with pytest.raises(PromptError, match=f"{len(prompt)} tokens, 2 more than the model's {len(prompt) - 2} positions"):
        check_length(prompt, len(prompt) - 2)
    with pytest.raises(PromptError, match="and 4 new ones, 1 more than"):
        check_length(prompt, len(prompt) + 3, new_tokens=4)
