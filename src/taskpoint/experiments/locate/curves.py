"""The figure of a `locate` run.

After Sia, Mueller and Duh 2024, experiment 1: the dashed line is the score with nothing cut, the shaded band the
interval. The lower axis is the cut r, the upper one theirs, x = r + 1. A strip below the curves shows where each
condition's recognition point lies, with its interval. Where the task asks for a language, a row between the two shows
the share of the answers that are in it.

More conditions than one row of panels can show apart have rows by what they have in common. Several numbers of
examples (their experiment 3) are steps of one colour scale, with a row for each condition. A suite of few sub-tasks,
such as both directions of a pair of languages, has a column for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskpoint.experiments.locate.findings import ConditionView, LocateView, PartView
from taskpoint.experiments.locate.wording import point_words
from taskpoint.prompts.content import Place
from taskpoint.report.drawings import Curve, Curves, Key, Level, Point, Row, Strip
from taskpoint.report.numbers import OF_HUNDRED, percent
from taskpoint.report.palette import Style, step, style
from taskpoint.report.texts import short

MOST_PANELS = 4
"""Sub-tasks at most that have a column each."""

# Curves at most that one panel shows apart.
_MOST_CURVES = 6

_LONGEST = 80  # characters of a label that fit the width of the figure


@dataclass(frozen=True)
class Group:
    """Conditions in one row of panels.

    Attributes:
        title: what they have in common; "" where there is one group.
        members: their indices.
    """

    title: str
    members: tuple[int, ...]


def figure_blocks(view: LocateView) -> tuple[Curves]:
    """Score against the cut, one line per condition; 6.4 inches wide, the text width of most one-column papers."""
    numbers = _numbers(view)
    rows = groups(view)
    heads = _heads(view)
    wide = max(1, len(heads))
    labels = _labels(view, numbers, len(rows) > 1, heads)
    columns = 2 if all(len(label) <= _LONGEST // 2 for label in labels.values()) else 1
    spoken = any(condition.language is not None for condition in view.conditions)
    shots = any(condition.point.zero_shot is not None for condition in view.conditions)
    level = percent(view.conditions[0].point.level)
    margin = 0.03 * view.num_layers
    strips = tuple(_points(view, numbers, rows, column) for column in range(wide))
    language = len(rows) == 1 and spoken
    entries = len(set(labels.values())) + 4
    curves = Curves(
        title=f"{view.model} on {view.task}",
        rows=(
            *(_score_row(view, group, labels, numbers, heads) for group in rows),
            *((_language_row(view, numbers, heads),) if language else ()),
        ),
        x_label=f"cut r: layers below r see the hidden tokens, layers r to {view.num_layers - 1} do not",
        x_ends=(-margin, view.num_layers + margin),
        heads=heads,
        most_ticks=14 if not heads else 7,
        second=None if heads else ("paper's axis x = r + 1", 1.0),
        strip=None if heads else strips[0],
        strips=strips if heads else (),
        scale=len(numbers),
        keys=(
            Key("dashed level", "nothing cut (ceiling)"),
            *((Key("dotted level", "no examples (zero-shot)"),) if shots else ()),
            Key("band", f"{level} interval of the mean"),
            Key("ring", "recognition point"),
        ),
        key_columns=columns,
        width=6.4 if wide < 3 else 2.6 * wide,
        around=0.95 + (0.2 if language else 0.0) + 0.19 * -(-entries // columns) + 0.25 * (len(rows) - 1),
    )
    return (curves,)


def looks(view: LocateView) -> tuple[Style, ...]:
    """The style of every condition where all are in one panel, as on the page."""
    numbers = _numbers(view)
    if numbers and len(numbers) == len(view.conditions):
        return tuple(step(numbers.index(it.shots), len(numbers)) for it in view.conditions)
    return tuple(style(_style(view, index, ())) for index in range(len(view.conditions)))


def _numbers(view: LocateView) -> list[int]:
    """The numbers of examples, ascending; none where there is one."""
    found = sorted({it.shots for it in view.conditions})
    return found if len(found) > 1 else []


def _style(view: LocateView, index: int, numbers: Sequence[int]) -> int:
    """The number of a condition's style: colours differ in a row of panels, marks from row to row."""
    if numbers:
        return numbers.index(view.conditions[index].shots)
    rows = ((row, group.members) for row, group in enumerate(groups(view)) if index in group.members)
    return next(_MOST_CURVES * row + members.index(index) for row, members in rows)


def _bare(condition: ConditionView) -> str:
    """The label without the number of examples."""
    return condition.label.removesuffix(f", {condition.shots}-shot")


def groups(view: LocateView) -> list[Group]:
    """Rows of panels: one, or conditions by what they have in common."""
    if _numbers(view):
        titles = [_bare(it) for it in view.conditions]
    elif len(view.conditions) > _MOST_CURVES:
        titles = [_family(it) for it in view.conditions]
    else:
        titles = [""] * len(view.conditions)
    found = [
        Group(title, tuple(index for index, each in enumerate(titles) if each == title))
        for title in dict.fromkeys(titles)
    ]
    if len(found) == 1:
        return [Group("", found[0].members)]
    return [
        Group(group.title, group.members[start : start + _MOST_CURVES])
        for group in found
        for start in range(0, len(group.members), _MOST_CURVES)
    ]


def _family(condition: ConditionView) -> str:
    if condition.place is not Place.first or condition.wording:
        return "instruction elsewhere, or in other words"
    if any(sign in condition.hide for sign in "[.-"):
        return "examples hidden in part"
    return "with an instruction" if condition.instruction else "without instruction"


def _heads(view: LocateView) -> tuple[str, ...]:
    """The sub-tasks that have a column each."""
    names = [tuple(part.name for part in it.parts) for it in view.conditions]
    return names[0] if len(set(names)) == 1 and 2 <= len(names[0]) <= MOST_PANELS else ()


def _labels(view: LocateView, numbers: Sequence[int], several: bool, heads: Sequence[str]) -> dict[int, str]:
    """Entries of the legend by index of the condition; those of one number of examples share one in several rows."""
    found = {}
    for index, it in enumerate(view.conditions):
        name = f"{it.shots} example{'' if it.shots == 1 else 's'}" if numbers else it.label
        points = ", ".join(f"{part.name} {point_words(part)}" for part in it.parts) if heads else point_words(it)
        shared = bool(numbers) and several
        found[index] = name if shared else f"{short(name, _LONGEST - 2 - len(points))}: {points}"
    return found


def _drawn(it: ConditionView, column: int, heads: Sequence[str]) -> ConditionView | PartView:
    """The condition, or its sub-task in a column."""
    return it.parts[column] if heads else it


def _levels(drawn: Sequence[ConditionView | PartView]) -> tuple[Level, ...]:
    ceilings = {round(it.point.ceiling, 6) for it in drawn}
    zero_shots = {round(it.point.zero_shot, 6) for it in drawn if it.point.zero_shot is not None}
    dashed = (Level(value, "dashed") for value in sorted(ceilings))
    return (*dashed, *(Level(value, "dotted") for value in sorted(zero_shots)))


def _score_row(
    view: LocateView, group: Group, labels: dict[int, str], numbers: Sequence[int], heads: Sequence[str]
) -> Row:
    panels, levels = [], []
    for column in range(max(1, len(heads))):
        curves = []
        for index in group.members:
            it = view.conditions[index]
            own = _drawn(it, column, heads)
            layer = own.point.layer
            curves.append(
                Curve(
                    label=labels[index],
                    style=_style(view, index, numbers),
                    x=tuple(map(float, it.cuts)),
                    y=own.mean,
                    low=own.low,
                    high=own.high,
                    ring=float(layer) if layer is not None and layer in it.cuts else None,
                )
            )
        panels.append(tuple(curves))
        levels.append(_levels([_drawn(view.conditions[index], column, heads) for index in group.members]))
    said = group.title
    if said and numbers and not heads:
        said += ": point " + ", ".join(point_words(view.conditions[index]) for index in group.members)
    small = len(groups(view)) > 1
    return Row(
        panels=tuple(panels),
        label=f"{said}\n{view.metric}" if said and heads else view.metric,
        title="" if heads else said,
        levels=() if heads else levels[0],
        levels_by_panel=tuple(levels) if heads else (),
        from_zero=small or view.metric in OF_HUNDRED,  # as the paper draws it; rows are compared
        height=1.9 if small else 2.9,
    )


def _language_row(view: LocateView, numbers: Sequence[int], heads: Sequence[str]) -> Row:
    panels = []
    for column in range(max(1, len(heads))):
        curves = []
        for index, it in enumerate(view.conditions):
            share = _drawn(it, column, heads).language
            if share is not None:
                ends = (None, None) if heads else (it.language_low, it.language_high)
                curves.append(Curve("", _style(view, index, numbers), tuple(map(float, it.cuts)), share, *ends))
        panels.append(tuple(curves))
    title = "in the asked language"
    return Row(tuple(panels), "" if not heads else title, "" if heads else title, unit="share", height=1.1)


def _points(view: LocateView, numbers: Sequence[int], groups: Sequence[Group], column: int) -> Strip:
    points = []
    heads = _heads(view)
    for index in (index for group in groups for index in group.members):
        point = _drawn(view.conditions[index], column, heads).point
        if point.layer is not None and point.low is not None and point.high is not None:
            points.append(Point(_style(view, index, numbers), *map(float, (point.layer, point.low, point.high))))
    return Strip("point", tuple(points), "no recognition point")
