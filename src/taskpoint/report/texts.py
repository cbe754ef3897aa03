"""Texts of strangers (a label, the name of a model) made harmless and short."""

from __future__ import annotations


def plain(text: str, fancy: bool) -> str:
    """A text without control characters: no escape sequence in a label may reach the terminal."""
    visible = "".join(character if character.isprintable() else "�" for character in " ".join(text.split()))
    return visible if fancy else visible.replace("�", "?").encode("ascii", "backslashreplace").decode("ascii")


def short(text: str, most: int) -> str:
    """The text itself, or where it has more than `most` characters its beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
