"""What a library calls deprecated fails a test where this project called it, and only there."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers.utils import logging

from old_names import listening

ROOT = Path(__file__).parents[1]


def function(package: str, body: str) -> Callable[..., None]:
    """A function `f(call)` that stands in a package."""
    namespace: dict[str, Callable[..., None]] = {}
    source = f"import warnings\ndef f(call=None):\n    {body}"
    exec(compile(source, f"/anywhere/site-packages/{package}/module.py", "exec"), namespace)
    return namespace["f"]


def test_what_we_call_in_an_old_way_is_heard_with_its_place() -> None:
    old = function("library", "warnings.warn('gone soon', FutureWarning)")
    with warnings.catch_warnings(record=True), listening() as heard:
        old()
    assert len(heard) == 1
    assert heard[0].startswith("tests/test_old_names.py:")
    assert heard[0].endswith("gone soon")


def test_what_another_library_calls_in_an_old_way_is_not_ours() -> None:
    old = function("library", "warnings.warn('gone soon', DeprecationWarning)")
    with warnings.catch_warnings(record=True), listening() as heard:
        function("another", "call()")(old)
    assert heard == []


def test_a_module_that_torch_calls_for_us_is_called_by_us() -> None:
    old = function("transformers", "warnings.warn('gone soon', FutureWarning, stacklevel=2)")
    with warnings.catch_warnings(record=True), listening() as heard:
        function("torch", "call()")(old)
    assert len(heard) == 1


def test_other_warnings_are_left_alone() -> None:
    other = function("library", "warnings.warn('look out', UserWarning)")
    with warnings.catch_warnings(record=True) as seen, listening() as heard:
        other()
    assert heard == []
    assert len(seen) == 1


@pytest.mark.old_names
def test_a_notice_that_is_given_once_is_heard_every_time() -> None:
    logger = logging.get_logger("transformers.models")
    for _ in range(2):
        with listening() as heard:
            logger.warning_once("`this` is deprecated")
            logger.warning_once("something else")
        assert len(heard) == 1


@pytest.mark.parametrize(("mark", "code"), [("", 1), ("@pytest.mark.old_names", 0)])
def test_a_test_that_calls_in_an_old_way_fails_unless_it_is_marked(mark: str, code: int, tmp_path: Path) -> None:
    library = tmp_path / "site-packages" / "library"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(
        "import warnings\ndef f():\n    warnings.warn('gone soon', FutureWarning, stacklevel=2)\n"
    )
    folder = tmp_path / "tests"
    folder.mkdir()
    for name in ("conftest.py", "old_names.py"):
        (folder / name).write_text((ROOT / "tests" / name).read_text())
    (folder / "test_it.py").write_text(f"import library, pytest\n{mark}\ndef test_it():\n    library.f()\n")
    words = ["-q", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(folder / "test_it.py")]
    path = {"PYTHONPATH": f"{library.parent}:{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=tmp_path, env=path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("gone soon" in done.stdout) >= bool(code)
