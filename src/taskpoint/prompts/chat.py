"""The model's own chat template: an instruction is its system message, examples are turns of user and assistant."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from taskpoint.errors import PromptError, TokenizerError
from taskpoint.prompts.content import LONGEST_TEXT, Content, Place
from taskpoint.prompts.limit import within
from taskpoint.prompts.segments import Part, Segment
from taskpoint.prompts.writing import Template, Tokenizer, Writer, WrittenPrompt

# Private-use characters around a message's number: no chat template writes, strips or splits at them.
_MARK = "\ue0f0{}\ue0f1"
# One conversation takes milliseconds.
_SECONDS = 10

_MARKED = re.compile("\ue0f0([0-9]+)\ue0f1")

# What chat templates are known to do to the text of a message.
_TRIMS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    str.strip,
    str.lstrip,
    str.rstrip,
    lambda text: text.strip("\n"),
    lambda text: text.lstrip("\n"),
)


@dataclass(frozen=True)
class ChatTemplate(Template):
    """Writes content through the tokenizer's chat template.

    The conversation is rendered a second time with a marker in place of every message. What stands between the markers
    is the template's own text, so messages are found by their place and never by searching for what they say; a
    message may come out stripped, in another place, or more than once.
    """

    adds_special_tokens = False

    def write(
        self, content: Content, output: str | None = None, *, tokenizer: Tokenizer | None = None
    ) -> WrittenPrompt:
        """Writes content as a conversation that waits for the assistant, followed by `output` if there is one.

        PREFIX is what stands before the first message, less the header of a user's turn if anything else is there.

        Raises:
            TokenizerError: no tokenizer, or one without a chat template.
            PromptError: the instruction stands elsewhere than first, or the chat template refuses the conversation,
                drops or rewrites one of its messages, or does not end.
        """
        if content.instruction is not None and content.place is not Place.first:
            raise PromptError(
                f"template 'chat' writes an instruction as the system message, which stands first, not "
                f"{content.place.value}; set place='first' or another template"
            )
        try:
            return within(_SECONDS, lambda: self._written(content, output, tokenizer))
        except TimeoutError:
            raise PromptError(
                f"the chat template did not end within {_SECONDS} seconds; mend it, or use another template"
            ) from None

    def _written(self, content: Content, output: str | None, tokenizer: Tokenizer | None) -> WrittenPrompt:
        if tokenizer is None or not tokenizer.chat_template:
            found = "none" if tokenizer is None else f"a {type(tokenizer).__name__} without one"
            raise TokenizerError(
                f"template 'chat' needs a tokenizer with a chat template, found {found}; choose another template"
            )
        messages = content.messages()
        frame, parts = _frame(tokenizer, messages)
        literals, order = _take_apart(frame)
        text = _render(tokenizer, messages, parts=parts)
        missing = _left_out(frame, messages)
        if missing:
            raise PromptError(
                f"the chat template leaves out message {missing[0] + 1} (role {messages[missing[0]]['role']!r}); "
                "use instruction=False or another template"
            )
        shown = _shown(text, literals, [messages[i] for i in order])
        header = _user_header(tokenizer, parts)
        labels = _labels(content)
        writer = Writer()
        segment, example = Segment.PREFIX, -1
        for place, (index, words) in enumerate(zip(order, shown, strict=True)):
            closing, opening = _split(literals[place], header)
            if place == 0:
                closing, opening = _keep_prefix(closing, opening, getattr(tokenizer, "bos_token", None))
            writer.add(closing, segment, example, Part.DELIMITER if place else Part.NONE)
            segment, example, part = labels[index]
            writer.add(opening, segment, example, Part.DELIMITER)
            writer.add(words, segment, example, part)
        # Whatever message comes last, the call for an answer belongs to the query.
        writer.add(literals[-1], Segment.QUERY, -1, Part.DELIMITER)
        if output is not None:
            writer.add(output, Segment.OUTPUT, -1, Part.ANSWER)
        return writer.done()


CHAT = ChatTemplate("chat", None)


def _render(tokenizer: Tokenizer, messages: Sequence[dict[str, str]], *, parts: bool = False, ask: bool = True) -> str:
    conversation: list[dict[str, Any]] = list(messages)
    if parts:
        conversation = [m | {"content": [{"type": "text", "text": m["content"]}]} for m in messages]
    try:
        text = str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=ask))
    except Exception as error:  # what a template does with content of another form is of any kind
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise PromptError(
            f"the chat template refuses the conversation: {reason}; use instruction=False or another template"
        ) from error
    most = 2 * LONGEST_TEXT + sum(len(message["content"]) for message in messages)
    if len(text) > most:
        raise PromptError(f"the chat template writes {len(text):,} characters; expected at most {most:,}: use another")
    return text


def _frame(tokenizer: Tokenizer, messages: Sequence[dict[str, str]]) -> tuple[str, bool]:
    """The conversation of markers, and whether messages are lists of parts.

    Templates of vision-language models may pass over every message that is a plain text, without a word.
    """
    marked, refused, frames = _marked(messages), [], []
    for parts in (False, True):
        try:
            frames.append((_render(tokenizer, marked, parts=parts), parts))
        except PromptError as error:
            refused.append(error)
            continue
        if not _left_out(frames[-1][0], messages):
            return frames[-1]
    if not frames:
        raise refused[0]
    return min(frames, key=lambda frame: len(_left_out(frame[0], messages)))


def _left_out(frame: str, messages: Sequence[dict[str, str]]) -> list[int]:
    return sorted(set(range(len(messages))) - set(_take_apart(frame)[1]))


def _marked(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [{"role": m["role"], "content": _MARK.format(i)} for i, m in enumerate(messages)]


def _take_apart(frame: str) -> tuple[list[str], list[int]]:
    """The template's own texts, and the numbers of the messages between them."""
    pieces = _MARKED.split(frame)
    return pieces[::2], [int(number) for number in pieces[1::2]]


def _shown(text: str, literals: Sequence[str], messages: Sequence[dict[str, str]]) -> list[str]:
    """The messages as the chat template shows them, one trim for each role."""
    for system, user, assistant in itertools.product(_TRIMS, repeat=3):
        trim = {"system": system, "user": user, "assistant": assistant}
        shown = [trim[message["role"]](message["content"]) for message in messages]
        if text == literals[0] + "".join(a + b for a, b in zip(shown, literals[1:], strict=True)):
            return shown
    raise PromptError(
        "the chat template rewrites the messages, so their tokens cannot be told apart; use another template"
    )


def _user_header(tokenizer: Tokenizer, parts: bool) -> str:
    """The text that opens a user's turn, learnt from a conversation of markers; empty if it cannot be told."""
    probe = _marked([{"role": role, "content": ""} for role in ("user", "assistant", "user")])
    try:
        longer = _render(tokenizer, probe, parts=parts)
        shorter = _render(tokenizer, probe[:2], parts=parts, ask=False)
    except PromptError:
        return ""
    start, end = longer.find(_MARK.format(1)), longer.find(_MARK.format(2))
    if start < 0 or end < start:
        return ""
    closed = next((i for i, (a, b) in enumerate(zip(longer, shorter, strict=False)) if a != b), len(shorter))
    return longer[max(closed, start + len(_MARK.format(1))) : end]


def _split(literal: str, header: str) -> tuple[str, str]:
    """The end of the turn before and the header of the turn after."""
    cut = len(literal) - len(header) if literal.endswith(header) else len(literal)
    return literal[:cut], literal[cut:]


def _keep_prefix(closing: str, opening: str, bos: str | None) -> tuple[str, str]:
    """Leaves something in front: models use the first token as an attention sink, so it is not to be hidden."""
    if closing:
        return closing, opening
    cut = len(bos) if bos and opening.startswith(bos) else len(opening)
    return opening[:cut], opening[cut:]


def _labels(content: Content) -> list[tuple[Segment, int, Part]]:
    labels = [] if content.instruction is None else [(Segment.INSTRUCTION, -1, Part.NONE)]
    for number in range(len(content.examples)):
        labels.append((Segment.EXAMPLES, number, Part.QUESTION))
        labels.append((Segment.EXAMPLES, number, Part.ANSWER))
    return [*labels, (Segment.QUERY, -1, Part.QUESTION)]
