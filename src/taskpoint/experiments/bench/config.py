"""The settings of a `bench` run, and what its folder says beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskpoint.configuration import Configuration, Option, optional, setting, unchecked
from taskpoint.errors import SettingError
from taskpoint.experiments.subjects import ModelOptions
from taskpoint.settings import each_from, from_to, shown, whole, wholes

if TYPE_CHECKING:
    from taskpoint.experiments.bench.subject import Subject

CONTEXTS = (128, 512, 2048)
"""Context lengths when the user names none; those that the model has positions for."""

MOST_PASSES = 1_000_000
"""Passes of one run at most: a small model on a quick machine takes a day for so many."""

_PART = re.compile(r"(\d{0,9})N(?:/([1-9]\d{0,8}))?", re.ASCII)


def cut_of(cut: int | str, layers: int) -> int:
    """The layer that a cut names in a model: the number itself, or a part of all N, rounded down."""
    if isinstance(cut, int):
        return cut
    form = _PART.fullmatch(cut)
    if form is None:
        raise SettingError(f"cuts names {shown(cut)}; expected layers, or parts of N, such as 4,N/2,3N/4,N")
    times, parts = form.groups()
    return int(times or 1) * layers // int(parts or 1)


def _cuts(name: str, value: Any) -> tuple[int | str, ...]:
    if isinstance(value, str) or not isinstance(value, tuple | list) or not any(isinstance(one, str) for one in value):
        return wholes(name, value, 0)
    for one in value:
        cut_of(one if isinstance(one, str) else whole(name, one, 0), 1)
    return tuple(value)


def _typed_cuts(cuts: str | None) -> tuple[int | str, ...] | None:
    if cuts is None:
        return None
    found = [part.strip() for part in cuts.split(",")]
    if not all(re.fullmatch(r"\d{1,9}", one, re.ASCII) or _PART.fullmatch(one) for one in found):
        raise SettingError(f"--cuts is {shown(cuts)}; expected layers, or parts of N, such as 4,N/2,3N/4,N")
    return tuple(dict.fromkeys(int(one) if one.isdigit() else one for one in found))


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        if not text.isascii():
            raise ValueError
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"{option} is {shown(text)}; expected numbers such as 128,512") from None


def _joined(option: str) -> Callable[[tuple[Any, ...]], list[str]]:
    return lambda values: [option, ",".join(map(str, values))]


@dataclass(frozen=True)
class BenchConfig(Configuration):
    """Everything that decides what is measured beside the model and the machine."""

    cuts: tuple[int | str, ...] | None = setting(
        None,
        "Layers, or parts of all N, such as 4,N/2,N. (default: N/4,N/2,3N/4,N)",
        optional(_cuts),
        options={"cuts": Option(str | None)},
        read=_typed_cuts,
        words=_joined("--cuts"),
    )
    context: tuple[int, ...] | None = setting(
        None,
        "Numbers of hidden tokens. (default: those of 128,512,2048 that fit)",
        optional(each_from(1)),
        options={"context": Option(str | None)},
        read=lambda context: None if context is None else _numbers("--context", context),
        words=_joined("--context"),
    )
    query: int = setting(32, "Kept tokens after them.", from_to(1))
    batch: tuple[int, ...] = setting(
        (1, 8),
        "Numbers of prompts.",
        each_from(1),
        options={"batch": Option(str, default="1,8")},
        read=lambda batch: _numbers("--batch", batch),
        words=_joined("--batch"),
    )
    new: int = setting(16, "Decoded tokens.", from_to(1))
    rounds: int = setting(5, "How often every competitor runs; a ratio is taken within each round.", from_to(1))


@dataclass(frozen=True)
class BenchFacts:
    """What else config.json says of a run, found and not asked for: which model, on which machine.

    Attributes:
        shape: its sizes (analysis.costs.shape.ModelShape), or why they are not known.
        machine: what of the machine decides times.
    """

    model: str
    revision: str | None
    family: str
    parameters: int
    dtype: str
    attention: str
    num_layers: int
    shape: dict[str, Any] | str
    machine: dict[str, str | int]


@dataclass(frozen=True)
class ModelOrShape(ModelOptions):
    """The options that name a model, or the shape of one."""

    shape: str | None = setting(
        None,
        "Instead of a model: random weights of this shape, llama:LAYERSxWIDTH[,heads=,kv=,mlp=,vocab=].",
        unchecked,
    )

    def load(self) -> Subject:
        """The model; errors as `taskpoint.load`."""
        from taskpoint.experiments.bench.subject import Subject
        from taskpoint.models.random_weights import random_decoder

        if self.shape is None:
            return Subject.of(self.load_model())
        if self.model is not None:
            raise SettingError(f"a model ({self.model}) and --shape {self.shape}; give one of the two")
        return Subject(random_decoder(self.shape, dtype=self.dtype, device=self.device), self.shape)


SUBJECT, CONFIG = ModelOrShape, BenchConfig
