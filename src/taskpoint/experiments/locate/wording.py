"""The sentences of a `locate` report, shared by page, figure and terminal."""

from __future__ import annotations

from taskpoint.experiments.locate.findings import ConditionView, LocateView, MovementView, PartView
from taskpoint.report.numbers import percent, score


def hidden_words(condition: ConditionView) -> str:
    """The hidden tokens in words, e.g. "the instruction and the 5 examples"; odd selectors are quoted."""
    examples = "the example" if condition.shots == 1 else f"the {condition.shots} examples"
    words = {"instruction": "the instruction", "examples": examples, "query": "the query"}
    words["all"] = "everything but the newest token"
    parts = [part.strip() for part in condition.hide.split(",")]
    if not all(part in words for part in parts):
        return f"the hidden tokens ({condition.hide})"
    spoken = [words[part] for part in parts]
    return spoken[0] if len(spoken) == 1 else f"{', '.join(spoken[:-1])} and {spoken[-1]}"


def point_words(curve: ConditionView | PartView) -> str:
    """The recognition point with its interval, e.g. "4 (3-5)"; "undefined" where there is none."""
    point = curve.point
    return "undefined" if point.layer is None else f"{point.layer} ({point.low}-{point.high})"


def part_word(condition: ConditionView) -> str:
    """What a part of this condition's task is called: "direction" where it is about languages, else "sub-task"."""
    return "sub-task" if condition.language is None else "direction"


def sentence(view: LocateView, condition: ConditionView) -> str:
    """What one condition says about the model: the layer and what a cut there saves, or why there is no such layer."""
    point = condition.point
    hidden = hidden_words(condition)
    if point.layer is None:
        reason = (point.reason or "no reason was recorded").strip().rstrip(".")
        return f"No layer can be named at which {view.model} recognises the task from {hidden}: {reason}."
    interval = f" ({percent(point.level)} interval {point.low}-{point.high})"
    if point.layer >= view.num_layers:
        return (
            f"{view.model} needs {hidden} in every one of its {view.num_layers} layers{interval}: "
            "no cut keeps the score, so nothing is saved."
        )
    found = f"{view.model} recognises the task at layer {point.layer} of {view.num_layers}{interval}"
    kept = condition.kept
    quality = f" at {percent(kept)} of the full score" if kept is not None else ""
    if condition.saving is None:
        return f"{found}: from there on {hidden} can be cut away{quality}."
    work, memory = percent(condition.saving.work), percent(condition.saving.kv)
    return (
        f"{found}: from there on {hidden} can be cut away, "
        f"which saves {work} of the prompt's work and {memory} of its KV memory{quality}."
    )


def gap_sentence(view: LocateView, condition: ConditionView) -> str | None:
    """How much of what r = 0 loses is the price of the gap in the positions; None where that cannot be said."""
    share, zero = condition.gap[0], condition.point.zero_shot
    if share is None or zero is None or condition.cuts[0]:
        return None
    ceiling, floor = condition.point.ceiling, condition.mean[0]
    loss = score(ceiling - floor, view.metric)
    held = f"At r = 0 {view.metric} is {score(floor, view.metric)}, {loss} below the ceiling"
    if share == 0:
        return (
            f"{held}; a prompt without what is hidden loses as much or more, so the gap in the positions costs nothing."
        )
    return (
        f"{held}; a prompt without what is hidden has {score(zero, view.metric)}. So {percent(share)} of the loss is "
        "the price of the gap that the hidden tokens leave in the positions."
    )


def movement_sentence(view: LocateView, moved: MovementView) -> str:
    """Whether the recognition point moves with the number of examples."""
    found = moved.found
    if found is None:
        pointed = sum(view.conditions[place].point.layer is not None for place in moved.conditions)
        reason = (
            f"{pointed} of {len(moved.conditions)} numbers of examples have a point"
            if pointed < 2
            else "they were measured at different cuts"
        )
        return f"Whether the point moves with the number of examples cannot be said: {reason}."
    if found.slope is None or found.p is None:
        return f"Whether the point moves with the number of examples cannot be said: {found.reason}."
    slope, p = found.slope, "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    numbers = f"{', '.join(map(str, found.shots[:-1]))} and {found.shots[-1]}"
    left = f"; {percent(found.undefined)} of the replicates have no point" if found.undefined else ""
    return (
        f"The point {'moves' if found.moves else 'is not shown to move'} with the number of examples, {numbers} "
        f"(slope {slope.mean:+.2f} layers per example, {percent(found.level)} interval {slope.low:+.2f} to "
        f"{slope.high:+.2f}, {p}{left})."
    )


def conclusion(view: LocateView) -> str:
    """The report in one sentence: that of its first condition."""
    return sentence(view, view.conditions[0])
