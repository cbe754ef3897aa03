"""Colours and marks of the curves: told apart without colour vision, on paper and on dark screens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How one curve is drawn everywhere.

    Attributes:
        light: colour on a light ground, as "#rrggbb"; at least 4.5 : 1 against white (WCAG 2.2, 1.4.3).
        dark: colour on a dark ground.
        marker: shape of its points: "circle", "square", "triangle", "diamond", "down" or "cross".
    """

    light: str
    dark: str
    marker: str


# Hues of Okabe and Ito (2008), "Color Universal Design", darkened for white paper and lightened for dark screens.
_STYLES = (
    Style("#0067a5", "#62b5ff", "circle"),
    Style("#b84700", "#ff9a5c", "square"),
    Style("#00775a", "#3ecf9f", "triangle"),
    Style("#9b3a80", "#e79bd0", "diamond"),
    Style("#7a6000", "#e3c44a", "down"),
    Style("#4a5560", "#aeb9c4", "cross"),
)


def style(index: int) -> Style:
    """The style of a curve by its number; after six they come again."""
    return _STYLES[index % len(_STYLES)]
