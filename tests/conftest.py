"""Shared fixtures; array shapes of public functions are checked while the tests run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

# pytest's importlib mode does not look beside a test module.
sys.path.insert(0, str(Path(__file__).parent))

from old_names import listening

# Read when huggingface_hub is imported: tests must not wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
# What a terminal is shown must not depend on the one that runs the tests.
os.environ["TERM"] = "xterm-256color"

install_import_hook("taskpoint", "beartype.beartype")


def _without_old_names(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fails a test that calls a library in a way which the library calls deprecated."""
    with listening() as heard:
        result = yield
    if heard and item.get_closest_marker("old_names") is None:
        pytest.fail("deprecated:\n" + "\n".join(heard), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _without_old_names(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _without_old_names(item))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models are slower on two threads than on one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Ctrl-C is ignored by the workers of a parallel run, SIGHUP under nohup; what a test starts would inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that need it are skipped, with the reason, where it is absent."""
    path = os.environ.get("TASKPOINT_DATA")
    if not path:
        if os.environ.get("TASKPOINT_REQUIRE_DATA"):
            pytest.fail("TASKPOINT_DATA is not set, and TASKPOINT_REQUIRE_DATA forbids to skip")
        pytest.skip("set TASKPOINT_DATA to the folder of real data to run this test")
    return Path(path)
