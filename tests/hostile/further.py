"""The second round: kinds of cases that the first did not think of."""

from __future__ import annotations

from arena import Case
from further_calls import CALLS
from further_files import FILES
from further_texts import TEXTS

# What cases of this round copy beside the materials of the first.
MORE_MATERIALS: dict[str, Case] = {
    "wide": Case(
        "wide",
        ("locate", "--task", "lexicon:plural", "--seeds", "2", "--items", "6", "--cuts", "6", "--no-controls",
         "--out", "wide"),
        exit=0,
    ),
}  # fmt: skip

FURTHER: tuple[Case, ...] = (*FILES, *CALLS, *TEXTS)
