"""The file of head gates: safetensors with one tensor, and in its metadata which model they were found on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from taskpoint.errors import DataError, RunFolderError, SettingError
from taskpoint.models.head_gates import HeadGates
from taskpoint.results.atomic import save_whole
from taskpoint.settings import place
from taskpoint.strict_json import parse

_ENTRY = "taskpoint.head_gates"
_TENSOR = "gates"


def save_gates(gates: HeadGates, path: str | Path) -> Path:
    """Writes gates whole or not at all, over a file of gates that stands there; gives the path.

    Raises:
        DataError: something else stands there, or it cannot be written.
    """
    target = place("path", path)
    if target.exists():
        load_gates(target)  # refuses what is none
    said = {"model": gates.model, "family": gates.family, "shape": list(gates.values.shape)}
    content = save({_TENSOR: np.ascontiguousarray(gates.values)}, {_ENTRY: json.dumps(said)})
    try:
        return save_whole(target, content)
    except RunFolderError as error:
        raise DataError(str(error)) from None


def load_gates(path: str | Path) -> HeadGates:
    """Reads gates that `taskpoint heads` wrote, for `taskpoint.gated_heads`.

    Raises:
        DataError: the file is missing, damaged, or holds no gates.
    """
    source = place("path", path)
    name, expected = repr(str(source)), "expected a file of gates that `taskpoint heads` wrote"
    if not source.exists():
        raise DataError(f"no file {name}; {expected}")
    if not source.is_file():
        raise DataError(f"{name} is no regular file; {expected}")
    try:
        with safe_open(source, framework="np") as opened:
            metadata = opened.metadata() or {}
            if _ENTRY not in metadata:
                raise DataError(f"{name} holds tensors, but no gates of heads; {expected}")
            said = parse(metadata[_ENTRY])
            values = opened.get_tensor(_TENSOR)
        model, family, shape = said["model"], said["family"], said["shape"]
        if not (isinstance(model, str) and isinstance(family, str) and list(values.shape) == shape):
            raise ValueError("its description does not fit its numbers")
        if values.dtype != np.float32:
            raise ValueError(f"its numbers are {values.dtype}")
        return HeadGates(values, model, family)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, SettingError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{name} is damaged or no file of gates ({reason}); {expected}") from None
