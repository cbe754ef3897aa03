"""Tests of the engine share `families.py`; pytest's importlib mode does not look beside a test module."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
