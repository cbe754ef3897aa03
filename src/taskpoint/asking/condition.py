"""What an experiment hides, and how the prompt is told what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from taskpoint.errors import SettingError
from taskpoint.prompts.content import Place
from taskpoint.prompts.segments import Segment
from taskpoint.prompts.selector import parse_selector
from taskpoint.settings import keep, shown, whole

ZERO_SHOT: Final = "zero-shot"
SHUFFLED: Final = "shuffled answers"
EARLY_EXIT: Final = "early exit"
"""The controls, as rows call them."""


@dataclass(frozen=True)
class Condition:
    """One curve of an experiment: what is hidden, and how the prompt is told what to do.

    Attributes:
        hide: the selector of the hidden tokens.
        instruction: whether the prompt has an instruction.
        place: where the instruction stands.
        wording: which of the wordings that the task knows, from 0.

    Raises:
        SettingError: the selector cannot be read, hides nothing, or hides an instruction that the prompt lacks; a place
            or another wording of an instruction that the prompt lacks.
    """

    hide: str
    instruction: bool
    place: Place = Place.first
    wording: int = 0

    def __post_init__(self) -> None:
        selector = parse_selector(self.hide)
        if not selector.needs:
            raise SettingError(f"hide={self.hide!r} hides nothing; name a segment, such as 'examples'")
        if Segment.INSTRUCTION in selector.needs and not self.instruction:
            raise SettingError(
                f"hide={self.hide!r} needs an instruction in the prompt; ask for it with instruction=True"
            )
        wording = whole("wording", self.wording, 0)
        if not self.instruction and (self.place != Place.first or wording):
            raise SettingError(
                f"place={self.place.value!r} and wording={wording} are about the instruction, and the prompt has none; "
                "ask for it with instruction=True"
            )
        keep(self, hide=selector.text, wording=wording)

    @property
    def name(self) -> str:
        """What rows call the condition."""
        return self.hide + self.telling

    @property
    def telling(self) -> str:
        """How names in rows end: conditions with one ending, and their controls, have the same prompts."""
        if not self.instruction:
            return ""
        place = "" if self.place is Place.first else f" {_PLACES[self.place]}"
        return f" (with instruction{place}{f', wording {self.wording}' if self.wording else ''})"

    def control(self, kind: str) -> str:
        """What rows call a control that is asked as this condition is."""
        return kind + self.telling

    @property
    def zero_shot(self) -> Condition | None:
        """A condition that is asked as the zero-shot control of this one; None where it has no such control.

        The control lacks what is hidden: a hidden instruction must not give the task away in the control. Where
        only the query is hidden, nothing that names the task is, and a prompt without examples says nothing about it.
        """
        reaches = parse_selector(self.hide).reaches
        if not reaches & {Segment.INSTRUCTION, Segment.EXAMPLES}:
            return None
        bare = Condition("examples", False)
        return bare if Segment.INSTRUCTION in reaches else replace(self, hide=bare.hide)

    @property
    def label(self) -> str:
        """What people read."""
        selector = parse_selector(self.hide)
        parts = self.hide.split(",")
        hidden = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        if selector.newest_only:
            hidden = "all but the newest token"
        if not self.instruction:
            return f"{hidden} hidden, no instruction"
        place = "" if self.place is Place.first else f" {_PLACES[self.place]}"
        told = place + (f" in wording {self.wording}" if self.wording else "")
        if Segment.INSTRUCTION in selector.needs:
            return f"{hidden} hidden" + (f" (instruction{told})" if told else "")
        return f"{hidden} hidden, {'instruction' if selector.newest_only else 'instruction visible'}{told}"

    @property
    def setting(self) -> dict[str, Any]:
        """What a run folder keeps: what the first versions knew, and whatever else is not as it was then."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


_PLACES = {Place.first: "first", Place.before_query: "before the query", Place.after_query: "after the query"}


def conditions(
    hide: str | Sequence[str],
    instruction: bool | Sequence[bool],
    place: Place | str = Place.first,
    wording: int | Sequence[int] = 0,
) -> tuple[Condition, ...]:
    """Every selector with and without instruction, as asked for; the first is the headline of a report.

    A selector that hides the instruction is only paired with prompts that have one; place and wordings are those of
    the prompts that have one.

    Raises:
        SettingError: no selector, one that cannot be read, or one that needs an instruction when none is asked for; a
            place or wording for prompts without instruction.
    """
    selectors = _several("hide", hide, str, "a selector such as 'examples'")
    flags = _several("instruction", instruction, bool, "True, False, or both in a list")
    wordings = _several("wording", wording, int, "a number from 0, or several in a list")
    if place not in list(Place):
        raise SettingError(f"place is {shown(place)}; expected one of {', '.join(Place)}")
    stands = Place(place)
    found: list[Condition] = []
    for flag in flags:
        for selector in selectors:
            if not flag and True in flags and Segment.INSTRUCTION in parse_selector(selector).needs:
                continue
            bare = not flag and True in flags
            for number in [0] if bare else wordings:
                one = Condition(selector, flag, Place.first if bare else stands, number)
                if one not in found:
                    found.append(one)
    return tuple(found)


def _several(name: str, values: Any, kind: type, expected: str) -> list[Any]:
    """One value or several, all of one type."""
    found = [values] if isinstance(values, kind) or not isinstance(values, Iterable) else list(values)
    for value in found or [None]:
        if not isinstance(value, kind):
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

GRID_CONDITIONS = (
    *PAPER_CONDITIONS,
    Condition("all", True),
    Condition("query", False),
    Condition("examples,query", False),
    Condition("all", False),
    Condition("examples[1:]", False),
    Condition("examples-answers", False),
    Condition("examples", True, Place.after_query),
    Condition("instruction,examples", True, Place.after_query),
    *(Condition(hide, True, wording=number) for number in (1, 2) for hide in ("examples", "instruction,examples")),
)
"""The paper's masks with an instruction and without one, its mask of everything but the newest token (released code,
January 2025), and what its reviewers asked for: examples kept in part, the instruction behind the query, and other
wordings of it (A10 of the fact sheet: one wording, context placed before the source)."""
