"""Settings of single experiments where several run together, as people type them: KIND.SETTING=VALUE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from taskpoint.configuration import Configuration, settings_of
from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.settings import shown


def assignments(name: str, value: Any) -> tuple[str, ...]:
    """The check of a setting that holds some of them.

    Raises:
        SettingError: one of another form; an UnknownNameError for an experiment that there is not.
    """
    found = (value,) if isinstance(value, str) else tuple(value)
    for each in found:
        kind, point, rest = str(each).partition(".")
        if not point or "=" not in rest:
            raise SettingError(f"{name} is {shown(each)}; expected KIND.SETTING=VALUE, such as lora.steps=200")
        if kind not in EXPERIMENTS:
            raise UnknownNameError("experiment", kind, EXPERIMENTS)
    return found


def assigned(kind: str, given: Iterable[str], known: type[Configuration]) -> dict[str, Any]:
    """What one experiment is told, by name of its setting.

    Raises:
        SettingError: it has no such setting, or the value cannot be read.
    """
    found = {}
    for each in given:
        own, _, rest = each.partition(".")
        if own != kind:
            continue
        name, _, value = rest.partition("=")
        name = name.strip().replace("-", "_")
        if name not in settings_of(known):
            raise SettingError(f"{kind} has no setting {shown(name)}; expected one of {', '.join(settings_of(known))}")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SettingError(f"{name} is {shown(value)}, which cannot be read; expected a number or a text") from None
        found[name] = tuple(read) if isinstance(read, list) else read
    return found
