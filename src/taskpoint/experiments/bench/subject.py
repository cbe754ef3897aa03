"""The model that `bench` measures, and what beside the settings decides the numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.errors import ModelError, SettingError
from taskpoint.models.anatomy import anatomy
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
        """A model with its name; that of a folder is its last part, for results do not tell where it lies."""
        if not isinstance(model, LanguageModel | torch.nn.Module):
            raise SettingError(f"model is {shown(model)}; expected a model from taskpoint.load or of transformers")
        if not isinstance(model, LanguageModel):  # also one that peft wraps
            return cls(model, type(model).__name__)
        folder = Path(model.name).expanduser()
        return cls(model.model, folder.name if folder.is_dir() else model.name, model.revision)


def facts(subject: Subject) -> Mapping[str, object]:
    """What beside the settings decides the rows: the machine too, because ratios hold for one machine."""
    model: Any = subject.model
    try:
        shape: object = dataclasses.asdict(ModelShape.from_config(model.config))
    except ModelError as error:
        shape = str(error)  # the ideal is not known for this family; what is measured is
    return {
        "model": subject.name,
        "revision": subject.revision,
        "family": str(model.config.get_text_config().model_type),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(attention_name(model.config)),
        "num_layers": anatomy(model).num_layers,
        "shape": shape,
        "machine": _machine(model.get_input_embeddings().weight.device),
    }


def _machine(device: torch.device) -> Mapping[str, object]:
    """What of the machine decides times; nothing that says whose it is."""
    facts: dict[str, object] = {"device": device.type, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        facts["name"] = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        facts["name"] = torch.backends.cpu.get_cpu_capability()
    return facts
