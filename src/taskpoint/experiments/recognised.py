"""The recognition point that a `locate` run found, as the cut to compile a prompt with."""

from __future__ import annotations

from pathlib import Path

from taskpoint.errors import SettingError
from taskpoint.experiments.condition import Condition
from taskpoint.experiments.locate_view import view_of_folder


def recognised_after(folder: str | Path, model: str, condition: Condition, shots: int) -> int:
    """The layer after which a run found the task recognised.

    Args:
        folder: a run folder of `locate`, of any task: the whole suite tells for its sub-tasks too.
        model: name of the model that it has to be about.
        condition: what is hidden, with or without instruction.
        shots: number of examples.

    Raises:
        RunFolderError: there is no such run.
        SettingError: it is about another model or other settings, or found no recognition point.
    """
    view = view_of_folder(folder)
    if view.model != model:
        raise SettingError(f"{folder} is about model {view.model!r}, not {model!r}; give a run of that model")
    measured = {(one.hide, one.instruction, one.shots): one for one in view.conditions}
    found = measured.get((condition.hide, condition.instruction, shots))
    if found is None:
        there = "; ".join(f"{one.label}, {one.shots} shots" for one in view.conditions)
        raise SettingError(
            f"{folder} has not measured {condition.label} with {shots} shots; it has: {there}. Ask for one of these, "
            "or name the layer with after"
        )
    if found.point.layer is None:
        raise SettingError(
            f"{folder} found no recognition point for {condition.label}: {found.point.reason}; name the layer "
            "with after"
        )
    return found.point.layer
