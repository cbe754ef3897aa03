"""Which columns of a table are the input and the output, by the names in its first record.

Names are compared without case, spaces and punctuation: "Source Text" is `sourcetext`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from taskpoint.errors import DataError

_INPUT_AND_OUTPUT = ("input", "output")
# Names that belong together; any input may stand with any output when each is the only one of its kind.
FAMILIES = (
    _INPUT_AND_OUTPUT,
    ("inputs", "outputs"),
    ("inputs", "targets"),
    ("inputtext", "outputtext"),
    ("inputtext", "targettext"),
    ("source", "target"),
    ("sourcetext", "targettext"),
    ("sources", "targets"),
    ("src", "tgt"),
    ("src", "trg"),
    ("src", "ref"),
    ("source", "reference"),
    ("source", "translation"),
    ("original", "translation"),
    ("question", "answer"),
    ("questions", "answers"),
    ("query", "answer"),
    ("query", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("x", "y"),
    ("text", "label"),
    ("sentence", "label"),
)
"""(input, output) as tables spell them."""

_INPUTS = frozenset(first for first, _ in FAMILIES)
_OUTPUTS = frozenset(second for _, second in FAMILIES)


# Of what is longer, a text of megabytes perhaps, the start is looked at.
_LONGEST_NAME = 200


class Columns(NamedTuple):
    """Places of the input and the output among the columns of a table, from 0.

    Attributes:
        names: What the table calls its columns; empty when it has no header.
    """

    input: int
    output: int
    names: tuple[str, ...]


def columns_of(cells: Sequence[str]) -> Columns | None:
    """The columns that a first record names; None when it is no header.

    Raises:
        DataError: It names an input and no output, an output and no input, or several of them.
    """
    names = tuple(cell.strip() for cell in cells)
    keys = ["".join(filter(str.isalnum, name[:_LONGEST_NAME].casefold())) for name in names]
    inputs = [place for place, key in enumerate(keys) if key in _INPUTS]
    outputs = [place for place, key in enumerate(keys) if key in _OUTPUTS]
    if not inputs and not outputs:
        return None
    if not inputs or not outputs:
        there, missing = ("input", "output") if inputs else ("output", "input")
        name = names[(inputs or outputs)[0]]
        raise DataError(
            f"{name!r} is the name of an {there}, but no column has the name of an {missing}; call the two columns "
            "input and output, or put such a header above this record if it is a pair"
        )
    together = [(i, o) for i in inputs for o in outputs if (keys[i], keys[o]) in FAMILIES]
    exact = [(i, o) for i, o in together if (keys[i], keys[o]) == _INPUT_AND_OUTPUT]
    found = exact or together or [(i, o) for i in inputs for o in outputs]
    if len(found) > 1:
        shown = " or ".join(f"{names[i]!r} and {names[o]!r}" for i, o in found)
        raise DataError(f"the columns to ask and to answer may be {shown}; name the two that you mean input and output")
    return Columns(*found[0], names)
