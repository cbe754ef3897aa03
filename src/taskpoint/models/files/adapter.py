"""Reading an adapter that peft saved into a model's layers."""

from __future__ import annotations

import os.path
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from taskpoint.errors import ModelError
from taskpoint.models.files.reading import one_line

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_SHOWN = 3


def with_adapter(model: PreTrainedModel, name: str, adapter: str) -> PreTrainedModel:
    """The same model with the adapter in its layers, not merged: it computes what it computed when it was trained.

    Args:
        model: without adapters.
        name: what messages call it.
        adapter: the folder.

    Raises:
        ModelError: the folder holds no adapter, one that adds tokens, one of another model, or there is no peft.
    """
    folder = Path(os.path.expanduser(adapter))
    for file in (_CONFIG, _WEIGHTS):
        # os.path says False where Path raises an error, such as for a name that is too long.
        if not os.path.isfile(os.path.join(folder, file)):
            raise ModelError(
                f"{adapter} holds no adapter of peft (no {file}); give a folder that `taskpoint heal` left, or that a "
                "PeftModel was saved to with save_pretrained"
            )
    peft = _peft()
    try:
        config: Any = peft.PeftConfig.from_pretrained(str(folder))
        if config.is_prompt_learning:
            raise ModelError(
                f"the adapter in {adapter} puts tokens of its own before the prompt, which a cut does not know; give "
                "one that changes weights (LoRA, IA3, ...)"
            )
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            saved = set(file.keys())
        # What peft fills gaps with is random, and what it says of gaps is said below.
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            wrapped: Any = peft.PeftModel.from_pretrained(model, str(folder), config=config)
            used = set(peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(f"the adapter in {adapter} does not fit {name} ({one_line(error)})") from error
    different = sorted(saved ^ used)
    if different:
        more = ", ..." if len(different) > _SHOWN else ""
        raise ModelError(
            f"the adapter in {adapter} is not one of {name}: {', '.join(different[:_SHOWN])}{more} are only in one of "
            "the two; give the model that it was trained on"
        )
    return cast(PreTrainedModel, wrapped.get_base_model())


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ModelError(f"adapters need peft ({one_line(error)}): pip install 'taskpoint[lora]'") from error
    return peft
