"""The language that says which tokens of a prompt are hidden: `"examples"`, `"instruction,examples[1:]"`, `"FTF"`.

T tokens of the prompt.

A selector is a comma-separated list of terms, and hides what any of them names:

- `instruction`, `examples`, `query`: a segment; `examples[0]`, `examples[1:]`, `examples[:-1]`: some of the examples,
  as Python counts them;
- `examples.answers`: only one part of it; `examples-answers`: all of it but that part. Parts are `questions`,
  `answers` and `delimiters` (the template's own text), as far as the segment has them;
- `none`: nothing;
- `all`: everything but PREFIX and the newest token (paper A's configuration of January 2025): above the cut the last
  token of the prompt, and then every token of the answer, sees none before it but PREFIX;
- `FTF` and the like: paper A's three flags for instruction, examples and query, T for hidden (released code).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from taskpoint.errors import PromptError, SettingError
from taskpoint.prompts.segments import Part, Segment, SegmentedPrompt

_SEGMENTS = {"instruction": Segment.INSTRUCTION, "examples": Segment.EXAMPLES, "query": Segment.QUERY}
_PARTS = {"questions": Part.QUESTION, "answers": Part.ANSWER, "delimiters": Part.DELIMITER}
_HAS = {
    Segment.INSTRUCTION: (Part.DELIMITER,),
    Segment.EXAMPLES: (Part.QUESTION, Part.ANSWER, Part.DELIMITER),
    Segment.QUERY: (Part.QUESTION, Part.DELIMITER),
}
_TERM = re.compile(r"(?P<segment>[a-z]+)(?P<range>\[[^\]]*\])?(?P<parts>(?:[.-][a-z]+)*)")
_FLAGS = re.compile(r"[TF]+", re.IGNORECASE)


@dataclass(frozen=True)
class Term:
    """One term of a selector: tokens of `segment`, in the examples that `picks` picks, in one of `parts`.

    `picks` is None for all examples; `parts` always holds `Part.NONE` unless the term names a single part.
    """

    text: str
    segment: Segment
    picks: slice | int | None
    parts: frozenset[Part]

    def mask(self, prompt: SegmentedPrompt) -> Bool[np.ndarray, " T"]:
        """True at the tokens that this term names, the last token of the prompt among them.

        Raises:
            PromptError: the prompt lacks the segment, or the examples that the term picks.
        """
        chosen = prompt.where(self.segment)
        name = self.segment.name.lower()
        if not chosen.any():
            mend = {Segment.INSTRUCTION: "instruction=True", Segment.EXAMPLES: "shots of at least 1"}
            raise PromptError(
                f"hide={self.text!r} names the {name}, but the prompt has no {name}; "
                f"set {mend.get(self.segment, 'a query')} or another hide"
            )
        if self.picks is not None:
            shots = prompt.shots
            picks = slice(self.picks, self.picks + 1 or None) if isinstance(self.picks, int) else self.picks
            numbers = range(shots)[picks]
            if not numbers:
                raise PromptError(
                    f"hide={self.text!r} picks none of the prompt's {shots} examples; set more shots or another hide"
                )
            chosen &= np.isin(prompt.examples, np.array(numbers))
        return np.asarray(chosen & np.isin(prompt.parts, np.array(sorted(self.parts))))


@dataclass(frozen=True)
class Selector:
    """A parsed selector; `parse_selector` makes it. Without terms it hides nothing.

    Attributes:
        newest_only: it is `all`, which has no terms.
    """

    terms: tuple[Term, ...]
    newest_only: bool = False

    @property
    def text(self) -> str:
        """The normal form: one spelling for every way of writing the same terms."""
        return "all" if self.newest_only else ",".join(term.text for term in self.terms) or "none"

    @property
    def needs(self) -> frozenset[Segment]:
        """The segments that a prompt must have."""
        return frozenset({Segment.QUERY}) if self.newest_only else frozenset(term.segment for term in self.terms)

    @property
    def reaches(self) -> frozenset[Segment]:
        """The segments of which it hides something, as far as a prompt has them."""
        everything = {Segment.INSTRUCTION, Segment.EXAMPLES, Segment.QUERY}
        return frozenset(everything) if self.newest_only else self.needs

    def mask(self, prompt: SegmentedPrompt) -> Bool[np.ndarray, " T"]:
        """True at the tokens that are hidden: never in PREFIX or OUTPUT, never the last token before the OUTPUT.

        Raises:
            PromptError: the prompt lacks a segment, or the examples, that the selector names.
        """
        hidden = np.zeros(len(prompt), dtype=bool)
        if self.newest_only:
            hidden = (prompt.segments != Segment.PREFIX) & (prompt.segments != Segment.OUTPUT)
        for term in self.terms:
            hidden |= term.mask(prompt)
        # The answer is read off this token, and paper A keeps the newest token visible to itself (released code).
        hidden[prompt.prompt_length - 1] = False
        return hidden


def parse_selector(text: str) -> Selector:
    """Reads a selector; capitals and spaces do not matter.

    Raises:
        SettingError: a word or a range that the language does not have; the message gives the nearest valid word.
    """
    plain = re.sub(r"\s+", "", text)
    if _FLAGS.fullmatch(plain):
        if len(plain) != len(_SEGMENTS):
            raise SettingError(
                f"hide={text!r} has {len(plain)} flags, expected three: instruction, examples, query, as in 'FTF'"
            )
        flags = zip(plain.upper(), _SEGMENTS, strict=True)
        plain = ",".join(name for flag, name in flags if flag == "T") or "none"
    words = plain.lower().split(",")
    if words == ["none"]:
        return Selector(())
    if words == ["all"]:
        return Selector((), newest_only=True)
    for word in ("none", "all"):
        if word in {re.split(r"[.\[-]", each)[0] for each in words}:
            raise SettingError(
                f"hide={text!r} names {word!r} beside other segments, expected {word!r} alone or without it"
            )
    terms = {term.text: term for term in (_term(word, text) for word in words)}
    return Selector(tuple(sorted(terms.values(), key=lambda term: (term.segment, term.text))))


def _term(word: str, text: str) -> Term:
    match = _TERM.fullmatch(word)
    if match is None:
        raise SettingError(
            f"hide={text!r} holds {word!r}, expected a segment such as 'examples', 'examples[1:]' or 'examples-answers'"
        )
    segment = _SEGMENTS[_known(match["segment"], (*_SEGMENTS, "none", "all"), "segment", text)]
    if match["range"] and segment is not Segment.EXAMPLES:
        raise SettingError(f"hide={text!r} counts {match['segment']!r}, but only examples have numbers: 'examples[1:]'")
    picks = _picks(match["range"], text) if match["range"] else None
    only, without = _parts(match["parts"], segment, text)
    kept = {only} if only is not None else set(Part) - without
    suffix = "".join(f".{name}" for name, part in _PARTS.items() if part is only)
    suffix += "".join(f"-{name}" for name, part in _PARTS.items() if part in without)
    return Term(segment.name.lower() + _spelt(picks) + suffix, segment, picks, frozenset(kept))


def _parts(suffix: str, segment: Segment, text: str) -> tuple[Part | None, set[Part]]:
    """The one part that is named with a dot, and the parts that are taken away with a minus."""
    valid = tuple(name for name, part in _PARTS.items() if part in _HAS[segment])
    found = [(sign, _PARTS[_known(name, valid, "part", text)]) for sign, name in re.findall(r"([.-])([a-z]+)", suffix)]
    only = [part for sign, part in found if sign == "."]
    without = {part for sign, part in found if sign == "-"}
    if len(only) > 1 or (only and without):
        raise SettingError(
            f"hide={text!r} names several parts at once, expected one term for each: 'a.questions,a.answers'"
        )
    if segment is not Segment.INSTRUCTION and without == set(_HAS[segment]):
        raise SettingError(f"hide={text!r} takes every part away, so that nothing is left to hide; use 'none'")
    return (only[0] if only else None), without


def _picks(bracket: str, text: str) -> slice | int | None:
    try:
        numbers = [int(n) if n else None for n in bracket[1:-1].split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] is not None:
        return numbers[0]
    if len(numbers) not in (2, 3) or numbers[2:] == [0]:
        raise SettingError(f"hide={text!r} has the range {bracket!r}, expected one such as [0], [1:], [:-1] or [::2]")
    start, stop, step = (*numbers, None)[:3]
    step = None if step == 1 else step
    start = None if start == 0 and (step or 1) > 0 else start
    return None if start is stop is step is None else slice(start, stop, step)


def _spelt(picks: slice | int | None) -> str:
    if picks is None:
        return ""
    if isinstance(picks, int):
        return f"[{picks}]"
    start, stop, step = ("" if n is None else str(n) for n in (picks.start, picks.stop, picks.step))
    return f"[{start}:{stop}:{step}]" if step else f"[{start}:{stop}]"


def _known(word: str, valid: tuple[str, ...], kind: str, text: str) -> str:
    if word in valid:
        return word
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.4)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise SettingError(f"hide={text!r} has the {kind} {word!r}, expected one of {', '.join(valid)}{guess}")
