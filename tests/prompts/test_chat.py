from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from taskpoint.errors import PromptError, TokenizerError
from taskpoint.prompts.content import Content, Example, Place
from taskpoint.prompts.encode import encode
from taskpoint.prompts.segments import Part, Segment
from taskpoint.prompts.template import template
from taskpoint.prompts.writing import WrittenPrompt

HEADS = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}<H>system<E>\n\nToday<X>{% endif %}"
    "{% for m in messages %}<H>{{ m['role'] }}<E>\n\n"
    "{% if m['role'] == 'system' %}Today\n{% endif %}{{ m['content'] | trim }}<X>{% endfor %}"
    "{% if add_generation_prompt %}<H>assistant<E>\n\n{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{% elif m['role'] == 'user' %}[INST] "
    "{% if loop.last and messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}\n\n{% endif %}"
    "{{ m['content'] }}[/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
TWICE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>\n{% endfor %}"
    "{% if add_generation_prompt %}Again: {{ messages[-1]['content'] }}<assistant>{% endif %}"
)
TURN = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token }}[INST] {{ m['content'] }}[/INST]"
    "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
AFTER = (
    "{{ bos_token }}{% for m in messages if m['role'] != 'system' %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    "{% if messages[0]['role'] == 'system' %}<rule>{{ messages[0]['content'] }}{% endif %}<assistant>"
)
GEMMA = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
DEAF = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] != 'system' %}<{{ m['role'] }}>{{ m['content'] }}"
    "{% endif %}{% endfor %}<assistant>"
)
LOUD = "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | upper }}{% endfor %}<assistant>"
# As vision-language models have them: a message is a list of parts, and a plain text is passed over without a word.
PARTS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'].upper() + ': ' }}{% endif %}"
    "{% for c in m['content'] | selectattr('type', 'equalto', 'image') %}<image>\n{% endfor %}"
    "{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}{{ c['text'] + ' ' }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
LINES = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}"
    "{% if m['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% else %}<image>{% endif %}{% endfor %}"
    "<X>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
EITHER = (
    "{{ bos_token }}{% for m in messages %}<H>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{{ 1 / 0 }}{% endif %}<X>{% endfor %}{% if add_generation_prompt %}<H>assistant\n{% endif %}"
)
IN_PARTS = {"parts": PARTS, "lines": LINES}
WORKING = {"heads": HEADS, "chatml": CHATML, "inst": INST, "twice": TWICE, "either": EITHER} | IN_PARTS

TEXT = st.lists(
    st.sampled_from(
        [
            "",
            " ",
            "\n",
            "<X>",
            "<H>user<E>\n\n",
            "[INST] ",
            "</>",
            "a",
            "dog",
            "e\u0301",
            "👩‍👧",
            "{{ x }}",
            "\ue0f00\ue0f1",
        ]
    )
    | st.text(max_size=2),
    max_size=4,
).map("".join)
CONTENT = st.builds(Content, st.none() | TEXT, st.lists(st.builds(Example, TEXT, TEXT), max_size=3).map(tuple), TEXT)
TWO = Content("Say it in French.", (Example("dog", "chien"), Example("cat", "chat")), "cow")
Chat = Callable[[str], PreTrainedTokenizerFast]


@pytest.fixture(scope="module")
def chat(tokenizers: dict[str, PreTrainedTokenizerFast]) -> Chat:
    """A tokenizer with this chat template."""

    def make(jinja: str) -> PreTrainedTokenizerFast:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizers["llama3"].backend_tokenizer,
            bos_token="<s>",
            eos_token="</s>",
            chat_template=jinja,
        )

    return make


def pieces(written: WrittenPrompt) -> dict[tuple[str, int, str], str]:
    """The text under each label, in order."""
    found: dict[tuple[str, int, str], str] = {}
    for span in written.spans:
        key = (span.segment.name, span.example, span.part.name)
        found[key] = found.get(key, "") + written.text[span.start : span.end]
    return {key: text for key, text in found.items() if text}


def test_turns_of_a_chat_keep_their_headers_and_ends(chat: Chat) -> None:
    assert pieces(template("chat").write(TWO, "vache", tokenizer=chat(HEADS))) == {
        ("PREFIX", -1, "NONE"): "<s><H>system<E>\n\nToday\n",
        ("INSTRUCTION", -1, "NONE"): "Say it in French.",
        ("INSTRUCTION", -1, "DELIMITER"): "<X>",
        ("EXAMPLES", 0, "DELIMITER"): "<H>user<E>\n\n<X><H>assistant<E>\n\n<X>",
        ("EXAMPLES", 0, "QUESTION"): "dog",
        ("EXAMPLES", 0, "ANSWER"): "chien",
        ("EXAMPLES", 1, "DELIMITER"): "<H>user<E>\n\n<X><H>assistant<E>\n\n<X>",
        ("EXAMPLES", 1, "QUESTION"): "cat",
        ("EXAMPLES", 1, "ANSWER"): "chat",
        ("QUERY", -1, "DELIMITER"): "<H>user<E>\n\n<X><H>assistant<E>\n\n",
        ("QUERY", -1, "QUESTION"): "cow",
        ("OUTPUT", -1, "ANSWER"): "vache",
    }


def test_without_instruction_the_preamble_is_prefix_and_the_first_header_is_not(chat: Chat) -> None:
    found = pieces(template("chat").write(Content(None, (), "cow"), tokenizer=chat(HEADS)))
    assert found["PREFIX", -1, "NONE"] == "<s><H>system<E>\n\nToday<X>"
    assert found["QUERY", -1, "DELIMITER"].startswith("<H>user<E>")


def test_a_chat_without_preamble_still_starts_with_prefix(chat: Chat) -> None:
    bare = Content(None, TWO.examples, "cow")
    assert pieces(template("chat").write(bare, tokenizer=chat(CHATML)))["PREFIX", -1, "NONE"] == "<|im_start|>user\n"
    assert pieces(template("chat").write(bare, tokenizer=chat(INST)))["PREFIX", -1, "NONE"] == "<s>"
    # Llama-2 opens every turn with BOS: the first is kept, the others belong to their turns.
    found = pieces(template("chat").write(bare, tokenizer=chat(TURN)))
    assert found["PREFIX", -1, "NONE"] == "<s>"
    assert found["EXAMPLES", 0, "DELIMITER"] == "[INST] [/INST]</s>"
    assert found["EXAMPLES", 1, "DELIMITER"] == "<s>[INST] [/INST]</s>"
    assert found["QUERY", -1, "DELIMITER"] == "<s>[INST] [/INST]"


def test_the_call_for_an_answer_is_never_hidden_with_an_instruction_before_it(chat: Chat) -> None:
    written = template("chat").write(TWO, tokenizer=chat(AFTER))
    assert written.text.endswith("<user>cow<rule>Say it in French.<assistant>")
    assert pieces(written)["INSTRUCTION", -1, "NONE"] == "Say it in French."
    assert written.spans[-1].segment is Segment.QUERY


def test_a_system_message_that_moves_to_the_last_turn_is_still_the_instruction(chat: Chat) -> None:
    written = template("chat").write(TWO, tokenizer=chat(INST))
    found = pieces(written)
    assert written.text.endswith("[INST] Say it in French.\n\ncow[/INST]")
    assert found["INSTRUCTION", -1, "NONE"] == "Say it in French."
    assert found["EXAMPLES", 1, "DELIMITER"] == "[INST] [/INST] </s>"
    assert found["QUERY", -1, "DELIMITER"] == "[/INST]"


@pytest.mark.parametrize("place", [Place.before_query, Place.after_query])
def test_an_instruction_that_is_to_stand_elsewhere_is_refused_in_one_line(chat: Chat, place: Place) -> None:
    with pytest.raises(PromptError, match=f"stands first, not {place.value}; set place='first'") as caught:
        template("chat").write(replace(TWO, place=place), tokenizer=chat(HEADS))
    assert "\n" not in str(caught.value)
    bare = replace(TWO, instruction=None)  # nothing that would have to stand anywhere
    written = template("chat").write(replace(bare, place=place), tokenizer=chat(HEADS))
    assert written == template("chat").write(bare, tokenizer=chat(HEADS))


def test_a_repeated_message_is_labelled_wherever_it_stands(chat: Chat) -> None:
    written = template("chat").write(TWO, tokenizer=chat(TWICE))
    assert pieces(written)["QUERY", -1, "QUESTION"] == "cowcow"


def conversation(name: str, content: Content) -> list[dict[str, Any]]:
    """The messages in the form that the template wants."""
    messages: list[dict[str, Any]] = content.messages()
    if name not in IN_PARTS:
        return messages
    return [message | {"content": [{"type": "text", "text": message["content"]}]} for message in messages]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(WORKING)), CONTENT, st.none() | TEXT)
def test_every_message_is_found_whatever_it_says(chat: Chat, name: str, content: Content, output: str | None) -> None:
    tokenizer = chat(WORKING[name])
    written = template("chat").write(content, output, tokenizer=tokenizer)
    messages = conversation(name, content)
    asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert written.text == asked + (output or "")
    found = pieces(written)
    times = 2 if name == "twice" else 1

    def shown(text: str) -> str:
        return text.strip() if name == "heads" else text

    # Jinja's trim and Python's strip agree, so that a stripped message is known to the letter.
    assert found.get(("QUERY", -1, "QUESTION"), "") == shown(content.query) * times
    assert found.get(("INSTRUCTION", -1, "NONE"), "") == shown(content.instruction or "")
    for number, shot in enumerate(content.examples):
        assert found.get(("EXAMPLES", number, "QUESTION"), "") == shown(shot.input)
        assert found.get(("EXAMPLES", number, "ANSWER"), "") == shown(shot.output)
    assert found.get(("OUTPUT", -1, "ANSWER"), "") == (output or "")


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(WORKING)), CONTENT)
def test_the_model_sees_what_the_tokenizers_own_chat_call_gives(chat: Chat, name: str, content: Content) -> None:
    tokenizer = chat(WORKING[name])
    prompt = encode(tokenizer, template("chat"), content)
    coded = tokenizer.apply_chat_template(conversation(name, content), add_generation_prompt=True, return_dict=True)
    assert prompt.ids.tolist() == coded["input_ids"]
    assert prompt.segments[0] == Segment.PREFIX
    assert prompt.segments[-1] == Segment.QUERY
    assert prompt.parts[-1] == Part.DELIMITER


def test_bos_is_not_doubled(chat: Chat) -> None:
    prompt = encode(chat(HEADS), template("chat"), TWO)
    assert np.count_nonzero(prompt.ids == chat(HEADS).bos_token_id) == 1


@pytest.mark.parametrize(
    ("jinja", "message"),
    [
        (GEMMA, "refuses the conversation: System role not supported; use instruction=False"),
        (DEAF, r"leaves out message 1 \(role 'system'\); use instruction=False"),
        (LOUD, "rewrites the messages"),
    ],
)
def test_a_template_that_does_not_show_the_content_is_refused(chat: Chat, jinja: str, message: str) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        template("chat").write(TWO, tokenizer=chat(jinja))
    assert "\n" not in str(caught.value)


def test_a_template_that_knows_no_system_serves_a_prompt_without_instruction(chat: Chat) -> None:
    bare = Content(None, TWO.examples, "cow")
    assert pieces(template("chat").write(bare, tokenizer=chat(GEMMA)))["QUERY", -1, "QUESTION"] == "cow"


def test_a_tokenizer_without_chat_template_is_refused(tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    with pytest.raises(TokenizerError, match="needs a tokenizer with a chat template, found a"):
        encode(tokenizers["gpt2"], template("chat"), TWO)
    with pytest.raises(TokenizerError, match="found none"):
        template("chat").write(TWO)


def test_a_template_that_writes_megabytes_is_refused_before_they_are_tokenised(chat: Chat) -> None:
    tokenizer = chat(CHATML + "{{ ('x' * 5000) * 10000 }}")
    with pytest.raises(PromptError, match=r"writes 50,000,... characters"):
        encode(tokenizer, template("chat"), TWO)
