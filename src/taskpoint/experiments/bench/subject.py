"""The model that `bench` measures, and everything beside the settings that decides the numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from taskpoint.analysis.shape import ModelShape
from taskpoint.errors import ModelError, SettingError
from taskpoint.experiments.bench.config import CONTEXTS, MOST_PASSES, BenchConfig
from taskpoint.models.anatomy import anatomy
from taskpoint.models.device import free_bytes
from taskpoint.models.library import attention_name
from taskpoint.models.loading import LanguageModel
from taskpoint.settings import shown


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to measure, and what it is called.

    Attributes:
        model: any transformers decoder, also one that peft wraps.
        name: what results call it.
        revision: of a hub model.
    """

    model: Any
    name: str
    revision: str | None = None

    @classmethod
    def of(cls, model: Any) -> Subject:
        """The subject that a model is; a folder is called by its own name: results do not tell where it lies."""
        if not isinstance(model, LanguageModel | torch.nn.Module):
            raise SettingError(f"model is {shown(model)}; expected a model from taskpoint.load or of transformers")
        if not isinstance(model, LanguageModel):  # also one that peft wraps
            return cls(model, type(model).__name__)
        folder = Path(model.name).expanduser()
        return cls(model.model, folder.name if folder.is_dir() else model.name, model.revision)


def fitted(subject: Subject, config: BenchConfig) -> BenchConfig:
    """The configuration with cuts and contexts that suit the model.

    Raises:
        SettingError: a cut that the model does not have, or more tokens than it has positions for.
    """
    parts = anatomy(subject.model)
    layers, positions = parts.num_layers, parts.max_positions
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
    settings = dataclasses.replace(config, cuts=tuple(sorted(cuts)), context=tuple(sorted(context)))
    _check_cost(subject, settings)
    return settings


def _check_cost(subject: Subject, settings: BenchConfig) -> None:
    """Refuses what would run for days or what no memory holds, before anything starts."""
    cells = len(settings.batch) * len(settings.context or ())
    passes = cells * (1 + len(settings.cuts or ())) * (settings.rounds + 2)
    if passes > MOST_PASSES:
        raise SettingError(
            f"{settings.rounds} rounds of {cells} batches and contexts under {len(settings.cuts or ())} cuts are "
            f"{shown(passes)} passes; expected at most {MOST_PASSES}: give fewer --rounds"
        )
    model: Any = subject.model
    weight = model.get_input_embeddings().weight
    tokens = max(settings.batch) * (max(settings.context or (0,)) + settings.query + settings.new)
    # At the least: the ids of the tokens, and one hidden state of each in one layer.
    needed, free = tokens * (8 + weight.shape[1] * weight.element_size()), free_bytes(weight.device)
    if needed > free:
        raise SettingError(
            f"a batch of {max(settings.batch)} with {tokens // max(settings.batch)} tokens each takes more than "
            f"{needed / 1e9:,.0f} GB, but {weight.device} has {free / 1e9:,.0f} GB free; give smaller --batch or "
            "--context"
        )


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
