"""Tiny models of the library's families whose forwards rename arguments, as a newer library may.

Inside they compute what the family computes: a plain model with the same weights says what is right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from families import FEW_LAYERS, fresh, positions
from torch import nn
from transformers import LlamaModel
from transformers.utils.generic import ModelOutput

CACHE = "cache" if "cache" in inspect.signature(LlamaModel.forward).parameters else "past_key_values"
"""What this version of the library calls the cache."""

Names = Mapping[str, str]
"""From the library's name of an argument to a new one."""


@dataclass
class Renaming:
    """What is renamed, and where.

    Attributes:
        layer: names of the layers' arguments.
        decoder: names of the decoder's arguments.
        head: names of the arguments of the model with its head.
        bare: renamed arguments have no annotation.
        strict: arguments that are not known raise; else they are swallowed.
        change: for arguments of the layers by the library's name, what the decoder hands over in their place and how
            the layer reads that.
        first: the argument that comes first in the layers' forward.
        by_place: that argument and the next are passed by position.
        output: the name of the cache in the model's output.
        family: the family.
    """

    layer: Names = field(default_factory=dict)
    decoder: Names = field(default_factory=dict)
    head: Names = field(default_factory=dict)
    bare: bool = False
    strict: bool = False
    change: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = field(default_factory=dict)
    first: str = "hidden_states"
    by_place: bool = False
    output: str | None = None
    family: str = "llama"

    def model(self) -> Any:
        """A new model."""
        model = fresh(self.family, None, FEW_LAYERS)
        decoder = model.get_decoder() if self.family == "llama" else model.transformer
        layers = decoder.layers if self.family == "llama" else decoder.h
        for layer in layers:
            layer.__class__ = self._layer(type(layer))
        decoder.__class__ = self._called_by_new_names(type(decoder), self.decoder)
        model.__class__ = self._head(type(model))
        return model

    def _layer(self, kind: type[nn.Module]) -> type[nn.Module]:
        change, names, first = self.change, self.layer, self.first
        plain = self._called_by_new_names(kind, names, first)
        inner = plain.forward

        def forward(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if args and first != "hidden_states":
                kwargs = dict(zip((names.get(first, first), "hidden_states"), args, strict=False)) | kwargs
                args = ()
            read = {name: change[old][1] for old in change if (name := names.get(old, old)) in kwargs}
            return inner(layer, *args, **kwargs | {name: how(kwargs[name]) for name, how in read.items()})

        forward.__signature__ = inspect.signature(inner)  # type: ignore[attr-defined]
        by_place = self.by_place

        class Layer(plain):  # type: ignore[misc, valid-type]
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                if args and first != "hidden_states":
                    args, kwargs = (), {"hidden_states": args[0]} | kwargs
                kwargs = {k: change[k][0](v) if k in change else v for k, v in kwargs.items()}
                if by_place:
                    args = kwargs.pop(first), kwargs.pop("hidden_states")
                return super().__call__(*args, **kwargs)

        Layer.forward = forward
        return Layer

    def _called_by_new_names(self, kind: type[nn.Module], names: Names, first: str | None = None) -> type[nn.Module]:
        """A class that is called by the old names and is given the new ones."""

        class Renamed(kind):  # type: ignore[misc, valid-type]
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return super().__call__(*args, **{names.get(name, name): value for name, value in kwargs.items()})

        Renamed.__name__ = kind.__name__
        Renamed.forward = self._forward(kind.forward, names, first)
        return Renamed

    def _forward(self, forward: Any, names: Names, first: str | None = None) -> Any:
        """The forward under new names, of which it knows no others."""
        signature = inspect.signature(forward)
        old = {new: name for name, new in names.items()}
        swallows = not self.strict

        def renamed(module: Any, *args: Any, **kwargs: Any) -> Any:
            for name in names.keys() & kwargs.keys():
                if not swallows:
                    raise TypeError(f"forward() got an unexpected keyword argument {name!r}")
                del kwargs[name]
            return forward(module, *args, **{old.get(name, name): value for name, value in kwargs.items()})

        parameters = []
        for parameter in signature.parameters.values():
            if parameter.name in names:
                annotation = inspect.Parameter.empty if self.bare else parameter.annotation
                parameter = parameter.replace(name=names[parameter.name], annotation=annotation)
            parameters.append(parameter)
        if first is not None:  # `self` stays before it
            new = names.get(first, first)
            parameters.sort(key=lambda parameter: (parameter.name != "self", parameter.name != new))
            parameters[1] = parameters[1].replace(default=inspect.Parameter.empty)
        if self.strict:
            parameters = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
        renamed.__signature__ = signature.replace(parameters=_in_order(parameters))  # type: ignore[attr-defined]
        return renamed

    def _head(self, kind: type[nn.Module]) -> type[nn.Module]:
        """The model; its `generate` knows the new names, as the library of the day would."""
        names, output = self.head, self.output
        forward = self._forward(kind.forward, names)

        class Head(kind):  # type: ignore[misc, valid-type]
            def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> Any:
                inputs = super().prepare_inputs_for_generation(*args, **kwargs)
                mask = inputs.get("attention_mask")
                if "position_ids" in names and mask is not None:  # the library looks whether the forward takes them
                    inputs["position_ids"] = positions(mask)[:, -inputs["input_ids"].shape[1] :]
                return {names.get(name, name): value for name, value in inputs.items()}

            def generate(self, *args: Any, **kwargs: Any) -> Any:
                old = {new: name for name, new in names.items()}
                return super().generate(*args, **{old.get(name, name): value for name, value in kwargs.items()})

            def _validate_model_kwargs(self, model_kwargs: Any) -> None:
                """Knows the new names."""

        def named_anew(module: Any, *args: Any, **kwargs: Any) -> Any:
            found = forward(module, *args, **kwargs)
            return Renamed(**{output if key == CACHE else key: value for key, value in found.items()})

        @dataclass
        class Renamed(ModelOutput):
            logits: Any = None
            storage: Any = None

        named_anew.__signature__ = forward.__signature__  # type: ignore[attr-defined]
        Head.__name__, Head.forward = kind.__name__, forward if output is None else named_anew
        return Head


def _in_order(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """What has a default comes after what has none."""
    plain = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    rest = [p for p in parameters if p.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return sorted(plain, key=lambda p: p.default is not inspect.Parameter.empty) + rest
