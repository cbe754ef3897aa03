"""Colours and marks of the curves: told apart without colour vision, on paper and on dark screens."""

from __future__ import annotations

from dataclasses import dataclass, replace


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


# One hue after the other, each darker than the one before on white paper; lighter ones for dark screens.
_SCALE = (("#a86500", "#ffcf70"), ("#b3305f", "#ff9bb5"), ("#6a2c91", "#cfa3ff"), ("#1f1f5c", "#8fb8ff"))


def style(index: int) -> Style:
    """The style of a curve by its number; after six the colours come again with other marks, after 36 those too."""
    look, marks = _STYLES[index % len(_STYLES)], index + index // len(_STYLES)
    return replace(look, marker=_STYLES[marks % len(_STYLES)].marker)


def step(index: int, count: int) -> Style:
    """The style of the n-th of `count` curves that follow each other, such as those of more and more examples."""
    place = index / max(1, count - 1) * (len(_SCALE) - 1)
    below = min(int(place), len(_SCALE) - 2)
    light, dark = (_between(*pair, place - below) for pair in zip(_SCALE[below], _SCALE[below + 1], strict=True))
    return Style(light, dark, _STYLES[index % len(_STYLES)].marker)


def _between(one: str, other: str, share: float) -> str:
    parts = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (one, other)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*parts, strict=True))
