"""The settings of a `profile` run: those that its experiments share, and whatever else each of them is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from taskpoint.configuration import Configuration, Option, optional, setting
from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.experiments.subjects import ModelAndTask
from taskpoint.settings import flag, from_to, shown, text

KINDS = ("locate", "ablate", "heads", "lora")
"""The experiments that say something of every layer, in the order in which a report shows them."""


def _kinds(name: str, value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else tuple(value)
    for kind in found:
        if kind not in KINDS:
            raise UnknownNameError("experiment of a profile", str(kind), KINDS)
    if len(set(found)) < max(2, len(found)):
        raise SettingError(f"{name} are {shown(','.join(found))}; expected two or more different experiments")
    return tuple(kind for kind in KINDS if kind in found)


def _assignments(name: str, value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else tuple(value)
    for each in found:
        kind, point, rest = str(each).partition(".")
        if kind not in KINDS or not point or "=" not in rest:
            raise SettingError(
                f"{name} is {shown(each)}; expected KIND.SETTING=VALUE, such as lora.steps=200, for "
                f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
            )
    return found


@dataclass(frozen=True)
class ProfileConfig(Configuration):
    """What decides the runs of a profile beside model and task."""

    kinds: tuple[str, ...] = setting(KINDS, "Experiments to hold against each other.", _kinds)
    shots: int = setting(5, "Examples in the prompt.", from_to(1))
    seeds: int = setting(3, "Draws of examples, and of adapters and gates.", from_to(1))
    items: int = setting(200, "Test items at most.", from_to(1))
    instruction: bool = setting(False, "An instruction in the prompt.", flag)
    template: str | None = setting(None, "Prompt template. (default: the task's)", optional(text))
    batch_size: int = setting(64, "Items computed, and written, at once.", from_to(1))
    others: tuple[str, ...] = setting(
        (),
        "A setting of one experiment, such as lora.steps=200.",
        _assignments,
        options={
            "set": Option(list[str] | None, "A setting of one experiment, such as lora.steps=200. May be repeated.")
        },
        read=lambda set: tuple(set or ()),
        words=lambda others: [word for each in others for word in ("--set", each)],
    )

    def given(self, kind: str) -> dict[str, Any]:
        """What one experiment is told beside what all of them share, by name of the setting.

        Raises:
            SettingError: a value that cannot be read.
        """
        return dict(_values(each.partition(".")[2] for each in self.others if each.partition(".")[0] == kind))


def _values(assignments: Iterable[str]) -> Iterable[tuple[str, Any]]:
    for each in assignments:
        name, _, value = each.partition("=")
        try:
            found = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SettingError(f"{name} is {shown(value)}, which cannot be read; expected a number or a text") from None
        yield name.strip().replace("-", "_"), tuple(found) if isinstance(found, list) else found


SUBJECT, CONFIG = ModelAndTask, ProfileConfig
