"""The settings of a `lora` run, and what its folder says beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from taskpoint.configuration import Configuration, Option, optional, setting, unchecked
from taskpoint.errors import SettingError
from taskpoint.experiments.subjects import ModelAndTask
from taskpoint.settings import each_from, flag, from_to, keep, number, number_above, number_from, shown, text

if TYPE_CHECKING:
    from taskpoint.experiments.subjects import Asked

MOST_SEEDS = 1_000
"""Repetitions at most: each trains an adapter for every layer and size again."""

_MOST_STEPS = 1_000_000

# Beyond what anybody trains with, and within what single precision can hold.
_MOST_ALPHA, _MOST_RATE = 1e30, 1e6


class Variant(StrEnum):
    """Whose settings are taken where none are given."""

    equal = "equal"
    v1 = "v1"
    neurips = "neurips"
    released = "released"


class Loss(StrEnum):
    """Which tokens of a training sequence are taught."""

    answer = "answer"
    sequence = "sequence"


class Adapters(StrEnum):
    """Whether the adapters stay in the run folder."""

    keep = "keep"
    drop = "drop"


# Sia, Mueller and Duh 2024, LoRA on one layer: arXiv v1, the NeurIPS version, and the released script, which leaves the
# number of epochs to its library: 75 steps for 800 pairs, 39 for 400. `equal` makes the number of steps the same for
# every size, so few of them that they have to be larger. What a version does not say is as in the NeurIPS version.
_NEURIPS: Mapping[str, Any] = MappingProxyType(
    {
        "sizes": (400, 800),
        "rank": 8,
        "alpha": 32.0,
        "dropout": 0.05,
        "lr": 1e-4,
        "loss": Loss.answer,
        "steps": None,
        "epochs": 50,
        "patience": 5,
        "threshold": 0.01,
    }
)
_OF: Mapping[Variant, Mapping[str, Any]] = MappingProxyType(
    {
        Variant.equal: {**_NEURIPS, "lr": 1e-3, "steps": 75, "epochs": None, "patience": 0},
        Variant.v1: {**_NEURIPS, "sizes": (800,), "rank": 32, "dropout": 0.1, "threshold": 0.001},
        Variant.neurips: _NEURIPS,
        Variant.released: {**_NEURIPS, "loss": Loss.sequence, "epochs": 3, "patience": 0},
    }
)

E = TypeVar("E", bound=StrEnum)


def _one_of(kind: type[E]) -> Callable[[str, Any], E]:
    def check(name: str, value: Any) -> E:
        try:
            return kind(value)
        except ValueError:
            raise SettingError(f"{name} is {shown(value)}; expected {', '.join(kind)}") from None

    return check


def _below_one(name: str, value: Any) -> float:
    found = number(name, value, 0.0, 1.0)
    if found == 1:
        raise SettingError(f"{name} is {shown(value)}; expected a number from 0 to below 1")
    return found


def _typed_numbers(option: str) -> Callable[..., tuple[int, ...] | None]:
    def read(**typed: str | None) -> tuple[int, ...] | None:
        (value,) = typed.values()
        if value is None:
            return None
        try:
            if not value.isascii():
                raise ValueError
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            raise SettingError(f"{option} is {shown(value)}; expected numbers such as 0,4,8") from None

    return read


def _numbers(name: str, help: str, least: int) -> Any:
    """A setting of several numbers, typed with commas between them."""
    option = f"--{name}"
    return setting(
        None,
        help,
        optional(each_from(least)),
        options={name: Option(str | None)},
        read=_typed_numbers(option),
        words=lambda values: [] if values is None else [option, ",".join(map(str, values))],
    )


@dataclass(frozen=True)
class LoraConfig(Configuration):
    """Everything that decides the rows of a run beside model and task; what is None is the variant's."""

    variant: Variant = setting(  # noqa: RUF009  # no enum is ever changed
        Variant.equal,
        "Where a setting is not given: that of paper A (v1, neurips, released), or equal steps for every size.",
        _one_of(Variant),
    )
    layers: tuple[int, ...] | None = _numbers("layers", "Layers to adapt in turn, such as 0,4,8. (default: each)", 0)
    sizes: tuple[int, ...] | None = _numbers(
        "sizes", "Numbers of training pairs, such as 400,800. (default: the variant's, or half and all there are)", 1
    )
    seeds: int = setting(2, "Repetitions: first weights, order of the pairs, dropout.", from_to(1, MOST_SEEDS))
    items: int = setting(100, "Test items at most; none of them is trained on.", from_to(1))
    template: str | None = setting(None, "Prompt template. (default: the task's)", optional(text))
    test_shots: int = setting(0, "Examples in the test prompts; training prompts have none.", from_to(0))
    instruction: bool = setting(False, "An instruction in the test prompts.", flag)
    rank: int = setting(None, "Rank of the adapters. (default: 8; v1: 32)", optional(from_to(1)))
    alpha: float = setting(None, "Their scale: alpha / rank. (default: 32)", optional(number_above(0.0, _MOST_ALPHA)))
    dropout: float = setting(None, "Their dropout. (default: 0.05; v1: 0.1)", optional(_below_one))
    loss: Loss = setting(  # noqa: RUF009
        None,
        "Tokens that are taught: answer, or all of the sequence. (default: answer; released: sequence)",
        optional(_one_of(Loss)),
    )
    steps: int | None = setting(
        None,
        "Training steps, whatever the size. (default: 75; of the paper's, epochs)",
        optional(from_to(1, _MOST_STEPS)),
    )
    epochs: int | None = setting(
        None,
        "Passes over the training pairs instead, at most. (default: 50; released: 3)",
        optional(from_to(1, _MOST_STEPS)),
    )
    batch: int = setting(32, "Training pairs in a step.", from_to(1))
    lr: float = setting(
        None,
        "Learning rate at first; it falls to zero in a straight line. (default: 1e-3; of the paper's, 1e-4)",
        optional(number_above(0.0, _MOST_RATE)),
    )
    patience: int = setting(
        None,
        "Checks without progress after which training stops; 0 never stops. (default: 0; v1, neurips: 5)",
        optional(from_to(0)),
    )
    threshold: float = setting(
        None,
        "Progress: how far the loss must fall. (default: 0.01; v1: 0.001)",
        optional(number_from(0.0)),
    )
    check_every: int = setting(25, "Steps between checks.", from_to(1))
    dev: int = setting(200, "Further training pairs for the checks, at most.", from_to(1))
    adapters: Adapters = setting(  # noqa: RUF009
        Adapters.keep, "Whether the adapters stay in the run folder.", _one_of(Adapters)
    )
    memory: int = setting(
        4096, "MiB of hidden states to keep below a trained layer; others are computed anew.", from_to(0)
    )
    batch_size: int = setting(64, "Items answered at once.", from_to(1))
    max_new_tokens: int | None = setting(None, "Longest answer. (default: by the references)", optional(from_to(1)))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.epochs is not None:
            raise SettingError(f"steps is {self.steps} and epochs is {self.epochs}; give one of the two")
        own = dict(_OF[self.variant])
        del own["sizes"]  # they depend on how many pairs there are
        if self.steps is not None or self.epochs is not None:
            del own["steps"], own["epochs"]
        keep(self, **{name: value for name, value in own.items() if getattr(self, name) is None})

    @property
    def most_pairs(self) -> int:
        """Pairs to train on that are wanted, those of the checks left out."""
        wanted: tuple[int, ...] = self.sizes or _OF[self.variant]["sizes"]
        return max(wanted)

    def fitting_sizes(self, known: int) -> tuple[int, ...]:
        """The numbers of pairs to train on, ascending, where so many are known; some are left for checks."""
        if self.sizes is not None:
            return tuple(sorted(self.sizes))
        wanted: tuple[int, ...] = _OF[self.variant]["sizes"]
        if max(wanted) + (1 if self.patience else 0) <= known:
            return wanted
        every = known - (known // 5 if self.patience else 0)
        return tuple(sorted({max(1, every // 2), every}))


@dataclass(frozen=True)
class LoraFacts:
    """What else config.json says of a run, found and not asked for: which model, which task.

    Attributes:
        pairs: pairs that there were to train on and for checks, at most as many as were wanted.
        metric: what scores measure, in words.
        metric_name: the metric that was asked for in place of the task's own; None for its own.
        metric_signature: signature of a score that has one.
    """

    model: str
    revision: str | None
    dtype: str
    attention: str
    num_layers: int
    task: str
    task_sha256: str
    pairs: int
    metric: str
    metric_name: str | None = None
    metric_signature: str | None = None


DEFAULT_TASK = "lexicon:english-french"
"""What is taught where nothing is named: the bundled model does not know it without examples, unlike all it learnt."""


@dataclass(frozen=True)
class ModelAndUnknownTask(ModelAndTask):
    """As `ModelAndTask`, with a task that the bundled model cannot know from a prompt without examples."""

    task: str | None = setting(
        None, f"Task; `taskpoint tasks` lists them. (default: {DEFAULT_TASK}, or what the model learnt)", unchecked
    )

    def load(self) -> Asked:
        """The model and the task; errors as `taskpoint.load` and `taskpoint.task`."""
        if self.task is None and self.model is None:
            return replace(self, task=DEFAULT_TASK).load()
        return super().load()


SUBJECT, CONFIG = ModelAndUnknownTask, LoraConfig
