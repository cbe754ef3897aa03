"""Training sequences of word tasks: in-context prompts, with the answers as the only targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from taskpoint.errors import SettingError
from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.template import Template
from taskpoint.tasks.mapping import Subtask
from taskpoint.training.sequences import TrainingBatch, collate


@dataclass(frozen=True)
class Mixture:
    """How prompts are drawn.

    Attributes:
        subtasks: Drawn with equal chance.
        templates: The first is the main one; the others share `other_share` equally. Each needs a stop text.
        shots: Worked examples in every sequence; as all answers are targets, 0 to `shots` examples are learnt at once.
        instruction_share: Share of the sequences that begin with the instruction line.
        other_share: Share of the sequences that are written in another template than the first.

    Raises:
        SettingError: a share outside 0 … 1, a sub-task with too few pairs or no instruction, or no template.
    """

    subtasks: tuple[Subtask, ...]
    templates: tuple[Template, ...]
    shots: int
    instruction_share: float
    other_share: float

    def __post_init__(self) -> None:
        for name in ("instruction_share", "other_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is {getattr(self, name)}; expected a share from 0 to 1")
        if not self.templates or any(template.stop is None for template in self.templates):
            raise SettingError("templates must name at least one, each with a stop text that ends an answer")
        if self.other_share and len(self.templates) < 2:
            raise SettingError(f"other_share is {self.other_share} with one template; set it to 0, or add templates")
        if not self.subtasks:
            raise SettingError("there is no sub-task; expected at least one")
        for subtask in self.subtasks:
            if self.shots < 0 or self.shots >= len(subtask.pairs):
                raise SettingError(
                    f"shots is {self.shots}; expected 0 to {len(subtask.pairs) - 1}, "
                    f"for {subtask.name!r} has {len(subtask.pairs)} pairs"
                )
            if self.instruction_share and subtask.instruction is None:
                raise SettingError(f"{subtask.name!r} has no instruction; set instruction_share to 0")

    def draw(self, tokenizer: PreTrainedTokenizerFast, batch: int, seed: int, step: int) -> TrainingBatch:
        """The batch of one step; it depends on nothing but the arguments, so a run can be continued at any step."""
        chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, step))))
        chosen = chance.integers(len(self.subtasks), size=batch)
        instructed = chance.random(batch) < self.instruction_share
        written = np.where(
            chance.random(batch) < self.other_share, chance.integers(1, max(2, len(self.templates)), size=batch), 0
        )
        contents, outputs = [], []
        for place in range(batch):
            subtask = self.subtasks[chosen[place]]
            drawn = [subtask.pairs[i] for i in chance.choice(len(subtask.pairs), self.shots + 1, replace=False)]
            *examples, (query, answers) = drawn
            contents.append(
                Content(
                    subtask.instruction if instructed[place] else None,
                    tuple(Example(text, accepted[0]) for text, accepted in examples),
                    query,
                )
            )
            outputs.append(answers[0])
        prompts: list[SegmentedPrompt | None] = [None] * batch
        for number, template in enumerate(self.templates):
            places = np.flatnonzero(written == number)
            stop = template.stop or ""
            coded = encode_many(
                tokenizer, template, [contents[i] for i in places], [f"{outputs[i]}{stop}" for i in places]
            )
            for place, prompt in zip(places.tolist(), coded, strict=True):
                prompts[place] = prompt
        return collate([prompt for prompt in prompts if prompt is not None], int(tokenizer.pad_token_id))
