"""The settings of a `profile` run: those that its experiments share, and whatever else each of them is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskpoint.configuration import Configuration, Option, optional, setting
from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.experiments.assigned import assignments
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
        assignments,
        options={
            "set": Option(list[str] | None, "A setting of one experiment, such as lora.steps=200. May be repeated.")
        },
        read=lambda set: tuple(set or ()),
        words=lambda others: [word for each in others for word in ("--set", each)],
    )


SUBJECT, CONFIG = ModelAndTask, ProfileConfig
