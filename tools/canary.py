"""Installs the newest of everything and runs every test: what a user who installs us today would meet.

TORCH=2.13.0 holds torch alone back, where the newest is a build of several gigabytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from environment import Environment, installed
from pins import CONSTRAINTS, ROOT, read_pins
from versions import run_tests


def moved(pins: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """One line for every installed package that has another version than its pin, or no pin."""
    known = {**pins, **{name: found[name] for name in ("pip", "taskpoint") if name in found}}
    return [
        f"{name}: {known.get(name, 'not pinned')} -> {version}"
        for name, version in sorted(found.items())
        if known.get(name) != version
    ]


def main() -> None:
    """Builds the environment anew, says what moved, tests; exit code 1 if a test fails."""
    torch = os.environ.get("TORCH")
    newest = Environment(ROOT / ".versions" / "newest", (f"torch=={torch}",) if torch else ())
    newest.build()
    found = installed(newest.python)
    changes = moved(read_pins(CONSTRAINTS.read_text()), found)
    print("\n".join(changes or ["nothing moved: the newest versions are those of constraints.txt"]), flush=True)
    outcome = run_tests(found["transformers"], newest.python, ["tests"])
    print(outcome.counts or "the tests did not run")
    if not outcome.good:
        raise SystemExit("the newest versions: failed")


if __name__ == "__main__":
    main()
