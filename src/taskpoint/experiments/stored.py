"""What config.json of a run says, read back as what wrote it; anybody may have edited it since."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.errors import RunFolderError, SettingError

T = TypeVar("T")


def read_back(kind: type[T], config: Mapping[str, object], folder: Path) -> T:
    """The part of a configuration that is a dataclass of this kind.

    Args:
        kind: a dataclass of JSON values; its own checks are made too.
        config: what config.json says, all of it.
        folder: the run folder, for the message.

    Raises:
        RunFolderError: an entry is missing, of another type, or out of range.
    """
    wanted = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    said = json.dumps({name: value for name, value in config.items() if name in wanted})
    try:
        found = TypeAdapter(kind).validate_json(said, strict=True)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise damaged(folder, f"{'.'.join(map(str, told['loc']))!r}: {told['msg']}") from None
    except SettingError as error:
        raise damaged(folder, str(error)) from None
    return found


def read_shape(shape: Mapping[str, Any], folder: Path) -> ModelShape:
    """The sizes of a run's model; errors as `read_back`."""
    try:
        return ModelShape.from_json(shape)
    except (SettingError, TypeError) as error:
        raise damaged(folder, f"'shape': {error}") from None


def damaged(folder: Path, reason: str) -> RunFolderError:
    """What to raise for a configuration that no run wrote."""
    return RunFolderError(f"{folder / 'config.json'} is damaged ({reason}): restore the file, or give another folder")
