"""Where the decoder layers of a transformers model are, and the few facts about families that cannot be detected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from taskpoint.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FamilyFacts:
    """What is known of a model family and cannot be seen from its modules.

    Attributes:
        layers: dotted path from the model to its list of decoder layers; None finds it.
        index_window: name of the config entry with the window, for families whose local layers measure distance by
            cache index instead of position, so that a hole in the kept tokens would stretch their window.
        index_window_types: name of the config entry that lists, by layer, "local" or "global".
        refused: why this family cannot be cut; None where it can.
    """

    layers: str | None = None
    index_window: str | None = None
    index_window_types: str | None = None
    refused: str | None = None


KNOWN_FAMILIES: Mapping[str, FamilyFacts] = MappingProxyType(
    {
        "gpt_neo": FamilyFacts(index_window="window_size", index_window_types="attention_layers"),
        "mpt": FamilyFacts(refused="its attention takes the last columns of its position bias by itself"),
    }
)
"""Model type -> facts. Families without a row are found automatically."""

# Layer types of transformers configs whose state has already read the tokens that a cut would take away.
_RECURRENT = ("linear_attention", "mamba", "mamba2", "recurrent", "conv", "rwkv", "hybrid")


@dataclass(frozen=True)
class Anatomy:
    """The parts of a decoder that the engine touches.

    Attributes:
        decoder: the module whose forward runs the layers one after the other.
        layers: its decoder layers, first to last.
        family: the model type of the config.
        facts: what is known of the family.
        config: the text config of the model.
    """

    decoder: nn.Module
    layers: nn.ModuleList
    family: str
    facts: FamilyFacts
    config: Any

    @property
    def num_layers(self) -> int:
        """Number of decoder layers, N."""
        return len(self.layers)

    def index_window(self, layer: int) -> int | None:
        """Window in tokens of a layer that measures distance by cache index; None for every other layer."""
        if self.facts.index_window is None or self.facts.index_window_types is None:
            return None
        local = getattr(self.config, self.facts.index_window_types)[layer] == "local"
        return int(getattr(self.config, self.facts.index_window)) if local else None


def anatomy(model: nn.Module) -> Anatomy:
    """Finds the decoder layers of a transformers causal language model.

    Args:
        model: any transformers decoder with a language-model head, also wrapped by peft.

    Returns:
        The decoder, its layers and the facts known of its family.

    Raises:
        ModelError: the model has no config, is an encoder or encoder-decoder, has recurrent or linear-attention
            layers, or its layers cannot be found.
    """
    config: Any = getattr(model, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise ModelError(f"{type(model).__name__} has no transformers config; pass a transformers decoder")
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{type(model).__name__} is an encoder-decoder; pass a decoder-only causal language model")
    text = config.get_text_config()
    family = str(getattr(text, "model_type", type(model).__name__))
    facts = KNOWN_FAMILIES.get(family, FamilyFacts())
    if facts.refused:
        raise ModelError(f"models of type {family!r} cannot be cut: {facts.refused}")
    kinds = {str(kind) for kind in getattr(text, "layer_types", None) or () if any(r in str(kind) for r in _RECURRENT)}
    if kinds:
        raise ModelError(
            f"models of type {family!r} have layers of type {', '.join(sorted(kinds))}: their state has already read "
            "the context, so it cannot be cut out of them; pass a model whose layers all attend"
        )
    decoder, layers = _find_layers(model, facts, getattr(text, "num_hidden_layers", None), family)
    return Anatomy(decoder, layers, family, facts, text)


def _find_layers(
    model: nn.Module, facts: FamilyFacts, count: int | None, family: str
) -> tuple[nn.Module, nn.ModuleList]:
    from torch import nn

    if facts.layers is not None:
        owner_path, _, name = facts.layers.rpartition(".")
        owner = model.get_submodule(owner_path)
        return owner, getattr(owner, name)
    for owner in model.modules():
        for child in owner.children():
            # Experts and adapters also come in module lists; only the layers attend, and there are `count` of them.
            if isinstance(child, nn.ModuleList) and len(child) == count and _attends(child):
                return owner, child
    raise ModelError(
        f"no list of {count} attending layers found in {type(model).__name__} (type {family!r}); "
        "pass a transformers decoder whose layers attend"
    )


def _attends(layers: nn.ModuleList) -> bool:
    return all(any("att" in name.lower() for name, _ in layer.named_children()) for layer in layers)
