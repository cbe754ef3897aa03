"""Whether a model object has a language-model head; one that has none gives no logits to compare, sweep or decode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from taskpoint.errors import ModelError
from taskpoint.models.kinds import attends_both_ways, class_for, family_of, other_head
from taskpoint.models.library import accepts, base_of

if TYPE_CHECKING:
    from torch import nn


class HeadKind(Enum):
    """What stands on top of a model's layers."""

    LANGUAGE_MODEL = "language model"
    NONE = "none"
    OTHER = "other"


@dataclass(frozen=True)
class Head:
    """What stands on top of a model's layers.

    Attributes:
        kind: LANGUAGE_MODEL gives the logits of next tokens; NONE is a decoder that gives its hidden states; OTHER is
            every other model.
        refusal: one line that says what was found and what to pass instead; empty for a language-model head.
    """

    kind: HeadKind
    refusal: str = ""


def head_of(model: nn.Module) -> Head:
    """What stands on top of the model's layers, found by looking at the object; nothing is run."""
    base: Any = base_of(model)
    name, config = type(base).__name__, getattr(base, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        return Head(HeadKind.OTHER, f"{name} has no transformers config; pass a transformers decoder")
    instead = class_for(config) or "one that has it, as AutoModelForCausalLM and AutoModelForImageTextToText load them"
    both_ways = attends_both_ways(config)
    if both_ways is not None:
        return Head(HeadKind.OTHER, f"{name} is {both_ways}; pass a decoder-only causal language model")
    gives = next((told for kind in type(base).__mro__ if (told := other_head(kind.__name__))), None)
    if gives is not None:
        refusal = f"the head of {name} gives {gives}, not the logits of next tokens; pass {instead}"
        return Head(HeadKind.OTHER, refusal)
    if any(_writes(module) for module in base.modules()) or (_reads(base) and _has_vocabulary(base, config)):
        return Head(HeadKind.LANGUAGE_MODEL)
    if _is_decoder(base):
        return Head(HeadKind.NONE, f"{name} is a decoder without its language-model head; pass {instead}")
    refusal = f"{name} (type {family_of(config)!r}) has no language-model head; pass {instead}"
    return Head(HeadKind.OTHER, refusal)


def check_head(model: nn.Module, *, headless: bool = False) -> None:
    """Refuses models that have no language-model head; `headless` lets a decoder without any head pass.

    Raises:
        ModelError: what was found, and what to pass instead.
    """
    head = head_of(model)
    if head.kind is HeadKind.OTHER or (head.kind is HeadKind.NONE and not headless):
        raise ModelError(head.refusal)


def _writes(module: Any) -> bool:
    """Whether the library itself takes a module for one that writes text."""
    from transformers import GenerationMixin, PreTrainedModel

    if isinstance(module, GenerationMixin):
        return True
    return isinstance(module, PreTrainedModel) and _reads(module) and module.get_output_embeddings() is not None


def _reads(model: Any) -> bool:
    """Whether its main input is text; speech models have heads too, over letters."""
    return getattr(model, "main_input_name", "input_ids") == "input_ids"


def _has_vocabulary(model: nn.Module, config: Any) -> bool:
    """Whether a part right below the model gives one number for every token of the vocabulary."""
    from torch import nn

    size = getattr(config.get_text_config(), "vocab_size", None)
    return any(isinstance(part, nn.Linear) and part.out_features == size for part in model.children())


def _is_decoder(model: Any) -> bool:
    """Whether it is the body of a model, with nothing on top, and it or a part of it keeps a cache."""
    if getattr(model, "base_model", model) is not model:
        return False
    return any(accepts(module, "use_cache") for module in model.modules())
