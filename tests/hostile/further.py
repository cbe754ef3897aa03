"""The second round: kinds of cases that the first did not think of."""

from __future__ import annotations

from collections.abc import Iterator

from arena import Case
from further_files import FILES
from named import LOCATE

# What cases of this round copy beside the materials of the first.
MORE_MATERIALS: dict[str, Case] = {
    "wide": Case(
        "wide",
        ("locate", "--task", "lexicon:plural", "--seeds", "2", "--items", "6", "--cuts", "6", "--no-controls",
         "--out", "wide"),
        exit=0,
    ),
}  # fmt: skip

FURTHER: tuple[Case, ...] = (*FILES,)
