"""What a prompt says, before any template decides how it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from taskpoint.errors import DataError, PromptError

LONGEST_TEXT = 1_000_000
"""Characters that one text may have: more than fit into any model's positions, and few enough to be read at once."""


@dataclass(frozen=True)
class Example:
    """One worked example: a question and the answer that belongs to it."""

    input: str
    output: str


class Place(StrEnum):
    """Where the instruction of a prompt stands."""

    first = "first"
    before_query = "before-query"
    after_query = "after-query"


@dataclass(frozen=True)
class Content:
    """An optional instruction, worked examples (the shots) and the question; a PromptError where a text is too long."""

    instruction: str | None
    examples: tuple[Example, ...]
    query: str
    place: Place = Place.first

    def __post_init__(self) -> None:
        texts = [
            self.instruction or "",
            self.query,
            *(text for each in self.examples for text in (each.input, each.output)),
        ]
        longest = max(map(len, texts))
        if longest > LONGEST_TEXT:
            raise PromptError(
                f"a text of the prompt has {longest:,} characters; expected at most {LONGEST_TEXT:,}: leave it out"
            )

    @classmethod
    def from_messages(cls, messages: Sequence[Mapping[str, str]]) -> Content:
        """Reads a conversation: system is the instruction, user and assistant pairs are examples, the last user asks.

        Raises:
            DataError: another order of roles, a message without role or text, or no question at the end.
        """
        turns: list[tuple[str, str]] = []
        for number, message in enumerate(messages, 1):
            role, text = message.get("role"), message.get("content")
            if not isinstance(role, str) or not isinstance(text, str):
                raise DataError(
                    f"message {number} needs the keys 'role' and 'content' with text, found {sorted(message)}"
                )
            turns.append((role, text))
        instruction = turns[0][1] if turns and turns[0][0] == "system" else None
        first = 0 if instruction is None else 1
        for number, (role, _) in enumerate(turns[first:]):
            expected = "assistant" if number % 2 else "user"
            if role != expected:
                raise DataError(
                    f"message {first + number + 1} has role {role!r}, expected {expected!r}: "
                    "a system message may come first, then user and assistant take turns"
                )
        talk = [text for _, text in turns[first:]]
        if len(talk) % 2 == 0:
            found = f"message {len(turns)} has role {turns[-1][0]!r}" if turns else "there is no message"
            raise DataError(
                f"the last message must be the user's question, but {found}: add a message with role 'user'"
            )
        examples = tuple(Example(talk[i], talk[i + 1]) for i in range(0, len(talk) - 1, 2))
        return cls(instruction, examples, talk[-1])

    def messages(self) -> list[dict[str, str]]:
        """The same content as a conversation; `from_messages` reads it back."""
        turns = [] if self.instruction is None else [{"role": "system", "content": self.instruction}]
        for example in self.examples:
            turns.append({"role": "user", "content": example.input})
            turns.append({"role": "assistant", "content": example.output})
        return [*turns, {"role": "user", "content": self.query}]
