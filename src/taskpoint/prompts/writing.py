"""What every template is: content in, one text out with its characters labelled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from taskpoint.errors import PromptError
from taskpoint.prompts.content import Content
from taskpoint.prompts.segments import Part, Segment, Span


@runtime_checkable
class Tokenizer(Protocol):
    """The part of a transformers tokenizer that prompts use (spelt out so that nothing heavy is imported)."""

    chat_template: Any

    @property
    def is_fast(self) -> bool:
        """Whether the tokenizer knows character offsets."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Tokenises texts."""

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> Any:
        """Writes a conversation as text."""

    def convert_ids_to_tokens(self, *args: Any, **kwargs: Any) -> Any:
        """The vocabulary entries of ids."""


@dataclass(frozen=True)
class WrittenPrompt:
    """A text and the spans that tile it from its first to its last character (a span may be empty)."""

    text: str
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        borders = [0, *(span.end for span in self.spans)]
        if any(span.start != end or span.end < end for span, end in zip(self.spans, borders, strict=False)):
            raise PromptError("the spans of a written prompt must follow each other without gap or overlap")
        if borders[-1] != len(self.text):
            raise PromptError(f"the spans end at {borders[-1]}, expected the end of the text at {len(self.text)}")


class Writer:
    """Collects pieces of text with their labels; spans come out in order and without gaps."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._spans: list[Span] = []
        self._end = 0

    def add(self, text: str, segment: Segment, example: int = -1, part: Part = Part.NONE) -> None:
        """Appends text with one label."""
        start, self._end = self._end, self._end + len(text)
        self._pieces.append(text)
        self._spans.append(Span(start, self._end, segment, example, part))

    def done(self) -> WrittenPrompt:
        """The whole text with its spans."""
        return WrittenPrompt("".join(self._pieces), tuple(self._spans))


@dataclass(frozen=True)
class Template(ABC):
    """A way of writing content as text, found by its name.

    Attributes:
        stop: text at which a generated answer ends; None where only the model's end-of-text token ends it.
    """

    name: str
    stop: str | None

    # Whether the tokenizer adds its own BOS; not where the text already holds it, as chat templates do.
    adds_special_tokens = True

    @property
    def stops(self) -> tuple[str, ...]:
        """All texts at which a generated answer ends."""
        return () if self.stop is None else (self.stop,)

    @abstractmethod
    def write(
        self, content: Content, output: str | None = None, *, tokenizer: Tokenizer | None = None
    ) -> WrittenPrompt:
        """Writes content, followed by `output` (segment OUTPUT) if there is one.

        The stop text is not appended: pass `output + template.stop` to teach a model to end its answer.
        """

    def answer(self, generated: str) -> str:
        """What was answered: the generated text up to the first stop text, without surrounding white space."""
        return min((generated.partition(stop)[0] for stop in self.stops), key=len, default=generated).strip()
