"""What a model and a tokenizer are known by again: enough to notice a fine-tuned copy, cheap enough for every start.

Sampled are 1,024 numbers of every tensor of the model's state, spread over it evenly; smaller tensors are taken whole.
Training, merging an adapter and quantising change nearly every number of the tensors that they touch, so a copy
that went through any of them differs. An edit of a few single numbers may go unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from taskpoint.errors import TokenizerError
from taskpoint.models.head_gates import gates_on
from taskpoint.models.library import base_of

_SAMPLES = 1024
# Steps by the golden ratio fall evenly into any interval, also one of rows or columns (Weyl's equidistribution).
_STEP = 0.6180339887498949

# Entries of a config that change with where and how a model was loaded, and not with what it computes.
_INCIDENTAL = frozenset(
    {"_name_or_path", "architectures", "dtype", "id2label", "label2id", "output_attentions", "output_hidden_states"}
    | {"problem_type", "return_dict", "torch_dtype", "transformers_version", "use_cache"}
    | {"bos_token_id", "eos_token_id", "pad_token_id"}
)

# The same of the config of an adapter.
_INCIDENTAL_OF_ADAPTERS = frozenset(
    {"auto_mapping", "base_model_name_or_path", "inference_mode", "init_lora_weights", "lora_dropout", "peft_version"}
    | {"revision", "runtime_config", "task_type"}
)


@dataclass(frozen=True)
class ModelFingerprint:
    """What a model is known by.

    Attributes:
        config: the entries of its config that decide what it computes, as JSON values.
        weights: for every tensor of its state the SHA-256 (16 digits) of type, shape and sampled numbers; those of
            adapters are among them.
        adapters: by name: the entries of the config of an adapter of peft that decide what it computes.
        gates: the digest of the gates on its heads (`engine.gates`); None without any.
    """

    family: str
    dtype: str
    config: Mapping[str, object]
    weights: Mapping[str, str]
    adapters: Mapping[str, Any] = field(default_factory=dict)
    gates: str | None = None

    def as_json(self) -> dict[str, object]:
        """The same as JSON values, without adapters and gates that are not there.

        `ModelFingerprint(**values)` reads them back.
        """
        return {name: value for name, value in asdict(self).items() if value or name not in ("adapters", "gates")}

    def difference(self, other: ModelFingerprint) -> str | None:
        """How another model differs from this one, in words; None where nothing tells them apart.

        Config entries that only one of the two has do not count: newer versions of transformers add some.
        """
        if self.family != other.family:
            return f"it is a {other.family}, not a {self.family}"
        for name in sorted(self.config.keys() & other.config.keys()):
            if self.config[name] != other.config[name]:
                return f"its {name} is {_short(other.config[name])}, not {_short(self.config[name])}"
        if self.dtype != other.dtype:
            return f"it is loaded in {other.dtype}, not in {self.dtype}"
        if self.adapters.keys() != other.adapters.keys():
            here, there = (_named(each.adapters) for each in (other, self))
            return f"it has {here} instead of {there}"
        for name, own in self.adapters.items():
            for entry in sorted(own.keys() & other.adapters[name].keys()):
                if own[entry] != other.adapters[name][entry]:
                    now, then = _short(other.adapters[name][entry]), _short(own[entry])
                    return f"{entry} of its adapter {name!r} is {now}, not {then}"
        names = sorted(self.weights.keys() | other.weights.keys())
        changed = [name for name in names if self.weights.get(name) != other.weights.get(name)]
        if changed:
            kind = "another adapter" if ".lora_" in changed[0] else "a fine-tuned copy"
            return f"{len(changed)} of its {len(names)} weights differ, such as {changed[0]}: {kind}?"
        if self.gates != other.gates:
            return f"its heads have {_gated(other.gates)}, not {_gated(self.gates)} (--gates, or gated_heads)"
        return None


def model_fingerprint(model: nn.Module) -> ModelFingerprint:
    """The fingerprint of a transformers model, the same of one that peft wraps and of the one inside.

    Weights that are offloaded are read in for it, module by module.
    """
    whole: Any = base_of(model)
    config = whole.config.get_text_config()
    plain: dict[str, object] = json.loads(json.dumps(config.to_dict(), default=str, sort_keys=True))
    adapters: Any = getattr(whole, "peft_config", None) or {}
    return ModelFingerprint(
        family=str(config.model_type),
        dtype=str(whole.dtype).removeprefix("torch."),
        config={name: value for name, value in plain.items() if name not in _INCIDENTAL},
        weights={name: _digest(tensor) for name, tensor in _state(whole)},
        adapters={name: _plain(config) for name, config in adapters.items()},
        gates=gates_on(model),
    )


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all that a fast tokenizer does, and of its chat template; a TokenizerError where it is not fast."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TokenizerError(
            f"{type(tokenizer).__name__} is not a fast tokenizer; load a model that has a tokenizer.json"
        )
    # Padding and truncation are what the last call asked for.
    said = {key: value for key, value in json.loads(backend.to_str()).items() if key not in ("padding", "truncation")}
    said["chat_template"] = getattr(tokenizer, "chat_template", None)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _named(adapters: Iterable[str]) -> str:
    names = ", ".join(map(repr, adapters))
    return f"the adapter {names}" if names else "no adapter of peft"


def _plain(config: Any) -> dict[str, object]:
    """The config of an adapter as JSON values."""

    def listed(value: object) -> object:
        return sorted(value) if isinstance(value, set) else str(value)

    plain: dict[str, object] = json.loads(json.dumps(config.to_dict(), default=listed))
    return {name: value for name, value in plain.items() if name not in _INCIDENTAL_OF_ADAPTERS}


def _state(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    wanted = set(model.state_dict())  # buffers that are not saved, such as rotary frequencies, may change in use
    for prefix, module in model.named_modules():
        with _at_hand(module):
            own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
            for name, tensor in own:
                full = f"{prefix}.{name}" if prefix else name
                if full in wanted:
                    yield full, tensor.detach()


def _at_hand(module: nn.Module) -> AbstractContextManager[Any]:
    """Reads in the weights of a module that accelerate has put away for as long as the module does not run."""
    if not any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        return nullcontext()
    from accelerate.utils import align_module_device  # type: ignore[import-untyped]

    held: AbstractContextManager[Any] = align_module_device(module)
    return held


def _digest(tensor: Tensor) -> str:
    found = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}".encode())
    for part in _parts(tensor):
        flat = part.reshape(-1)
        if flat.numel() > _SAMPLES:
            places = (torch.arange(_SAMPLES, dtype=torch.float64) * _STEP).frac() * flat.numel()
            flat = flat[places.long().to(flat.device)]
        found.update(flat.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def _parts(tensor: Tensor) -> Iterator[Tensor]:
    """The plain tensors that a quantised tensor is made of; a plain tensor itself."""
    if type(tensor) is Tensor or not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        yield from _parts(getattr(tensor, name))


def _gated(digest: str | None) -> str:
    return "no gates" if digest is None else f"gates {digest[:8]}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
