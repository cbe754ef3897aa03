"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[..., None]
"""Called with the steps done, the steps there are (they may grow) and, where there is one, a note of a few words."""
