"""Files of versions, one a line, `#` begins a comment: exact pins (`name==version`), and what is tested."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
# In the package, because messages name the tested range.
TESTED = ROOT / "src" / "taskpoint" / "models" / "tested_versions.txt"
HELD_BACK = ROOT / "tools" / "held_back.txt"


def canonical(name: str) -> str:
    """The one spelling of a package's name, as the package index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lines(text: str) -> list[str]:
    """What stands in the lines, without comments and blank lines."""
    return [line for raw in text.splitlines() if (line := raw.partition("#")[0].strip())]


def read_pins(text: str) -> dict[str, str]:
    """Canonical name -> version.

    Raises:
        SystemExit: A line that is no exact pin.
    """
    pins = {}
    for line in lines(text):
        name, equals, version = line.partition("==")
        if not (equals and re.fullmatch(r"[\w.-]+", name) and re.fullmatch(r"[\w.!+]+", version)):
            raise SystemExit(f"{line!r} is no pin; expected name==version")
        pins[canonical(name)] = version
    return pins


def read_tested(text: str) -> list[str]:
    """The listed versions of transformers, oldest first.

    Raises:
        SystemExit: No version, a line that is no version, or versions out of order.
    """
    versions = lines(text)
    if wrong := [version for version in versions if not re.fullmatch(r"\d+\.\d+\.\d+", version)]:
        raise SystemExit(f"{wrong[0]!r} is no version; expected one such as 5.0.0 a line")
    if not versions:
        raise SystemExit("no version is listed; expected at least one, such as 5.0.0")
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    if numbers != sorted(set(numbers)):
        raise SystemExit(f"the versions are {', '.join(versions)}; expected the oldest first, each once")
    return versions


def write_pins(pins: Mapping[str, str], *, without: Iterable[str] = ()) -> str:
    """One pin a line, by name; packages in `without` are left out."""
    free = {canonical(name) for name in without}
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()) if name not in free)
