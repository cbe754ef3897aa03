"""Runs every hostile case on a checkout, or on two of them.

`python try_all.py [--round named|further|all] [--before SRC] [--only WORD] [--all]`
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from arena import Arena, Case
from further import FURTHER, MORE_MATERIALS
from named import NAMED
from preparing import MATERIALS

ROUNDS = {"named": NAMED, "further": FURTHER, "all": (*NAMED, *FURTHER)}


def made(arena: Arena, needed: set[str]) -> None:
    """Makes what cases need."""
    for name, case in (MATERIALS | MORE_MATERIALS).items():
        if name not in needed:
            continue
        kept = arena.materials / name

        def keep(folder: Path, _: str, name: str = name, kept: Path = kept) -> None:
            shutil.move(folder / name, kept)

        outcome = arena.run(Case(case.name, case.argv, case.code, exit=0, look=keep, seconds=120))
        if outcome.wrong:
            raise RuntimeError(f"{name}: {outcome.wrong} {outcome.stderr}")


def verdicts(cases: tuple[Case, ...], source: Path | None) -> dict[str, str]:
    """What is wrong with each case on a checkout."""
    with tempfile.TemporaryDirectory() as materials:
        arena = Arena(Path(materials), source)
        try:
            made(arena, {name for case in cases for name in case.needs})
            return {case.name: arena.run(case).wrong for case in cases}
        finally:
            arena.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", choices=ROUNDS, default="all", help="which cases")
    parser.add_argument("--before", type=Path, help="folder src of an older checkout")
    parser.add_argument("--only", default="", help="cases with this in their names")
    parser.add_argument("--all", action="store_true", help="also those that are right")
    asked = parser.parse_args()
    cases = tuple(case for case in ROUNDS[asked.round] if asked.only in case.name)
    before = None if asked.before is None else verdicts(cases, asked.before)
    after = verdicts(cases, None)
    for name, wrong in after.items():
        was = "" if before is None else before[name] or "right"
        if wrong or was not in ("", "right") or asked.all:
            print(f"{name}\n    now:    {wrong or 'right'}" + (f"\n    before: {was}" if before else ""))
    for when, found in (("before", before), ("now", after)):
        if found is not None:
            kinds = Counter(wrong.split(":")[0].split(" ")[0] if wrong else "right" for wrong in found.values())
            print(when, len(found), dict(kinds))


if __name__ == "__main__":
    main()
