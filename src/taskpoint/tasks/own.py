"""The user's own prompts: a JSON Lines file in which every line is a whole prompt with its own examples.

A line is ``{"instruction", "examples": [{"input", "output"}], "query", "answers"}`` or ``{"messages": [...],
"answers"}``; instruction, examples and answers may be left out. Examples stand in the prompt in the order of the file,
whatever the seed; fewer shots are the first of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from taskpoint.errors import DataError, PromptError, SettingError
from taskpoint.prompts.content import LONGEST_TEXT, Content, Example
from taskpoint.settings import whole
from taskpoint.strict_json import parse
from taskpoint.tasks.base import Item, Task, checked_limit
from taskpoint.tasks.control import wrong_answers
from taskpoint.tasks.drawing import generator
from taskpoint.tasks.files.reading import file_name, read_text
from taskpoint.tasks.scores.same_text import input_key

_Text = Annotated[str, StringConstraints(pattern=r"\S", max_length=LONGEST_TEXT)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    answers: Annotated[list[_Text], BeforeValidator(lambda found: [found] if isinstance(found, str) else found)] = []


class _ExampleRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    input: _Text
    output: _Text


class _PromptRecord(_Record):
    instruction: _Text | None = None
    examples: list[_ExampleRecord] = []
    query: _Text

    def content(self) -> Content:
        examples = tuple(Example(example.input, example.output) for example in self.examples)
        return Content(self.instruction, examples, self.query)


class _MessageRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "user", "assistant"]
    content: _Text


class _MessagesRecord(_Record):
    messages: list[_MessageRecord]

    def content(self) -> Content:
        return Content.from_messages([{"role": said.role, "content": said.content} for said in self.messages])


@dataclass(frozen=True)
class _Prompt:
    item: Item
    content: Content


class OwnTask(Task):
    """The prompts of one file.

    Raises:
        DataError: The file cannot be read, or a line is malformed (with its number).
    """

    def __init__(self, path: Path) -> None:
        self.name = f"prompts:{file_name(path)}"
        self._prompts = {prompt.item.id: prompt for prompt in _prompts(path)}

    def items(self, limit: int | None = None) -> tuple[Item, ...]:
        """The prompts in the order of the file; at most ``limit``."""
        return tuple(islice((prompt.item for prompt in self._prompts.values()), checked_limit(limit)))

    def content(
        self,
        item: Item,
        shots: int,
        seed: int,
        *,
        instruction: bool = True,
        fresh: bool = False,
        shuffled: bool = False,
        wording: int = 0,
    ) -> Content:
        """The prompt as it is written, with the first ``shots`` examples; ``fresh`` changes nothing.

        The shuffled control takes the answers of the same prompt and, where these are too much alike, of the others.

        Raises:
            PromptError: The prompt has fewer examples, no instruction, or is not in the file.
        """
        prompt = self._prompts.get(item.id)
        if prompt is None or prompt.item != item:
            raise PromptError(f"item {item.id!r} is not in task {self.name!r}; take items from its items()")
        shots, seed = whole("shots", shots, 0), whole("seed", seed, 0, 2**63 - 1)
        said = prompt.content
        if shots > len(said.examples):
            raise PromptError(
                f"{shots} shots asked of prompt {item.id!r}, which has {len(said.examples)} examples; "
                f"set shots to at most {self.max_shots}"
            )
        if instruction and said.instruction is None:
            raise PromptError(
                f"prompt {item.id!r} has no instruction; set instruction to False, or write one in the file"
            )
        if instruction and wording:
            raise PromptError(
                f"wording {wording} of the instruction was asked for, but prompts of a file have one; set wording to 0"
            )
        examples = said.examples[:shots]
        if shuffled and examples:
            draws = generator("shuffled", seed, item.id)
            answers = wrong_answers([[each.output] for each in examples], self._outputs(prompt), shots, draws)
            examples = tuple(Example(each.input, output) for each, output in zip(examples, answers, strict=True))
        return Content(said.instruction if instruction else None, examples, said.query)

    def context(self, shots: int, seed: int, *, instruction: bool = True) -> Content:
        """What stands before every query; see ``Task.context``. The prompts of the file must agree on it."""
        said = {replace(self.content(item, shots, seed, instruction=instruction), query="") for item in self.items()}
        if len(said) > 1:
            raise SettingError(
                f"the prompts of {self.name!r} have {len(said)} different beginnings of {shots} shots; expected the "
                "same instruction and examples in every line: give a file with one of the prompts"
            )
        return said.pop()

    @property
    def max_shots(self) -> int:
        """The number of examples of the prompt that has fewest."""
        return min(len(prompt.content.examples) for prompt in self._prompts.values())

    @property
    def has_answers(self) -> bool:
        """Whether every prompt has an accepted answer."""
        return all(prompt.item.answers for prompt in self._prompts.values())

    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the prompts and their answers."""
        said = [[prompt.content.messages(), prompt.item.answers] for prompt in self._prompts.values()]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def _outputs(self, first: _Prompt) -> Iterator[str]:
        others = (prompt for prompt in self._prompts.values() if prompt is not first)
        for prompt in (first, *others):
            yield from (example.output for example in prompt.content.examples)


def _prompts(path: Path) -> Iterator[_Prompt]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{str(path)!r}, line {number}"
        try:
            record = _record(line)
            content = record.content()
        except ValidationError as error:
            raise DataError(f"{where}: {_first(error)}") from None
        except ValueError as error:
            raise DataError(f"{where}: no JSON ({str(error)[:160]}); expected one JSON object on every line") from None
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        if input_key(content.query) in {input_key(example.input) for example in content.examples}:
            raise DataError(
                f"{where}: the query is also an example, whose answer could be copied; take the example out"
            )
        stem = file_name(path.with_suffix(""))
        yield _Prompt(Item(f"{stem}/{number}", stem, content.query, tuple(record.answers)), content)


def _record(line: str) -> _PromptRecord | _MessagesRecord:
    data = parse(line)
    if not isinstance(data, dict):
        raise DataError("no JSON object; expected one with 'query' or with 'messages'")
    return _MessagesRecord.model_validate(data) if "messages" in data else _PromptRecord.model_validate(data)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, with the place in the record."""
    told = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, told["loc"]))
    mend = {
        "extra_forbidden": "no such key; expected instruction, examples, query and answers, or messages and answers",
        "string_too_long": f"a text of more than {LONGEST_TEXT:,} characters; leave it out",
        "string_pattern_mismatch": "an empty text; write one, or leave the key out",
    }.get(told["type"], told["msg"])
    return f"{place!r}: {mend}"
