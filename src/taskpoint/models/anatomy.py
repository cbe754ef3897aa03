"""Where the decoder layers of a transformers model are, and which models have none that can be cut."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskpoint.errors import ModelError
from taskpoint.models.families import KNOWN_FAMILIES, FamilyFacts
from taskpoint.models.kinds import attends_both_ways
from taskpoint.models.library import base_of, parameters, saying_versions
from taskpoint.models.wrapping import check_wrapping, modules_down_to

if TYPE_CHECKING:
    from torch import nn

# Layer types of transformers configs whose keys are those of single tokens, and which a mask hides: all that a cut
# needs. The names of what a layer's MLP is stand in the same lists in some families.
_ATTENDING = {"full_attention", "sliding_attention", "chunked_attention", "dense", "sparse"}

# What configs call the number of positions (the library's usual name stands for n_positions and the like).
_MAX_POSITIONS = ("max_position_embeddings", "max_seq_len", "max_target_positions", "max_sequence_length")

# Layer types whose state has already read the tokens that a cut would take away.
_RECURRENT = ("linear_attention", "mamba", "recurrent", "conv", "rwkv", "hybrid")


@dataclass(frozen=True)
class Anatomy:
    """The parts of a decoder that the engine touches.

    Attributes:
        decoder: the module that is given the tokens and whose forward runs the layers, one after the other.
        config: the text config of the model.
    """

    decoder: nn.Module
    layers: nn.ModuleList | nn.Sequential
    family: str
    facts: FamilyFacts
    config: Any

    @property
    def num_layers(self) -> int:
        """Number of decoder layers, N."""
        return len(self.layers)

    @property
    def vocabulary(self) -> int | None:
        """Number of tokens that have an embedding; None where the decoder does not show it."""
        embeddings: Any = getattr(self.decoder, "get_input_embeddings", lambda: None)()
        weight = getattr(embeddings, "weight", None)
        return None if weight is None else int(weight.shape[0])

    @property
    def max_positions(self) -> int | None:
        """As `max_positions`."""
        return max_positions(self.config)

    @property
    def rows_share_bias(self) -> bool:
        """Whether layers get one bias on key positions for all rows (MPT): then rows must keep the same columns."""
        return self.layers_take("position_bias")

    def layers_take(self, argument: str) -> bool:
        """Whether the layers' forward has an argument of that name."""
        return argument in parameters(type(self.layers[0]).forward)

    def index_window(self, layer: int) -> int | None:
        """Window in tokens of a layer that measures distance by cache index; None for every other layer."""
        facts = self.facts
        if facts.index_window is None:
            return None
        kinds = getattr(self.config, facts.index_window_types) if facts.index_window_types is not None else None
        return int(getattr(self.config, facts.index_window)) if kinds is None or kinds[layer] == "local" else None


def max_positions(config: Any) -> int | None:
    """Largest number of tokens that a model of this text config was made for; None where the config names none."""
    found = (getattr(config, name, None) for name in _MAX_POSITIONS)
    return next((value for value in found if isinstance(value, int) and value > 0), None)


def anatomy(model: nn.Module) -> Anatomy:
    """Finds the decoder layers of a transformers causal language model, also of one that peft wraps.

    Raises:
        ModelError: the model has no config, is an encoder or encoder-decoder, its layers are not found, keep another
            state than the keys of single tokens, or attend to later tokens.
    """
    with saying_versions():
        return _anatomy(model)


def _anatomy(model: nn.Module) -> Anatomy:
    config: Any = getattr(model, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise ModelError(f"{type(model).__name__} has no transformers config; pass a transformers decoder")
    both_ways = attends_both_ways(config)
    if both_ways is not None:
        raise ModelError(f"{type(model).__name__} is {both_ways}; pass a decoder-only causal language model")
    text = config.get_text_config()
    family = str(getattr(text, "model_type", type(model).__name__))
    facts = KNOWN_FAMILIES.get(family, FamilyFacts())
    _check_config(text, family, facts)
    owner, layers = _find_layers(model, facts, getattr(text, "num_hidden_layers", None), family)
    _check_layer(layers[0], family)
    decoder = _given_tokens(model, owner, family)
    check_wrapping(model, decoder, layers)
    return Anatomy(decoder, layers, family, facts, text)


def _check_config(config: Any, family: str, facts: FamilyFacts) -> None:
    """Refuses what the config says of the layers and a cut cannot do."""
    kinds = {str(kind) for kind in getattr(config, "layer_types", None) or ()} - _ATTENDING
    recurrent = sorted(kind for kind in kinds if any(part in kind for part in _RECURRENT))
    if recurrent:
        raise ModelError(
            f"models of type {family!r} have layers of type {', '.join(recurrent)}: their state has already read the "
            "context, so it cannot be cut out of them; pass a model whose layers all attend"
        )
    if kinds:
        raise ModelError(
            f"models of type {family!r} have layers of type {', '.join(sorted(kinds))}, which may choose among keys or "
            "merge them, so context cannot be cut out of them; pass a model whose layers are full_attention or "
            "sliding_attention"
        )
    for entry in (facts.index_window, facts.index_window_types):
        if entry is not None and not hasattr(config, entry):
            raise ModelError(
                f"the config of type {family!r} has no entry {entry!r}, where register_family says its window is"
            )
    if getattr(config, "num_kv_shared_layers", None):
        raise ModelError(
            f"models of type {family!r} share keys between layers (num_kv_shared_layers="
            f"{config.num_kv_shared_layers}): layers above a cut would read keys from below it; pass a model whose "
            "layers have keys of their own"
        )
    if (states := getattr(config, "altup_num_inputs", 1) or 1) > 1:
        raise ModelError(
            f"models of type {family!r} keep {states} states of every token between layers (altup_num_inputs), of "
            "which a cut knows one; pass a model with one hidden state a token"
        )
    # "vision" is both ways among the tokens of one image alone.
    if getattr(config, "use_bidirectional_attention", None) in (True, "all"):
        raise ModelError(
            f"this model of type {family!r} attends to later tokens too (use_bidirectional_attention); pass a causal "
            "language model"
        )


def _find_layers(
    model: nn.Module, facts: FamilyFacts, count: int | None, family: str
) -> tuple[nn.Module, nn.ModuleList | nn.Sequential]:
    from torch import nn

    if count == 0:
        raise ModelError(
            f"the config of {type(model).__name__} (type {family!r}) names no layers (num_hidden_layers is 0); "
            "expected at least 1"
        )
    if facts.layers is not None:
        return _registered_layers(model, facts.layers, family)
    get_decoder: Any = getattr(model, "get_decoder", None)
    # The decoder comes first, because a tower beside it may have as many layers.
    for root in (get_decoder() or model if get_decoder is not None else model, model):
        for owner in root.modules():
            for child in owner.children():
                # Experts and adapters also come in module lists; only the layers attend, and there are `count` of them.
                if isinstance(child, nn.ModuleList) and len(child) == count and _attends(child):
                    return owner, child
    raise ModelError(
        f"no list of {count} attending layers found in {type(model).__name__} (type {family!r}); pass a transformers "
        "decoder whose layers attend, or name the list with taskpoint.register_family"
    )


def _registered_layers(model: nn.Module, path: str, family: str) -> tuple[nn.Module, nn.ModuleList | nn.Sequential]:
    from torch import nn

    root = base_of(model)
    owner, _, _ = path.rpartition(".")
    try:
        layers = root.get_submodule(path)
    except AttributeError as error:
        raise ModelError(
            f"{type(root).__name__} (type {family!r}) has no layers at {path!r}, where register_family says they are"
        ) from error
    if not isinstance(layers, nn.ModuleList | nn.Sequential) or not len(layers):
        raise ModelError(
            f"{path!r} of {type(root).__name__} (type {family!r}) is a {type(layers).__name__}; register_family needs "
            "the path of a ModuleList or Sequential of decoder layers"
        )
    return root.get_submodule(owner), layers


def _check_layer(layer: nn.Module, family: str) -> None:
    """Refuses layers from which no mask could hide a token."""
    found = parameters(type(layer).forward)
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found.values())
    if "attention_mask" not in found and not anything:
        raise ModelError(
            f"decoder layers of type {family!r} ({type(layer).__name__}) take no attention_mask, so no token can be "
            "hidden from them; pass a model whose layers attend under a mask"
        )


def _attends(layers: nn.ModuleList) -> bool:
    return all(any("att" in name.lower() for name, _ in layer.named_children()) for layer in layers)


def _given_tokens(model: nn.Module, owner: nn.Module, family: str) -> nn.Module:
    """The innermost module around the layers that is given tokens and a cache: BERT's layers lie one deeper."""
    for module in reversed(modules_down_to(model, owner)):
        if {"input_ids", "inputs_embeds"} & set(parameters(type(module).forward)):
            return module
    raise ModelError(
        f"no module of {type(model).__name__} (type {family!r}) takes input_ids; pass a transformers decoder"
    )
