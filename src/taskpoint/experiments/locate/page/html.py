"""The report as one self-contained web page: no network, no library, works from a mail attachment.

The curve is drawn by our own script (templates/*.js, a few hundred lines) and not by plotly: its bundle weighs 3 to 4
MB, many times the data, and its marks can neither be reached by keyboard nor read out by a screen reader.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from taskpoint.experiments.locate.curves import looks
from taskpoint.experiments.locate.findings import ConditionView, LocateView
from taskpoint.experiments.locate.page.payload import payload
from taskpoint.experiments.locate.wording import (
    conclusion,
    gap_sentence,
    hidden_words,
    movement_sentence,
    part_word,
    point_words,
    sentence,
)
from taskpoint.report.html import HOUSE, environment, joined, whole_pairs
from taskpoint.report.numbers import percent, score, span
from taskpoint.report.palette import style
from taskpoint.results.atomic import save_whole
from taskpoint.settings import place

_FOLDER = Path(__file__).parent / "templates"
_SCRIPTS = ("core.js", "plot.js", "curve.js", "languages.js", "answers.js", "texts.js")
_STYLES = ("locate.css", "answers.css", "languages.css", "texts.css")
_TAGS = 5  # colours of languages: the styles but the last, whose grey would look like "unclear"


@dataclass(frozen=True)
class _Whisker:
    """One row of a forest plot: a score with its interval, and where they stand, in percent of the width."""

    name: str
    mean: str
    interval: str
    at: float
    start: float
    width: float
    of_point: bool


@dataclass(frozen=True)
class _Panel:
    """One condition as the page shows it."""

    index: int
    view: ConditionView
    marker: str
    words: str
    point: str
    sentence: str
    gap: str | None
    whiskers: tuple[_Whisker, ...]
    part_word: str


def _spread(view: LocateView) -> tuple[float, float]:
    """The ends of the one scale of all forest plots of the page, so that they can be compared."""
    ends = [end for it in view.conditions for control in it.controls for end in (control.low, control.high)]
    ends += [end for it in view.conditions for end in (*it.low, *it.high)]
    low, high = min(0.0, *ends), max(ends)
    return low, (1.0 if low == 0 and 0.5 < high <= 1 else high if high > low else low + 1)


def _whiskers(view: LocateView, condition: ConditionView) -> tuple[_Whisker, ...]:
    bottom, top = _spread(view)

    def whisker(name: str, mean: float, low: float, high: float, of_point: bool = False) -> _Whisker:
        def place(value: float) -> float:
            return round(100 * (min(max(value, bottom), top) - bottom) / (top - bottom), 2)

        width = round(place(high) - place(low), 2)
        return _Whisker(
            name, score(mean, view.metric), span(low, high, view.metric), place(mean), place(low), width, of_point
        )

    rows = [whisker(control.name, control.mean, control.low, control.high) for control in condition.controls]
    layer = condition.point.layer
    if layer is not None and layer in condition.cuts:
        here = condition.cuts.index(layer)
        ends = condition.low[here], condition.high[here]
        rows.insert(0, whisker(f"at r = {layer}", condition.mean[here], *ends, of_point=True))
    return tuple(rows)


def _panels(view: LocateView) -> tuple[_Panel, ...]:
    return tuple(
        _Panel(
            index=index,
            view=condition,
            marker=look.marker,
            words=hidden_words(condition),
            point=point_words(condition),
            sentence=sentence(view, condition),
            gap=gap_sentence(view, condition),
            whiskers=_whiskers(view, condition),
            part_word=part_word(condition),
        )
        for index, (look, condition) in enumerate(zip(looks(view), view.conditions, strict=True))
    )


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def page(view: LocateView) -> str:
    """The report as HTML.

    Everything from the view is escaped, and a content security policy lets only our own script run and forbids every
    connection.
    """
    filled = environment(_FOLDER)
    filled.filters["score"] = lambda value: score(value, view.metric)
    filled.filters["point_words"] = point_words
    filled.filters["percent"] = percent
    filled.filters["tied"] = lambda text: str(text).replace(" %", "\u00a0%")
    theme, script = joined(_FOLDER / "theme.js"), joined(*(_FOLDER / name for name in _SCRIPTS))
    text = filled.get_template("locate.html.j2").render(
        view=view,
        conclusion=conclusion(view),
        panels=_panels(view),
        languages=any(condition.language is not None for condition in view.conditions),
        tongues=any(answer.languages is not None for answer in view.answers),
        colours=looks(view),
        movements=[(moved, movement_sentence(view, moved)) for moved in view.movements],
        tags=[style(index) for index in range(_TAGS)],
        data=Markup(payload(view)),
        css=joined(HOUSE / "house.css", *(_FOLDER / name for name in _STYLES)),
        theme=theme,
        script=script,
        allowed=f"{_hash(theme)} {_hash(script)}",
    )
    return whole_pairs(text)


def save_page(view: LocateView, path: Path | str) -> Path:
    """Writes the page, and its folder when missing; a RunFolderError where it cannot be written."""
    return save_whole(place("path", path), page(view).encode())
