"""The templates by name: how content is written as one text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.prompts.chat import CHAT
from taskpoint.prompts.content import Content, Place
from taskpoint.prompts.segments import Part, Segment
from taskpoint.prompts.writing import Template as Template
from taskpoint.prompts.writing import Tokenizer, Writer, WrittenPrompt


@dataclass(frozen=True)
class DelimiterTemplate(Template):
    r"""Pieces of fixed text around instruction, questions and answers.

    A prompt is `instruction + instruction_end` (`bare_start` if there is no instruction), then for every example
    `question + input + answer_mark + answer_gap + output + separator`, then `question + query + answer_mark`. The gap
    stays off the end of the prompt, because tokenizers join a space to the word after it; it opens the output instead.
    An instruction before the query stands between the separator and `question`; one after the query is a line of its
    own behind the query's text (`instruction_end + instruction`), which ends in the answer mark.

    Attributes:
        further_stops: other texts at which a generated answer ends.
    """

    question: str
    answer_mark: str
    answer_gap: str
    separator: str
    instruction_end: str = "\n"
    bare_start: str = ""
    further_stops: tuple[str, ...] = ()

    @property
    def stops(self) -> tuple[str, ...]:
        """All texts at which a generated answer ends."""
        return (*super().stops, *self.further_stops)

    def __post_init__(self) -> None:
        if not self.answer_mark:
            raise SettingError(
                f"template {self.name!r} has an empty answer_mark: nothing would tell the model to answer"
            )
        if self.stop == "":
            raise SettingError(f"template {self.name!r} has an empty stop text, expected some text or None")

    def write(
        self, content: Content, output: str | None = None, *, tokenizer: Tokenizer | None = None
    ) -> WrittenPrompt:
        """Writes content, followed by gap and `output` (segment OUTPUT) if there is one; needs no tokenizer."""
        writer = Writer()
        place = None if content.instruction is None else content.place
        if place is not Place.first and self.bare_start:
            writer.add(self.bare_start, Segment.PREFIX)
        if place is Place.first:
            self._instruct(writer, content)
        lead = self.answer_mark + self.answer_gap
        for number, example in enumerate(content.examples):
            writer.add(self.question, Segment.EXAMPLES, number, Part.DELIMITER)
            writer.add(example.input, Segment.EXAMPLES, number, Part.QUESTION)
            writer.add(lead, Segment.EXAMPLES, number, Part.DELIMITER)
            writer.add(example.output, Segment.EXAMPLES, number, Part.ANSWER)
            writer.add(self.separator, Segment.EXAMPLES, number, Part.DELIMITER)
        if place is Place.before_query:
            self._instruct(writer, content)
        writer.add(self.question, Segment.QUERY, -1, Part.DELIMITER)
        writer.add(content.query, Segment.QUERY, -1, Part.QUESTION)
        if place is Place.after_query:
            writer.add(self.instruction_end, Segment.INSTRUCTION, -1, Part.DELIMITER)
            writer.add(content.instruction or "", Segment.INSTRUCTION)
        writer.add(self.answer_mark, Segment.QUERY, -1, Part.DELIMITER)
        if output is not None:
            writer.add(self.answer_gap, Segment.OUTPUT, -1, Part.DELIMITER)
            writer.add(output, Segment.OUTPUT, -1, Part.ANSWER)
        return writer.done()

    def _instruct(self, writer: Writer, content: Content) -> None:
        writer.add(content.instruction or "", Segment.INSTRUCTION)
        writer.add(self.instruction_end, Segment.INSTRUCTION, -1, Part.DELIMITER)


# Paper A (NeurIPS 2024, released code): `Q:{src}A:{tgt} ` joined by newlines; an empty header still ends with its
# newline, and the condition without instruction puts a newline before `A:`. Its scorer cuts at the next `Q:`.
_FORMS = (
    DelimiterTemplate("qa", "\n", question="Q: ", answer_mark="\nA:", answer_gap=" ", separator="\n"),
    DelimiterTemplate("paper", "Q:", question="Q:", answer_mark="A:", answer_gap="", separator=" \n", bare_start="\n"),
    DelimiterTemplate(
        "paper-bare", "Q:", question="Q:", answer_mark="\nA:", answer_gap="", separator=" \n", bare_start="\n"
    ),
    DelimiterTemplate("arrow", "\n", question="", answer_mark=" ->", answer_gap=" ", separator="\n"),
    DelimiterTemplate("colon", "\n", question="", answer_mark=":", answer_gap=" ", separator="\n"),
    DelimiterTemplate(
        "input-output", "\n", question="Input: ", answer_mark="\nOutput:", answer_gap=" ", separator="\n\n"
    ),
    # The beginning of a program, to go on with. Two blank lines stand between programs, and in none of the functions of
    # HumanEval; the further stop texts are those of Chen et al. 2021 (Codex), section 2.1, and what else may follow.
    DelimiterTemplate(
        "code",
        "\n\n\n",
        question="",
        answer_mark="\n",
        answer_gap="",
        separator="\n\n\n",
        further_stops=("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\nfrom", "\nimport", "\n@", "\n```"),
    ),
)


TEMPLATES: Mapping[str, Template] = MappingProxyType({form.name: form for form in (*_FORMS, CHAT)})


def template(name: str) -> Template:
    """The template of this name; an UnknownNameError lists those there are."""
    if name not in TEMPLATES:
        raise UnknownNameError("template", name, TEMPLATES)
    return TEMPLATES[name]
