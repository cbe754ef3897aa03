"""Settings of single experiments where several run together, as people type them: KIND.SETTING=VALUE.

A value is read as JSON (`200`, `3e-3`, `[400, 800]`, `false`, `null`); what is none is a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskpoint.configuration import Configuration, settings_of
from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.settings import shown
from taskpoint.strict_json import parse


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
        SettingError: it has no such setting.
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
        found[name] = _read(value)
    return found


def _read(value: str) -> Any:
    try:
        read = parse(value)
    except ValueError:
        return value.strip()
    return tuple(read) if isinstance(read, list) else read
