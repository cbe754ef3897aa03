"""Writes the tables of options in docs/KIND.md from the fields of each experiment's configuration.

`python tools/options.py` writes them; with --check it says which page is behind, and leaves it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from taskpoint.configuration import table
from taskpoint.experiments.registry import EXPERIMENTS

DOCS = Path(__file__).parents[1] / "docs"
PLACE = re.compile(r"(<!-- options: written by `make options` -->\n).*?(<!-- end -->\n)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every page that has such a table, as it should be."""
    found = {}
    for experiment in EXPERIMENTS.values():
        page = DOCS / f"{experiment.kind}.md"
        options = table(experiment.config.SUBJECT, experiment.config.CONFIG)
        head, begin, *_, end, foot = PLACE.split(page.read_text())
        found[page] = "".join([head, begin, options, end, foot])
    return found


def main() -> int:
    """The exit code."""
    behind = {page: text for page, text in pages().items() if page.read_text() != text}
    for page, text in behind.items():
        print(f"{page.relative_to(DOCS.parent)} is behind; run `make options`" if "--check" in sys.argv else page)
        if "--check" not in sys.argv:
            page.write_text(text)
    return int(bool(behind) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
