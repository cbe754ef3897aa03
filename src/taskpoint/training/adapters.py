"""Adapters on the output projections of chosen layers, as peft makes them; they come off and leave the model as it was.

r rank, K width of what a projection takes, D width of the residual stream: A is [r, K], B is [D, r].
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from taskpoint.engine.calls.projections import output_projections
from taskpoint.errors import DataError, ModelError, SettingError
from taskpoint.models.heads import check_head
from taskpoint.models.library import Conv1D, base_of
from taskpoint.results.atomic import LEFTOVER, make_folder, sync_folder
from taskpoint.settings import shown, whole, wholes

if TYPE_CHECKING:
    from peft import PeftModel

_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class AdapterSettings:
    """What an adapter is: W becomes W + alpha / rank * B A (Hu et al. 2021, section 4.1).

    Attributes:
        rank: r.
        dropout: share of what A takes that is set to zero while it is trained.
        seed: of the first A; B begins at zero, so that an adapter changes nothing before it is trained.

    Raises:
        SettingError: a value out of its range.
    """

    rank: int = 8
    alpha: float = 32.0
    dropout: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        whole("rank", self.rank, 1)
        whole("seed", self.seed, 0)
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise SettingError(f"alpha is {shown(self.alpha)}; expected a number above 0")
        if not 0 <= self.dropout < 1:
            raise SettingError(f"dropout is {shown(self.dropout)}; expected a number from 0 to below 1")


@contextmanager
def adapted(model: nn.Module, layers: Iterable[int], settings: AdapterSettings) -> Iterator[PeftModel]:
    """Puts a new adapter on the output projection of some layers for the length of the block.

    Both the wrapper that is yielded and the model itself run with it; of all weights only the adapter's can be trained.
    Its dropout is off outside `dropping_out`.
    The first weights of a layer's adapter follow from the seed and the layer alone, whichever others have one.

    Args:
        model: a transformers decoder with a language-model head, without adapters.
        layers: by number, the first layer is 0.
        settings: rank, alpha, dropout, seed.

    Raises:
        SettingError: a layer that the model does not have.
        ModelError: a layer without an output projection, one that peft cannot adapt, adapters on the model already, or
            no peft.
    """
    peft = _peft()
    check_free_of_adapters(model)
    check_head(model)
    projections = output_projections(model)
    chosen = sorted(wholes("layers", layers, 0, len(projections) - 1))
    names = [projections[layer].name for layer in chosen]
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=names,
        fan_in_fan_out=isinstance(projections[chosen[0]].module, Conv1D),
    )
    with _put_back(model):
        try:
            with torch.random.fork_rng():  # peft draws weights of its own, which stay for no one
                wrapped: PeftModel = peft.get_peft_model(model, config)
        except ValueError as error:
            raise ModelError(f"peft cannot adapt {names[0]!r}: {_first_line(error)}") from error
        found = _adapters(wrapped)
        if sorted(found) != sorted(names):
            raise ModelError(
                f"peft put adapters on {', '.join(sorted(found)) or 'no module'}; expected exactly {', '.join(names)}: "
                "pass a model whose modules have names of their own"
            )
        for layer, name in zip(chosen, names, strict=True):
            _draw(found[name], settings.seed, layer)
        _evaluating(wrapped)
        yield wrapped


@contextmanager
def adapted_from(model: nn.Module, folder: Path) -> Iterator[PeftModel]:
    """Puts the adapter that a folder holds on the model for the length of the block; it is not trained further.

    Raises:
        DataError: the folder holds no adapter that fits the model.
        ModelError: adapters on the model already, or no peft.
    """
    peft = _peft()
    check_free_of_adapters(model)
    if not (folder / _CONFIG).is_file():  # peft would look for it on the hub
        raise DataError(f"{folder} holds no adapter ({_CONFIG}); give a folder in which peft saved one")
    with _put_back(model):
        try:
            with torch.random.fork_rng():
                wrapped: PeftModel = peft.PeftModel.from_pretrained(model, str(folder))
        except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
            raise DataError(f"the adapter in {folder} does not fit the model: {_first_line(error)}") from error
        _evaluating(wrapped)
        yield wrapped


def save_adapter(wrapped: PeftModel, folder: Path) -> None:
    """Writes the adapter as peft does, so that the folder is there as a whole or not at all.

    `peft.PeftModel.from_pretrained(model, folder)` opens it. An adapter that stands there is written over.

    Raises:
        OSError: the disk is full, ...
    """
    make_folder(folder.parent)
    draft = folder.with_name(f".{folder.name}{LEFTOVER}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        wrapped.save_pretrained(str(draft), save_embedding_layers=False)  # "auto" would ask the hub
        sync_folder(draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    sync_folder(folder.parent)


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The weights of the adapters, layer by layer: the only ones that can be trained."""
    return [weight for weight in model.parameters() if weight.requires_grad]


@contextmanager
def dropping_out(model: nn.Module) -> Iterator[None]:
    """Dropout of the adapters on, and only theirs, for the length of the block."""
    modules = [each for adapter in _adapters(model).values() for each in adapter.lora_dropout.modules()]
    before = [module.training for module in modules]
    for module in modules:
        module.training = True
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


def check_free_of_adapters(model: nn.Module) -> None:
    """Refuses, by a ModelError, a model that peft has put adapters on."""
    if getattr(model, "peft_config", None):
        raise ModelError(
            "this model carries adapters of peft already; merge them into its weights first (merge_and_unload), or "
            "pass the model without them"
        )


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ModelError(f"adapters need peft ({_first_line(error)}): pip install 'taskpoint[lora]'") from error
    return peft


def _adapters(model: nn.Module) -> dict[str, Any]:
    """The modules that carry an adapter, by their names in the model inside peft's wrapper."""
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in base_of(model).named_modules() if isinstance(module, LoraLayer)}


def _evaluating(model: nn.Module) -> None:
    """New modules begin in training mode, which would drop out beside a model that does not."""
    for adapter in _adapters(model).values():
        adapter.eval()


@torch.no_grad()
def _draw(adapter: Any, seed: int, layer: int) -> None:
    """Draws A as peft does (uniform, after He et al. 2015), from the seed and the layer."""
    (name,) = adapter.lora_A
    weight: Tensor = adapter.lora_A[name].weight
    own = torch.Generator().manual_seed(int(np.random.SeedSequence((seed, layer)).generate_state(1, np.uint64)[0] >> 1))
    drawn = nn.init.kaiming_uniform_(torch.empty(weight.shape), a=math.sqrt(5), generator=own)
    weight.copy_(drawn)
    adapter.lora_B[name].weight.zero_()


@contextmanager
def _put_back(model: nn.Module) -> Iterator[None]:
    """Every attribute, part and hook of every module, and what may be trained, is put back at the end of the block."""
    modules = [(module, dict(vars(module))) for module in model.modules()]
    inside = [(held, dict(held)) for _, own in modules for held in own.values() if isinstance(held, dict)]
    weights = [(weight, weight.requires_grad, weight.grad) for weight in model.parameters()]
    config: Any = getattr(model, "config", None)
    told = None if config is None else dict(vars(config))  # peft sets pretraining_tp
    try:
        yield
    finally:
        for module, own in modules:
            _refill(vars(module), own)
        for held, before in inside:
            _refill(held, before)
        if told is not None:
            _refill(vars(config), told)
        for weight, requires_grad, grad in weights:
            weight.requires_grad_(requires_grad)
            weight.grad = grad


def _refill(held: dict[Any, Any], before: dict[Any, Any]) -> None:
    if held.keys() != before.keys() or any(held[key] is not before[key] for key in before):
        held.clear()
        held.update(before)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
