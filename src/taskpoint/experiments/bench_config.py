"""What `bench` measures: a model, the settings, and everything else that decides the numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from taskpoint.analysis.shape import ModelShape
from taskpoint.errors import ModelError, SettingError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.library import attention_name
from taskpoint.models.loading import LanguageModel

CONTEXTS = (128, 512, 2048)
"""Context lengths when the user names none; those that the model has positions for."""


@dataclass(frozen=True)
class BenchConfig:
    """The settings of a run; everything that decides what is measured beside the model and the machine.

    Attributes:
        cuts: cuts to measure; None takes a quarter, half and three quarters of the layers, and all of them (N, where
            nothing is cut: what hooks and checks cost).
        context: numbers of hidden tokens; None takes those of `CONTEXTS` that fit.
        query: tokens after them, which are kept.
        batch: numbers of prompts in a batch.
        new: decoding steps.
        rounds: how often every competitor runs; a ratio is taken within each round.

    Raises:
        SettingError: a value is out of range.
    """

    cuts: tuple[int, ...] | None = None
    context: tuple[int, ...] | None = None
    query: int = 32
    batch: tuple[int, ...] = (1, 8)
    new: int = 16
    rounds: int = 5

    def __post_init__(self) -> None:
        for name in ("query", "new", "rounds"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name, least in (("cuts", 0), ("context", 1), ("batch", 1)):
            values = getattr(self, name)
            if values is not None and (not values or min(values) < least or len(set(values)) < len(values)):
                raise SettingError(
                    f"{name} is {','.join(map(str, values))!r}; expected one or more different numbers, each at least "
                    f"{least}"
                )


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to measure, and what it is called.

    Attributes:
        model: any transformers decoder.
        name: what results call it.
        revision: of a hub model.
    """

    model: PreTrainedModel
    name: str
    revision: str | None = None

    @classmethod
    def of(cls, model: LanguageModel | PreTrainedModel) -> Subject:
        """The subject that a model is; a folder is called by its own name: results do not tell where it lies."""
        if not isinstance(model, LanguageModel):
            return cls(model, type(model).__name__)
        folder = Path(model.name).expanduser()
        return cls(model.model, folder.name if folder.is_dir() else model.name, model.revision)

    @property
    def positions(self) -> int | None:
        """Largest number of tokens that the model was made for; None where its config names none."""
        found = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if found is None else int(found)


def fitted(subject: Subject, config: BenchConfig) -> BenchConfig:
    """The configuration with cuts and contexts that suit the model.

    Raises:
        SettingError: a cut that the model does not have, or more tokens than it has positions for.
    """
    layers, positions = anatomy(subject.model).num_layers, subject.positions
    cuts = config.cuts
    if cuts is None:
        cuts = tuple(sorted({max(1, layers // 4), max(1, layers // 2), max(1, 3 * layers // 4), layers}))
    elif max(cuts) > layers:
        raise SettingError(f"cuts names layer {max(cuts)}; expected numbers from 0 to {layers}, the model's layers")
    context = config.context
    if context is None:
        fits = (count for count in CONTEXTS if positions is None or count + config.query + config.new <= positions)
        context = tuple(fits) or CONTEXTS[:1]
    longest = max(context) + config.query + config.new
    if positions is not None and longest > positions:
        raise SettingError(
            f"{max(context)} context, {config.query} query and {config.new} new tokens are {longest}, but "
            f"{subject.name} has positions for {positions}; give a shorter --context"
        )
    return dataclasses.replace(config, cuts=tuple(sorted(cuts)), context=tuple(sorted(context)))


def manifest(subject: Subject, settings: BenchConfig) -> Mapping[str, object]:
    """Everything that decides the rows, as JSON values: the machine too, because ratios hold for one machine."""
    model: Any = subject.model
    try:
        shape: object = dataclasses.asdict(ModelShape.from_config(model.config))
    except ModelError as error:
        shape = str(error)  # the ideal is not known for this family; what is measured is
    plain: dict[str, object] = json.loads(
        json.dumps(
            {
                "model": subject.name,
                "revision": subject.revision,
                "family": str(model.config.get_text_config().model_type),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "dtype": str(model.dtype).removeprefix("torch."),
                "attention": str(attention_name(model.config)),
                "num_layers": anatomy(model).num_layers,
                "shape": shape,
                "machine": _machine(model.get_input_embeddings().weight.device),
                **dataclasses.asdict(settings),
            },
            default=sorted,
        )
    )
    return plain


def _machine(device: torch.device) -> Mapping[str, object]:
    """What of the machine decides times; nothing that says whose it is."""
    facts: dict[str, object] = {"device": device.type, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        facts["name"] = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        facts["name"] = torch.backends.cpu.get_cpu_capability()
    return facts
