"""A model or a task that a user gives: the thing itself, or its name, as on the command line."""

from __future__ import annotations

import os

from taskpoint.errors import SettingError
from taskpoint.models.loading import LanguageModel, load
from taskpoint.settings import shown
from taskpoint.tasks.base import Task
from taskpoint.tasks.registry import task as task_named


def model_of(given: object) -> LanguageModel:
    """The model; errors as `load`, and a SettingError for what is neither a model nor a name."""
    if isinstance(given, str | os.PathLike):
        return load(given)
    if not isinstance(given, LanguageModel):
        raise SettingError(f"lm is {shown(given)}; expected a model from taskpoint.load, or its name")
    return given


def task_of(given: object) -> Task:
    """The task; errors as `task`, and a SettingError for what is neither a task nor a name."""
    if isinstance(given, str):
        return task_named(given)
    if not isinstance(given, Task):
        raise SettingError(f"task is {shown(given)}; expected a task from taskpoint.task, or its name")
    return given
