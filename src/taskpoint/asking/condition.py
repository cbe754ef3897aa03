"""What an experiment hides, and whether the prompt has an instruction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from taskpoint.errors import SettingError
from taskpoint.prompts.segments import Segment
from taskpoint.prompts.selector import parse_selector
from taskpoint.settings import shown

ZERO_SHOT: Final = "zero-shot"
SHUFFLED: Final = "shuffled answers"
EARLY_EXIT: Final = "early exit"
"""The controls, as rows call them."""

_WITH_INSTRUCTION = " (with instruction)"


@dataclass(frozen=True)
class Condition:
    """One curve of an experiment: the selector of the hidden tokens, and whether the prompt has an instruction.

    Raises:
        SettingError: the selector cannot be read, hides nothing, or hides an instruction that the prompt lacks.
    """

    hide: str
    instruction: bool

    def __post_init__(self) -> None:
        selector = parse_selector(self.hide)
        if not selector.needs:
            raise SettingError(f"hide={self.hide!r} hides nothing; name a segment, such as 'examples'")
        if Segment.INSTRUCTION in selector.needs and not self.instruction:
            raise SettingError(
                f"hide={self.hide!r} needs an instruction in the prompt; ask for it with instruction=True"
            )
        object.__setattr__(self, "hide", selector.text)

    @property
    def name(self) -> str:
        """What rows call the condition."""
        return named(self.hide, self.instruction)

    @property
    def zero_shot(self) -> bool | None:
        """Whether the zero-shot control of this condition has the instruction; None where it has no such control.

        The control lacks what is hidden: a hidden instruction must not give the task away in the control. Where
        only the query is hidden, nothing that names the task is, and a prompt without examples says nothing about it.
        """
        needs = parse_selector(self.hide).needs
        if not needs & {Segment.INSTRUCTION, Segment.EXAMPLES}:
            return None
        return self.instruction and Segment.INSTRUCTION not in needs

    @property
    def label(self) -> str:
        """What people read."""
        parts = self.hide.split(",")
        hidden = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        if Segment.INSTRUCTION in parse_selector(self.hide).needs:
            return f"{hidden} hidden"
        return f"{hidden} hidden, {'instruction visible' if self.instruction else 'no instruction'}"


def named(what: str, instruction: bool) -> str:
    """The name of a condition or control in rows."""
    return what + _WITH_INSTRUCTION if instruction else what


def conditions(hide: str | Sequence[str], instruction: bool | Sequence[bool]) -> tuple[Condition, ...]:
    """Every selector with and without instruction, as asked for; the first is the headline of a report.

    A selector that hides the instruction is only paired with prompts that have one.

    Raises:
        SettingError: no selector, one that cannot be read, or one that needs an instruction when none is asked for.
    """
    selectors = _several("hide", hide, str)
    flags = _several("instruction", instruction, bool)
    found: list[Condition] = []
    for flag in flags:
        for selector in selectors:
            if not flag and True in flags and Segment.INSTRUCTION in parse_selector(selector).needs:
                continue
            one = Condition(selector, flag)
            if one not in found:
                found.append(one)
    return tuple(found)


def _several(name: str, values: Any, kind: type) -> list[Any]:
    """One value or several, all of one type."""
    found = [values] if isinstance(values, kind) or not isinstance(values, Iterable) else list(values)
    for value in found or [None]:
        if not isinstance(value, kind):
            expected = "a selector such as 'examples'" if kind is str else "True, False, or both in a list"
            raise SettingError(f"{name} is {shown(values)}; expected {expected}")
    return found


PAPER_CONDITIONS = (
    Condition("examples", False),
    Condition("examples", True),
    Condition("instruction,examples", True),
    Condition("query", True),
    Condition("instruction,examples,query", True),
)
"""The five conditions of paper A's main figure (section 3): Ex-mask; Instr, Ex-mask; Instr-mask, Ex-mask; Query-mask;
all-mask."""
