"""What every page shares: its look, escaping of every text, and what no file can hold."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

HOUSE = Path(__file__).parent / "templates"
"""The folder of house.css, the look that all pages share."""


def joined(*files: Path) -> Markup:
    """Files of our own, one after another: beside our drawings the only texts of a page that are not escaped."""
    return Markup("\n".join(file.read_text(encoding="utf-8") for file in files))


def environment(folder: Path) -> jinja2.Environment:
    """What fills the templates of a folder: it escapes every text, and fails at a name that is not given."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def whole_pairs(text: str) -> str:
    """The text without halves of surrogate pairs, which a model can emit and no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
