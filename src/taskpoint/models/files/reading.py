"""Reading what a model's folder or hub page holds, with every failure of the library as one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import transformers
from huggingface_hub import errors as hub
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from taskpoint.errors import ModelError, TaskpointError, UnknownNameError
from taskpoint.models.bundled import bundled_models


def read_config(name: str, source: str, revision: str | None, where: dict[str, Any]) -> Any:
    """The config of a model; `where` holds the arguments of `from_pretrained` that say where files are.

    Raises:
        UnknownNameError: a name that is not on the hub.
        ModelError: no config, one of a type that is not known, or files that cannot be read.
    """

    def read() -> Any:
        try:
            return AutoConfig.from_pretrained(source, **where)
        except (ValueError, KeyError) as error:
            reason = _unknown_type(name, source, where)
            if reason is None:
                raise
            raise ModelError(reason) from error

    return reading(name, revision, read)


def _unknown_type(name: str, source: str, where: dict[str, Any]) -> str | None:
    """What is wrong with the model type in config.json; None where that is not what is wrong."""
    try:
        entries, _ = PreTrainedConfig.get_config_dict(source, **where)
    except Exception:  # whatever it is, it was raised before, and is told by that
        return None
    if "AutoConfig" in (entries.get("auto_map") or {}):
        return None
    kind = entries.get("model_type")
    if kind is None:
        found = f" but _class_name={entries['_class_name']!r}" if "_class_name" in entries else ""
        return (
            f"config.json of {name} names no model_type{found}; expected the folder of a transformers language model, "
            "saved with save_pretrained"
        )
    parts = (entry.get("model_type") for entry in entries.values() if isinstance(entry, dict))
    new = next((each for each in (kind, *parts) if each is not None and each not in CONFIG_MAPPING), None)
    if new is None:
        return None
    which = f"of type {kind!r}" if new == kind else f"of type {kind!r} with a part of type {new!r}"
    return (
        f"{name} is a model {which}, which transformers {transformers.__version__} (installed) does not know; "
        "a newer one may (pip install --upgrade transformers)"
    )


def reading(name: str, revision: str | None, read: Callable[[], Any]) -> Any:
    """Runs `read`; whatever transformers raises for files that are not there or not right becomes one line.

    Raises:
        UnknownNameError: a name that is not on the hub.
        ModelError: everything else.
    """
    try:
        return read()
    except TaskpointError:
        raise
    except Exception as error:
        causes = tuple(type(cause) for cause in _chain(error))
        if any(issubclass(cause, hub.GatedRepoError) for cause in causes):
            raise ModelError(
                f"{name} is gated on the hub; ask for access there and log in with `hf auth login`"
            ) from error
        if any(issubclass(cause, hub.RepositoryNotFoundError) for cause in causes):
            raise unknown_model(name) from error
        if any(issubclass(cause, hub.RevisionNotFoundError) for cause in causes):
            raise ModelError(
                f"{name} has no revision {revision!r}; give a branch, tag or commit that it has"
            ) from error
        if any(issubclass(cause, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled)) for cause in causes):
            raise ModelError(
                f"{name} is neither a folder nor in the local cache, and the hub cannot be reached; "
                f"give a folder or a bundled model ({bundled_names()}), or connect to the network"
            ) from error
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{name} brings code of its own, which is not run unasked; read it, and pass trust_remote_code=True"
            ) from error
        raise ModelError(f"{name} cannot be loaded as a language model ({one_line(error)})") from error


def unknown_model(name: str) -> UnknownNameError:
    """What to raise for a name that is neither bundled, nor a folder, nor on the hub."""
    return UnknownNameError("model", name, bundled_models(), "Or give a folder or a hub id such as owner/model.")


def bundled_names() -> str:
    """The names of the bundled models, for a message."""
    return ", ".join(bundled_models()) or "none bundled"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """What an exception says, on one line of at most 200 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
