"""The prompts of `locate`: how the items of a cell are asked, and which tokens are hidden."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from taskpoint.asking.condition import SHUFFLED
from taskpoint.asking.encoding import encoded
from taskpoint.asking.finite_on_prompts import check_finite_on_first
from taskpoint.asking.questions import longest_answer, with_room
from taskpoint.errors import PromptError
from taskpoint.experiments.locate.cells import Cell
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.content import Content
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.writing import Template
from taskpoint.tasks.base import Item, Task


class Prompts:
    """Prompts of one model, task and template."""

    def __init__(
        self, lm: LanguageModel, task: Task, template: Template, items: Sequence[Item], fresh: bool, new: int | None
    ) -> None:
        """`new` is the longest answer in tokens; None takes it from the references."""
        self._lm, self._task, self._template, self._fresh = lm, task, template, fresh
        self.max_new_tokens = new if new is not None else longest_answer(lm, task, template, items)

    def check(self, cells: Iterable[Cell]) -> None:
        """Builds the prompts of cells without computing anything, so that bad input costs no result.

        Raises:
            PromptError: a prompt is too long for the model, has too few examples, or lacks what is to be hidden.
        """
        for cell in cells:
            self.hidden(cell, self.asked(self.contents(cell)))

    def check_finite(self, cell: Cell) -> None:
        """Reads some prompts of a cell without a cut; a ModelError where the model gives NaN or infinity."""
        check_finite_on_first(self._lm, self.asked(self.contents(cell)))

    def contents(self, cell: Cell) -> list[Content]:
        """What the prompts of a cell say."""
        asked = cell.condition
        named: dict[str, Any] = {"fresh": self._fresh, "shuffled": cell.kind == SHUFFLED}
        if asked.wording:
            named["wording"] = asked.wording
        return [
            replace(
                self._task.content(item, cell.shots, cell.seed, instruction=asked.instruction, **named),
                place=asked.place,
            )
            for item in cell.items
        ]

    def asked(self, contents: Sequence[Content]) -> list[SegmentedPrompt]:
        """The prompts without answers; a PromptError where one leaves no room for the longest answer."""
        return with_room(self._lm, encoded(self._lm, self._template, contents), self.max_new_tokens)

    def newest_only(self, cell: Cell) -> bool:
        """Whether each token of a cell's answers is to see no other of them above the cut."""
        return cell.kind == "cut" and parse_selector(cell.condition.hide).newest_only

    def answered(self, cell: Cell, contents: Sequence[Content]) -> list[SegmentedPrompt]:
        """The prompts with their reference answers."""
        return encoded(self._lm, self._template, contents, [item.answers[0] for item in cell.items])

    def hidden(self, cell: Cell, prompts: Sequence[SegmentedPrompt]) -> list[Bool[np.ndarray, " _"]]:
        """True at the tokens of each prompt that layers from the cut on do not see; none in a control.

        Raises:
            PromptError: a prompt lacks what is to be hidden.
        """
        if cell.kind != "cut":
            return [np.zeros(len(prompt), dtype=bool) for prompt in prompts]
        selector = parse_selector(cell.condition.hide)
        masks = [selector.mask(prompt) for prompt in prompts]
        if not all(mask.any() for mask in masks):
            raise PromptError(f"hide={cell.condition.hide!r} hides no token of a prompt with {cell.shots} shots")
        return masks
