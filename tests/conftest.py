"""Shared fixtures; array shapes of public functions are checked while the tests run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("taskpoint", "beartype.beartype")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that need it are skipped, with the reason, where it is absent."""
    path = os.environ.get("TASKPOINT_DATA")
    if not path:
        pytest.skip("set TASKPOINT_DATA to the folder of real data to run this test")
    return Path(path)
