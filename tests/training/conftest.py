"""Tests of training share the engine's `families.py`; pytest's importlib mode does not look beside a test module."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
