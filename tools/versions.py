"""Tests every listed version of transformers, each in an environment of its own, and writes docs/versions.md.

The environment of a version holds what constraints.txt pins, but for transformers and the packages that an older one
asks for in older versions. The pinned version is tested in the environment that runs this tool.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from environment import Environment, installed
from pins import CONSTRAINTS, ROOT, TESTED, read_pins, read_tested, write_pins

TABLE = ROOT / "docs" / "versions.md"

# What transformers asks for in ranges that move with its own version.
FREED = ("transformers", "tokenizers", "huggingface-hub", "hf-xet")

TESTS = ("tests/engine", "tests/models", "tests/test_readme.py")

# Packages that stand in the table; what we know beyond plain public calls is known of these.
SHOWN = ("torch", "tokenizers", "huggingface-hub", "peft", "accelerate")

_PAGE = """\
# Versions

Written by `make versions`: every version of transformers that
`src/taskpoint/models/tested_versions.txt` lists, in an environment of its own, with {tests} run in it.
`pyproject.toml` asks for the first or a newer one; `make demo` and `make test` install the last, with everything else
that `constraints.txt` pins. Skipped tests need a GPU, real data or a model family that the version does not have.

{day}, Python {python}, {system} {machine}, {cores} cores.

{table}
"""


@dataclass(frozen=True)
class Counts:
    """How many tests ended how."""

    passed: int
    skipped: int
    failed: int


@dataclass(frozen=True)
class Outcome:
    """One version, tested.

    Attributes:
        version: Of transformers.
        packages: Canonical name -> version of what was installed.
        counts: None where nothing could be installed or run.
        seconds: For the tests, without the installation.
    """

    version: str
    packages: dict[str, str]
    counts: Counts | None
    seconds: float

    @property
    def good(self) -> bool:
        """Whether tests were run and none failed."""
        return self.counts is not None and self.counts.failed == 0 and self.counts.passed > 0


def count(junit: str) -> Counts:
    """The counts of a report that pytest wrote with `--junitxml`; an error while a test is set up is a failure."""
    suites = list(ElementTree.fromstring(junit).iter("testsuite"))
    tests, skipped, failures, errors = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "skipped", "failures", "errors")
    )
    return Counts(tests - skipped - failures - errors, skipped, failures + errors)


def page(outcomes: Sequence[Outcome], *, whole: bool, day: date) -> str:
    """docs/versions.md."""
    head = ["transformers", *(name.replace("-", "_") for name in SHOWN), "passed", "skipped", "failed", "seconds"]
    rows = [head, ["---"] * len(head)]
    for each in outcomes:
        ended = ["did not run", "", ""]
        if each.counts is not None:
            ended = [f"{number:,}" for number in (each.counts.passed, each.counts.skipped, each.counts.failed)]
        packages = [each.packages.get(name, "") for name in SHOWN]
        rows.append([each.version, *packages, *ended, f"{each.seconds:.0f}"])
    return _PAGE.format(
        tests="every test" if whole else "the tests of the engine and of the models and the code of README and docs",
        day=day.isoformat(),
        python=platform.python_version(),
        system=platform.system(),
        machine=platform.machine(),
        cores=os.cpu_count(),
        table="\n".join("| " + " | ".join(row) + " |" for row in rows),
    )


def chosen(only: Sequence[str], tested: Sequence[str]) -> list[str]:
    """The versions to test, in the order of the list: all, or those named, `floor` and `newest` among the names.

    Raises:
        SystemExit: A name that is not listed.
    """
    names = {"floor": tested[0], "newest": tested[-1]}
    asked = {names.get(name, name) for name in only}
    if unknown := asked - set(tested):
        raise SystemExit(f"--only {min(unknown)}: expected floor, newest, or one of {', '.join(tested)}")
    return [version for version in tested if version in asked or not only]


def environment(version: str, constraints: str) -> Environment:
    """What is built for a version: the pins, without those that it may need in older versions."""
    pins = write_pins(read_pins(constraints), without=FREED)
    return Environment(ROOT / ".versions" / version, (f"transformers=={version}",), pins)


def run_tests(version: str, python: Path, tests: Sequence[str]) -> Outcome:
    """Runs tests in an environment; their output goes to the terminal."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        words = ["-n", "logical", "--dist", "worksteal", "--junitxml", str(junit), *tests]
        subprocess.run([python, "-m", "pytest", *words], cwd=ROOT, check=False)
        counts = count(junit.read_text()) if junit.exists() else None
    return Outcome(version, installed(python), counts, time.monotonic() - started)


def main(words: Sequence[str] | None = None) -> None:
    """Builds, tests, writes; exit code 1 if a version fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="VERSION", help="these; floor and newest are names too"
    )
    parser.add_argument("--not-pinned", action="store_true", help="leave out the pinned version")
    parser.add_argument("--whole", action="store_true", help="every test, not only those of engine, models and docs")
    parser.add_argument("--write", action="store_true", help="write the table although not every version was tested")
    asked = parser.parse_args(words)

    tested, constraints = read_tested(TESTED.read_text()), CONSTRAINTS.read_text()
    pinned = read_pins(constraints)["transformers"]
    here = installed(Path(sys.executable)).get("transformers")
    outcomes = []
    for version in chosen(asked.only, tested):
        if version == pinned and asked.not_pinned:
            continue
        python = Path(sys.executable)
        if not version == pinned == here:
            own = environment(version, constraints)
            python = own.python
            if not own.is_built():
                print(f"transformers {version}: building {own.folder.relative_to(ROOT)}", flush=True)
                try:
                    own.build()
                except subprocess.CalledProcessError as error:
                    print(f"transformers {version}: cannot be installed: {error}", flush=True)
                    outcomes.append(Outcome(version, {}, None, 0.0))
                    continue
        print(f"transformers {version}: testing", flush=True)
        outcomes.append(run_tests(version, python, ["tests"] if asked.whole else TESTS))
        print(f"transformers {version}: {outcomes[-1].counts or 'the tests did not run'}", flush=True)
    if asked.write or len(outcomes) == len(tested):
        TABLE.write_text(page(outcomes, whole=asked.whole, day=date.today()))
    if bad := [each.version for each in outcomes if not each.good]:
        raise SystemExit(f"transformers {', '.join(bad)}: failed")


if __name__ == "__main__":
    main()
