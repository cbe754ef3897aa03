"""The seam: what is known of transformers beyond its plain public calls, and of peft, accelerate and bitsandbytes.

A library that moves every week moves here. What can be is found by looking at signatures and objects, not by comparing
version numbers; versions are compared only to know whether this one was tested.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.masking_utils import sdpa_mask
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.pytorch_utils import Conv1D
from transformers.utils.generic import ModelOutput

from taskpoint.errors import ModelError, PlanError

__all__ = [
    "AttentionInterface",
    "AttentionMaskInterface",
    "Cache",
    "Conv1D",
    "DynamicCache",
    "DynamicLayer",
    "DynamicSlidingWindowLayer",
    "ModelOutput",
    "PreTrainedModel",
    "sdpa_mask",
]

# What forwards call the argument that holds the KV cache, the newest name first (`cache` since 5.24). Layers of some
# families say layer_past. Another name is found by its annotation, and in a call by what it holds.
_CACHE_NAMES = ("cache", "past_key_values", "past_key_value", "layer_past")

# Forwards whose signatures are remembered: reading one takes as long as a small layer, and every decoding step asks.
# A model has about two; more of them are of models that are gone.
_FORWARDS = 256


# ---------------------------------------------------------------- versions


@functools.cache
def tested_versions() -> tuple[str, ...]:
    """The versions of transformers with which `make versions` runs the tests, oldest first."""
    lines = resources.files("taskpoint.models").joinpath("tested_versions.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def tested_range() -> str:
    """The tested versions and the installed one, in words for messages."""
    oldest, *_, newest = tested_versions()
    return f"transformers {oldest} to {newest} are tested, {installed_version()} is installed"


def installed_version() -> str:
    """The version of transformers that is installed."""
    return importlib.metadata.version("transformers")


def is_untested() -> bool:
    """Whether transformers is older than the oldest tested version, or newer than the newest."""
    oldest, *_, newest = map(_numbers, tested_versions())
    return not oldest <= _numbers(installed_version()) <= newest


def if_untested() -> str:
    """The end of a message: which versions are tested, where the installed one is not; else nothing."""
    return f" ({tested_range()})" if is_untested() else ""


@contextmanager
def saying_versions() -> Iterator[None]:
    """Lets refusals of the block name the tested versions where the installed one is none of them.

    Raises:
        ModelError: one that was raised in the block.
        PlanError: one that was raised in the block.
    """
    try:
        yield
    except (ModelError, PlanError) as error:
        if not is_untested() or tested_range() in str(error):
            raise
        raise type(error)(f"{error}{if_untested()}") from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


# ---------------------------------------------------------------- signatures


@functools.lru_cache(_FORWARDS)
def parameters(forward: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a forward, which is a function of a class: `self` is the first."""
    return inspect.signature(forward).parameters


def base_of(model: nn.Module) -> nn.Module:
    """The model inside a wrapper of peft, which passes all arguments on; any other model itself."""
    base: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return base


def accepts(model: nn.Module, name: str) -> bool:
    """Whether the model's forward takes an argument of that name, also behind a peft wrapper."""
    return name in parameters(type(base_of(model)).forward)


@functools.lru_cache(_FORWARDS)
def _positional(kind: type[nn.Module]) -> tuple[str, ...]:
    """Names of the arguments of a class's forward; of the class it derives from where it passes on whatever it gets."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for base in kind.__mro__:
        if "forward" in vars(base):
            found = tuple(p.name for p in parameters(vars(base)["forward"]).values() if p.kind in kinds)[1:]
            if found:
                return found
    return ()


def first_argument(module: nn.Module) -> str | None:
    """The name of the first argument of the module's forward; None where it takes none by position."""
    kind: Any = type(module)
    return next(iter(_positional(kind)), None)


def named_arguments(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of the module by name, also those passed by position (GPT-2 passes its mask so)."""
    kind: Any = type(module)
    return dict(zip(_positional(kind), args, strict=False)) | dict(kwargs)


# ---------------------------------------------------------------- the KV cache


def cache_argument(module: nn.Module) -> str | None:
    """What the module's forward calls the argument that holds the KV cache; None where it has none that is known."""
    return _cache_argument(type(base_of(module)).forward)


@functools.lru_cache(_FORWARDS)
def _cache_argument(forward: Callable[..., Any]) -> str | None:
    found = parameters(forward)
    annotated = (name for name, parameter in found.items() if "Cache" in str(parameter.annotation))
    return next((name for name in _CACHE_NAMES if name in found), next(annotated, None))


def with_cache(module: nn.Module, cache: Any) -> dict[str, Any]:
    """The argument that hands a cache to the module; nothing for no cache.

    Raises:
        ModelError: the module takes no cache by a name or an annotation that is known.
    """
    if cache is None:
        return {}
    name = cache_argument(module)
    if name is None:
        raise no_cache_argument(module)
    return {name: cache}


def generate_with_cache(cache: Any) -> dict[str, Any]:
    """The argument that hands a cache to `generate`, whose name is that of the field in the library's outputs."""
    fields = CausalLMOutputWithPast.__dataclass_fields__
    return {} if cache is None else {next(name for name in _CACHE_NAMES if name in fields): cache}


def no_cache_argument(module: nn.Module) -> ModelError:
    """What is raised where a model that caches does not say by which argument."""
    return ModelError(
        f"{type(base_of(module)).__name__} takes no argument for its KV cache that is known "
        f"({', '.join(_CACHE_NAMES[:2])}, or one annotated as a Cache); call it with use_cache=False ({tested_range()})"
    )


def cache_in(named: Mapping[str, Any]) -> Any:
    """The cache among the arguments of a call; None where there is none."""
    for name in _CACHE_NAMES:
        if named.get(name) is not None:
            return named[name]
    return next((value for value in named.values() if isinstance(value, Cache)), None)


def exchange_cache(named: Mapping[str, Any], cache: Any, module: nn.Module) -> dict[str, Any]:
    """The arguments of a call with this cache instead of the one they may hold."""
    others = {k: v for k, v in named.items() if k not in _CACHE_NAMES and not isinstance(v, Cache)}
    return others | with_cache(module, cache)


def cache_of(output: Any) -> Any:
    """The cache in a model's output; None where there is none."""
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple) else ()
    return next((part for part in parts if isinstance(part, Cache)), None)


def read_out(output: Any) -> Tensor:
    """The logits of a model's output; of a decoder without a head its hidden states after the last layer. [B, T, V]."""
    logits = getattr(output, "logits", None)
    found: Tensor = output.last_hidden_state if logits is None else logits
    return found


# ---------------------------------------------------------------- attention


def attention_name(config: Any) -> str | None:
    """The name of the attention implementation that a config asks for."""
    return getattr(config, "_attn_implementation", None)


@contextmanager
def attending_as(name: str, config: Any, modules: Iterable[nn.Module]) -> Iterator[None]:
    """Names another attention implementation in a config and in those of some modules, for the length of the block."""
    configs: dict[int, Any] = {id(config): config}
    for module in modules:
        own = getattr(module, "config", None)
        if hasattr(own, "_attn_implementation"):
            configs[id(own)] = own
    before = [(each, each._attn_implementation) for each in configs.values()]
    try:
        for each, _ in before:
            each._attn_implementation = name
        yield
    finally:
        for each, own_name in before:
            each._attn_implementation = own_name


def uses_attention_interface(module: nn.Module) -> bool:
    """Whether a family's attention seems to go through the library's attention interface."""
    return hasattr(sys.modules.get(type(module).__module__), "ALL_ATTENTION_FUNCTIONS")


# ---------------------------------------------------------------- calling a model


def inputs_for(model: nn.Module, attention_mask: Tensor | None, last: int | None = None) -> dict[str, Any]:
    """Arguments of an ordinary pass without a cache, as `generate` would pass them: padding moves no token.

    Args:
        model: the model that is to be called.
        attention_mask: 1 for tokens, 0 for padding; None when there is none. [B, T]
        last: number of positions, from the end, whose logits are wanted where the model can leave out the others.
    """
    named: dict[str, Any] = {"use_cache": False}
    if attention_mask is not None:
        named["attention_mask"] = attention_mask
        if accepts(model, "position_ids"):
            named["position_ids"] = true_positions(attention_mask)
    if last is not None and accepts(model, "logits_to_keep"):
        named["logits_to_keep"] = last
    return named


def true_positions(attention_mask: Tensor) -> Tensor:
    """Position of every token, padding not counted, as the library's `generate` counts them. [B, T]."""
    return (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 0)


def generates(model: Any) -> bool:
    """Whether the model has the library's `generate`."""
    base: Any = base_of(model)
    return isinstance(base, PreTrainedModel) and bool(base.can_generate())


def replays_calls(layer: nn.Module) -> bool:
    """Whether gradient checkpointing is on and would run the layer's whole call again in backward, hooks included.

    Since transformers 5.23 it runs the layer's own forward alone.
    """
    whole = any("__call__" in vars(kind) for kind in type(layer).__mro__ if kind is not nn.Module)
    return whole and bool(getattr(layer, "gradient_checkpointing", False)) and layer.training
