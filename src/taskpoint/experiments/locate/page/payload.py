"""The data that the page carries: compact JSON, texts stored once, safe inside a script element."""

from __future__ import annotations

import json

from taskpoint.experiments.locate.curves import looks
from taskpoint.experiments.locate.findings import AnswerView, ConditionView, LocateView
from taskpoint.experiments.locate.page.languages import changes, stories
from taskpoint.experiments.locate.page.texts import most_changed
from taskpoint.experiments.locate.wording import hidden_words

# Means are shown with two or three figures; more digits would only make the page heavier.
_DIGITS = 5


class _Texts:
    """Texts by number. Answers repeat from cut to cut, so that most of them are stored once instead of N times."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        return list(self._numbers)


def _rounded(values: tuple[float, ...] | None) -> list[int | float] | None:
    return None if values is None else [_number(value) for value in values]


def _number(value: float) -> int | float:
    # An integer needs two characters less than the same number with ".0", and most item scores are 0 or 1.
    return int(value) if value == int(value) else round(value, _DIGITS)


def _condition(marker: str, condition: ConditionView) -> dict[str, object]:
    point = condition.point
    return {
        "label": condition.label,
        "hidden": hidden_words(condition),
        "marker": marker,
        "cuts": condition.cuts,
        "mean": _rounded(condition.mean),
        "low": _rounded(condition.low),
        "high": _rounded(condition.high),
        "point": None if point.layer is None else [point.layer, point.low, point.high],
        "ceiling": _number(point.ceiling),
        "zeroShot": None if point.zero_shot is None else _number(point.zero_shot),
        "early": _rounded(condition.early_exit),
        "earlyLow": _rounded(condition.early_exit_low),
        "earlyHigh": _rounded(condition.early_exit_high),
        "language": _rounded(condition.language),
        "languageLow": _rounded(condition.language_low),
        "languageHigh": _rounded(condition.language_high),
    }


def payload(view: LocateView) -> str:
    """The page's data as JSON that may stand between `<script type="application/json">` and its end tag.

    No character in it can end the element or open a comment: `<`, `>` and `&` are escaped.
    """
    texts = _Texts()
    answers: list[list[AnswerView]] = [[] for _ in view.conditions]
    for answer in view.answers:
        answers[answer.condition].append(answer)
    tongues = sorted({name for answer in view.answers for name in answer.languages or () if name})
    numbers = {name: number for number, name in enumerate(tongues)} | {"": -1}

    def row(answer: AnswerView) -> list[object]:
        shared = [
            answer.item,
            texts.number(answer.subtask),
            texts.number(answer.query),
            texts.number(answer.reference),
            [texts.number(text) for text in answer.texts],
            [_number(score) for score in answer.scores],
        ]
        if answer.languages is None:
            return shared
        told = changes(view.conditions[answer.condition].cuts, answer.languages)
        return [*shared, [numbers[name] for name in answer.languages], texts.number(told)]

    data = {
        "layers": view.num_layers,
        "metric": view.metric,
        "conditions": [_condition(look.marker, each) for look, each in zip(looks(view), view.conditions, strict=True)],
        "answers": [[row(answer) for answer in group] for group in answers],
        "stories": [stories(group) for group in answers],
        "changed": [most_changed(group) for group in answers],
        "tongues": tongues,
        "texts": texts.all(),
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
