"""A virtual environment with this project in it, editable: built once, and again when its inputs change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pins import PYPROJECT, ROOT, canonical

_LIST = """
import json
from importlib.metadata import distributions
print(json.dumps({each.metadata["Name"]: each.version for each in distributions()}))
"""


@dataclass(frozen=True)
class Environment:
    """An environment to build.

    Attributes:
        folder: Where it stands.
        extra: What is installed beside the project and its dev extra, such as `transformers==5.0.0`.
        constraints: Text of a constraints file.
    """

    folder: Path
    extra: tuple[str, ...] = ()
    constraints: str = ""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def inputs(self) -> str:
        """A digest of what decides its packages: another one means another environment."""
        project = tomllib.loads(PYPROJECT.read_text())
        tables = {name: project[name] for name in ("build-system", "project")}
        parts = [sys.version, str(ROOT), json.dumps(tables), self.constraints, *self.extra]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def is_built(self) -> bool:
        """Whether it stands as it would be built now."""
        stamp = self.folder / "inputs"
        return stamp.exists() and stamp.read_text() == self.inputs()

    def build(self) -> None:
        """Builds it anew.

        Raises:
            subprocess.CalledProcessError: Its packages cannot be installed together.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text(self.constraints)
            words = ["install", "-qq", "--constraint", str(constraints), *self.extra, "--editable", ".[dev]"]
            subprocess.run([self.python, "-m", "pip", *words], cwd=ROOT, env=without_constraints(), check=True)
        (self.folder / "inputs").write_text(self.inputs())


def without_constraints() -> dict[str, str]:
    """The variables of this process, without those that would add constraints to pip's."""
    return {key: value for key, value in os.environ.items() if key not in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")}


def installed(python: Path) -> dict[str, str]:
    """Canonical name -> version of all that an interpreter has, without local version labels (`+cpu`)."""
    said = subprocess.run([python, "-c", _LIST], capture_output=True, text=True, check=True)
    return {canonical(name): version.partition("+")[0] for name, version in json.loads(said.stdout).items()}
