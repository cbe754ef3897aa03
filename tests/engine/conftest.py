"""Tests of the engine share `families.py` and `toys.py`; pytest's importlib mode does not look beside a test module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def own_families() -> Iterator[None]:
    """Forgets what a test registers."""
    from taskpoint.models import families

    before = dict(families._FAMILIES)
    yield
    families._FAMILIES.clear()
    families._FAMILIES.update(before)
