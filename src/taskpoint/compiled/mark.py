"""What the file of a compiled prompt is known by, without torch."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

ENTRY = "taskpoint_compiled_prompt"
"""The one entry of its metadata: of several, safetensors would write the order at random."""


def is_compiled(path: Path) -> bool:
    """Whether a file calls itself a compiled prompt; not whether it is whole."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            return False
        with safe_open(path, framework="numpy") as opened:
            return ENTRY in (opened.metadata() or {})
    except (OSError, SafetensorError, ValueError):
        return False
