"""The settings of a `heads` run, and what its folder says beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from taskpoint.configuration import Configuration, optional, setting
from taskpoint.errors import SettingError
from taskpoint.experiments.subjects import ModelAndTask
from taskpoint.settings import each_from, flag, from_to, number, number_above, number_from, shown, text

MOST_SEEDS = 1_000
"""Trainings at most for each penalty and number of training shots."""

_MOST = 1e6


def _penalties(name: str, values: Any) -> tuple[float, ...]:
    several = isinstance(values, Iterable) and not isinstance(values, str | bytes) and bool(getattr(values, "ndim", 1))
    found = tuple(number(name, value, 0.0, _MOST) for value in (values if several else (values,)))
    if not found or len(set(found)) < len(found):
        raise SettingError(f"{name} is {shown(','.join(f'{each:g}' for each in found))}; expected different numbers")
    return found


@dataclass(frozen=True)
class HeadsConfig(Configuration):
    """Everything that decides the rows of a run beside model and task."""

    penalty: tuple[float, ...] = setting(
        (0.01,), "Nats per answer token that a head must be worth to stay: the lambda of the loss.", _penalties
    )
    train_shots: tuple[int, ...] = setting((0, 5), "Examples in the prompts that gates are trained on.", each_from(0))
    shots: tuple[int, ...] = setting((0, 5), "Examples in the test prompts.", each_from(0))
    seeds: int = setting(3, "Trainings, each with its own noise and draw of examples.", from_to(1, MOST_SEEDS))
    items: int = setting(200, "Test items at most.", from_to(1))
    train_items: int = setting(320, "Training items at most; a tenth is held out to say when to stop.", from_to(2))
    epochs: int = setting(40, "Passes over the training items at most.", from_to(1))
    patience: int = setting(10, "Epochs without a loss better by a hundredth after which training ends.", from_to(1))
    lr: float = setting(0.1, "Step of Adam.", number_above(0.0, _MOST))
    temperature: float = setting(
        2 / 3, "Temperature of the hard concrete distribution; Voita et al. take 0.33.", number_above(0.0, _MOST)
    )
    threshold: float = setting(0.5, "A gate up to here counts as closed.", number_from(0.0, 1.0))
    random: int = setting(
        5, "Random masks, with as many heads closed, to hold each trained one against.", from_to(0, 100)
    )
    batch_size: int = setting(32, "Prompts computed at once, and in one step of training.", from_to(1))
    instruction: bool = setting(True, "Whether prompts have an instruction.", flag)
    template: str | None = setting(None, "Prompt template. (default: the task's)", optional(text))
    max_new_tokens: int | None = setting(None, "Longest answer. (default: by the references)", optional(from_to(1)))


@dataclass(frozen=True)
class HeadsFacts:
    """What else config.json says of a run, found and not asked for: which model, which task.

    Attributes:
        family: type of the model.
        metric: what scores measure, in words.
        metric_name: the metric that was asked for in place of the task's own; None for its own.
        metric_signature: signature of a score that has one.
        training: number of training items, those that are held out included.
    """

    model: str
    revision: str | None
    dtype: str
    attention: str
    family: str
    num_layers: int
    num_heads: int
    task: str
    task_sha256: str
    metric: str
    training: int
    metric_name: str | None = None
    metric_signature: str | None = None


SUBJECT, CONFIG = ModelAndTask, HeadsConfig
