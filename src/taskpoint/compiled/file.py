"""The file of a compiled prompt: safetensors, with all that is needed to refuse a model that it does not fit.

Tensors: `tokens` [T], `drop` [T], and for every layer `keys.LAYER` and `values.LAYER`, [1, K, S, D] each. The metadata
is one JSON text: the version of this format, a description, and a SHA-256 over description and tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from taskpoint.compiled.mark import ENTRY, is_compiled
from taskpoint.engine.compiled import CompiledContext
from taskpoint.errors import DataError, PlanError
from taskpoint.prompts.content import Content, Example
from taskpoint.results.atomic import make_folder, write_whole
from taskpoint.strict_json import parse

FORMAT_VERSION = 1
"""Counted up whenever files of the version before can no longer be read."""

_MEND = "compile the prompt again"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CompiledFrom(_Strict):
    """What was compiled.

    Attributes:
        hide: what layers from `after` on do not see, as a selector.
        after: the cut r.
        probe: a query whose prompt begins with the compiled tokens.
    """

    task: str
    instruction: str | None
    examples: list[tuple[str, str]]
    template: str
    shots: int
    seed: int
    hide: str
    after: int
    probe: str

    def content(self, query: str) -> Content:
        """The whole content of the prompt that asks a query."""
        return Content(self.instruction, tuple(Example(*pair) for pair in self.examples), query)


class Origin(_Strict):
    """What it was compiled with.

    Attributes:
        fingerprint: of the model, as `ModelFingerprint.as_json` gives it.
    """

    model: str
    revision: str | None
    fingerprint: dict[str, object]
    tokenizer: str
    versions: dict[str, str]


class Description(_Strict):
    """Everything that a file says beside its tensors.

    Attributes:
        sha256: over all of this and the tensors.
    """

    format_version: int
    recipe: CompiledFrom
    origin: Origin
    sha256: str


@dataclass(frozen=True, eq=False)
class CompiledFile:
    """What a file holds: what was compiled, what with, and tokens, keys and values."""

    recipe: CompiledFrom
    origin: Origin
    context: CompiledContext

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what decides the answers: recipe, model, tokenizer and tokens, but no versions."""
        said = [self.recipe.model_dump(mode="json"), self.origin.model_dump(mode="json", exclude={"versions"})]
        tokens = [self.context.tokens.tolist(), self.context.drop.tolist()]
        return hashlib.sha256(json.dumps([said, tokens], sort_keys=True).encode()).hexdigest()


def write_compiled(file: CompiledFile, path: Path) -> None:
    """Writes a file whole or not at all; a compiled prompt that stands there is replaced.

    Raises:
        DataError: something else stands there, or it cannot be written.
    """
    check_target(path)
    tensors = {"tokens": file.context.tokens, "drop": file.context.drop}
    for layer, (keys, values) in enumerate(zip(file.context.keys, file.context.values, strict=True)):
        tensors |= {f"keys.{layer}": keys, f"values.{layer}": values}
    # Cloned, because safetensors takes no two tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    description = Description(format_version=FORMAT_VERSION, recipe=file.recipe, origin=file.origin, sha256="")
    description = description.model_copy(update={"sha256": _digest(description, tensors)})
    metadata = {ENTRY: description.model_dump_json()}
    try:
        make_folder(path.parent)
        write_whole(path, save(tensors, metadata))
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be written ({error.strerror or error}); give another file") from None


def check_target(path: Path) -> None:
    """Refuses, with a DataError, to write over anything but a compiled prompt."""
    if path.exists() and not is_compiled(path):
        raise DataError(f"{str(path)!r} is there already and is no compiled prompt; give another file")


def read_compiled(path: Path) -> CompiledFile:
    """Reads a file, and checks that it is whole.

    Raises:
        DataError: it is missing, damaged, of another format version, or no compiled prompt.
    """
    _check_regular(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            description = _described(path, opened.metadata() or {})
            # Cloned: the tensors of safetensors may look into the file, which may be written anew.
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from None
    if _digest(description, tensors) != description.sha256:
        raise DataError(f"{str(path)!r} is damaged: its content does not match its checksum; {_MEND}")
    layers = range((len(tensors) - 2) // 2)
    wanted = {"tokens", "drop"} | {f"{name}.{layer}" for name in ("keys", "values") for layer in layers}
    if set(tensors) != wanted or tensors["tokens"].dtype != torch.int64:
        raise DataError(f"{str(path)!r} is damaged: it holds other tensors than a compiled prompt; {_MEND}")
    try:
        context = CompiledContext(
            description.recipe.after,
            tensors["tokens"],
            tensors["drop"],
            tuple(tensors[f"keys.{layer}"] for layer in layers),
            tuple(tensors[f"values.{layer}"] for layer in layers),
        )
    except (KeyError, PlanError) as error:
        raise DataError(f"{str(path)!r} is damaged: {error}; {_MEND}") from None
    return CompiledFile(description.recipe, description.origin, context)


def _described(path: Path, metadata: Mapping[str, str]) -> Description:
    if ENTRY not in metadata:
        raise DataError(
            f"{str(path)!r} is no compiled prompt, though it holds tensors; expected a file of `taskpoint compile`"
        )
    try:
        said = parse(metadata[ENTRY])
        version = said["format_version"]
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{str(path)!r} is damaged: its description cannot be read; {_MEND}") from None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{str(path)!r} is of format version {version}, expected {FORMAT_VERSION}: it was written by another "
            f"taskpoint; {_MEND}"
        )
    try:
        return Description.model_validate_json(metadata[ENTRY])
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, told["loc"])) or "JSON"
        raise DataError(f"{str(path)!r} is damaged: its description fails at {place}; {_MEND}") from None


def _check_regular(path: Path) -> None:
    """Refuses what cannot be read like a file, such as a pipe, which would wait for ever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{str(path)!r} is no regular file; expected a file of `taskpoint compile`")


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError) or not path.exists():
        return DataError(f"no file {str(path)!r}; check the path, or write it with `taskpoint compile`")
    if path.is_dir():
        return DataError(f"{str(path)!r} is a directory; expected a file of `taskpoint compile`")
    reason = " ".join(str(error).split())[:160]
    return DataError(f"{str(path)!r} is damaged or no compiled prompt ({reason}); {_MEND}")


def _digest(description: Description, tensors: Mapping[str, Tensor]) -> str:
    said = description.model_dump(mode="json", exclude={"sha256"})
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
