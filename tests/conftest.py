"""Shared fixtures; array shapes of public functions are checked while the tests run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Read when huggingface_hub is imported: tests must not wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
# What a terminal is shown must not depend on the one that runs the tests.
os.environ["TERM"] = "xterm-256color"

install_import_hook("taskpoint", "beartype.beartype")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models are slower on two threads than on one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """The workers of a parallel run ignore Ctrl-C, and so would every process that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that need it are skipped, with the reason, where it is absent."""
    path = os.environ.get("TASKPOINT_DATA")
    if not path:
        if os.environ.get("TASKPOINT_REQUIRE_DATA"):
            pytest.fail("TASKPOINT_DATA is not set, and TASKPOINT_REQUIRE_DATA forbids to skip")
        pytest.skip("set TASKPOINT_DATA to the folder of real data to run this test")
    return Path(path)
