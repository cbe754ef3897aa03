"""Writes constraints.txt: exact versions of everything that `make demo` and `make test` install.

pip itself resolves, in a dry run: it alone finds what this machine offers beside the package index. With --keep what is
pinned stays as it is, and only what a new dependency needs is added.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from environment import without_constraints
from pins import CONSTRAINTS, HELD_BACK, PYPROJECT, ROOT, TESTED, canonical, read_pins, read_tested, write_pins

_HEADER = """\
# Exact versions of everything that `make demo` and `make test` install. Made by `make lock`, with Python {python} on
# {system} {machine}, from pyproject.toml, tools/held_back.txt and src/taskpoint/models/tested_versions.txt.
# Elsewhere it holds as well: a constraint that nothing asks for installs nothing.
"""

# What hatchling asks for when a package is installed editable; no file names it.
_EDITABLE = "editables"


def resolved(report: dict[str, Any]) -> dict[str, str]:
    """Canonical name -> version of what pip's installation report would install, this project left out."""
    found = {}
    for each in report["install"]:
        if "dir_info" not in each["download_info"]:
            found[canonical(each["metadata"]["name"])] = each["metadata"]["version"].partition("+")[0]
    return found


def text(report: dict[str, Any]) -> str:
    """constraints.txt, from pip's installation report."""
    about = report["environment"]
    header = _HEADER.format(
        python=about["python_version"], system=about["platform_system"], machine=about["platform_machine"]
    )
    return header + write_pins(resolved(report))


def main() -> None:
    """Resolves and writes."""
    build = tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]
    newest = read_tested(TESTED.read_text())[-1]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words: list[str | Path] = [
            "install",
            "--dry-run",
            "--ignore-installed",
            "-qq",
            "--report",
            report,
            "--constraint",
            HELD_BACK,
        ]
        words += ["--constraint", CONSTRAINTS] if "--keep" in sys.argv[1:] else []
        asked = [".[dev]", *build, _EDITABLE, f"transformers=={newest}"]
        command = [sys.executable, "-m", "pip", *words, *asked]
        if subprocess.run(command, cwd=ROOT, env=without_constraints(), check=False).returncode:
            raise SystemExit("pip finds no versions that fit together; constraints.txt is as it was")
        CONSTRAINTS.write_text(text(json.loads(report.read_text())))
    print(f"{CONSTRAINTS.name}: {len(read_pins(CONSTRAINTS.read_text()))} packages")


if __name__ == "__main__":
    main()
