from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.errors import DataError
from taskpoint.prompts.content import Content, Example

TEXT = st.text(max_size=8)


@given(st.none() | TEXT, st.lists(st.builds(Example, TEXT, TEXT), max_size=3), TEXT)
def test_messages_are_read_back_as_the_content_they_came_from(
    instruction: str | None, examples: list[Example], query: str
) -> None:
    content = Content(instruction, tuple(examples), query)
    assert Content.from_messages(content.messages()) == content


def test_a_conversation_becomes_instruction_examples_and_query() -> None:
    roles = ["system", "user", "assistant", "user"]
    content = Content.from_messages([{"role": r, "content": c} for r, c in zip(roles, "iabq", strict=True)])
    assert content == Content("i", (Example("a", "b"),), "q")


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ("", "there is no message"),
        ("s", "message 1 has role 'system'"),
        ("ua", "message 2 has role 'assistant'"),
        ("uu", "message 2 has role 'user', expected 'assistant'"),
        ("au", "message 1 has role 'assistant', expected 'user'"),
        ("usu", "message 2 has role 'system', expected 'assistant'"),
        ("ssu", "message 2 has role 'system', expected 'user'"),
    ],
)
def test_another_order_of_roles_names_the_message(roles: str, message: str) -> None:
    names = {"s": "system", "u": "user", "a": "assistant"}
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        Content.from_messages([{"role": names[role], "content": "text"} for role in roles])
    assert "\n" not in str(caught.value)


def test_a_message_without_text_names_the_message() -> None:
    with pytest.raises(DataError, match="message 2 needs the keys"):
        Content.from_messages([{"role": "user", "content": "a"}, {"role": "assistant"}])
