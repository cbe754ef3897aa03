"""Loading a causal language model with its tokenizer: bundled, from a folder, or from the hub."""

from __future__ import annotations

import difflib
import os.path
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import errors as hub
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from taskpoint.errors import ModelError, SettingError, TaskpointError, TokenizerError, UnknownNameError
from taskpoint.models.anatomy import anatomy
from taskpoint.models.bundled import DEFAULT, bundled_models
from taskpoint.models.device import usable_device
from taskpoint.models.quiet import without_bars

_DTYPES = ("auto", "float32", "bfloat16", "float16")

# Arguments of from_pretrained that say where files are rather than how the model is built.
_SOURCE_ARGUMENTS = (
    "cache_dir", "code_revision", "force_download", "local_files_only", "proxies", "subfolder", "token",
    "trust_remote_code",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A decoder, its tokenizer, and where they come from.

    Attributes:
        model: The plain transformers model, in evaluation mode.
        tokenizer: Its tokenizer, which knows character offsets.
        name: The bundled name, folder or hub id that it was loaded by.
        revision: The commit of a hub model, or the revision that was asked for; None for folders.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None = None

    @property
    def num_layers(self) -> int:
        """Number of decoder layers, N.

        Raises:
            ModelError: The layers cannot be found.
        """
        return anatomy(self.model).num_layers

    @property
    def max_positions(self) -> int | None:
        """Largest number of tokens that the model was made for; None where its config names none."""
        found = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if found is None else int(found)


def load(
    name: str | os.PathLike[str] | None = None,
    *,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    revision: str | None = None,
    **from_pretrained: Any,
) -> LanguageModel:
    """Load a model.

    Args:
        name: None for the bundled model; the name of a bundled model; a folder; or a model id of the hub.
        dtype: Such as `"bfloat16"`; None for the one that its config names.
        device: Such as `"cuda"`; None for the CPU, or for what `device_map` says.
        revision: Branch, tag or commit of a hub model.
        from_pretrained: More arguments of `AutoModelForCausalLM.from_pretrained`, such as `device_map`,
            `quantization_config`, `attn_implementation`, `trust_remote_code`.

    Raises:
        UnknownNameError: A name that is neither bundled, nor a folder, nor on the hub.
        ModelError: A folder without a model, no decoder, damaged files, or a hub that cannot be reached.
        TokenizerError: No tokenizer, or one that knows no character offsets.
        SettingError: An unknown dtype or device, or both `device` and `device_map`.
    """
    kind = _dtype(dtype)
    place = _device(device, from_pretrained)
    asked = DEFAULT if name is None else os.fspath(name)
    source, is_folder = _source(asked)
    where = {key: value for key, value in from_pretrained.items() if key in _SOURCE_ARGUMENTS}
    if revision is not None and not is_folder:
        where["revision"] = revision
    config: Any = from_pretrained.pop("config", None)
    if config is None:
        config = _reading(asked, revision, lambda: AutoConfig.from_pretrained(source, **where))
    _refuse_other_kinds(asked, config)
    tokenizer = _tokenizer(asked, source, where)
    built: dict[str, Any] = {**from_pretrained, **where, "config": config, "dtype": kind}
    # A bundled model is there at once.
    with without_bars() if asked in bundled_models() else nullcontext():
        model = _reading(asked, revision, lambda: _complete(asked, source, built))
    if place is not None:
        model = model.to(place)
    model.eval()
    commit = None if is_folder else getattr(config, "_commit_hash", None) or revision
    return LanguageModel(model, tokenizer, asked, commit)


def _dtype(dtype: str | torch.dtype | None) -> str | torch.dtype:
    text = str(dtype).removeprefix("torch.") if dtype is not None else "auto"
    if text not in _DTYPES:
        raise SettingError(f"dtype is {text!r}; expected one of {', '.join(_DTYPES)}")
    return "auto" if text == "auto" else getattr(torch, text)


def _device(device: str | torch.device | None, from_pretrained: dict[str, Any]) -> torch.device | None:
    if device is None:
        return None
    if from_pretrained.get("device_map") is not None:
        raise SettingError(f"device is {str(device)!r} beside a device_map; give one of the two")
    return usable_device(device)


def _source(name: str) -> tuple[str, bool]:
    """What transformers is given, and whether it is a folder."""
    known = bundled_models()
    if name in known:
        return str(known[name].path), True
    folder = Path(os.path.expanduser(name))
    if name.strip() and folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"folder {name} has no config.json; expected a model saved with save_pretrained")
        return str(folder), True
    if folder.is_file():
        raise ModelError(f"{name} is a file; expected the folder of a model saved with save_pretrained")
    if name.startswith((".", "/", "~", os.sep)) or name.endswith("/") or name.count("/") > 1 or not name.strip():
        raise ModelError(f"there is no folder {name!r}; give an existing folder, a hub id, or one of {_names()}")
    if "/" not in name and difflib.get_close_matches(name, [*known, DEFAULT], n=1, cutoff=0.6):
        raise _unknown(name)
    return name, False


def _unknown(name: str) -> UnknownNameError:
    return UnknownNameError("model", name, bundled_models(), "Or give a folder or a hub id such as owner/model.")


def _names() -> str:
    return ", ".join(bundled_models()) or "none bundled"


def _refuse_other_kinds(name: str, config: Any) -> None:
    family = getattr(config, "model_type", type(config).__name__)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{name} is an encoder-decoder ({family}); expected a decoder-only causal language model")
    # BERT and its like have a class for generation too, which attends both ways unless `is_decoder` is set.
    if getattr(config, "is_decoder", None) is False and family in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise ModelError(f"{name} is an encoder ({family}); expected a decoder-only causal language model")


def _complete(name: str, source: str, built: dict[str, Any]) -> PreTrainedModel:
    """The model with all of its weights; transformers fills missing ones with random numbers."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(source, output_loading_info=True, **built)
    model, found = loaded
    missing = sorted(found["missing_keys"])
    if missing:
        raise ModelError(
            f"{name} lacks {len(missing)} weights of a causal language model, such as {missing[0]}; "
            "expected a decoder with its language-model head, saved with save_pretrained"
        )
    return cast(PreTrainedModel, model)


def _tokenizer(name: str, source: str, where: dict[str, Any]) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, **where)
    except Exception as error:
        raise TokenizerError(
            f"{name} has no tokenizer that can be loaded ({_one_line(error)}); put tokenizer.json beside the model"
        ) from error
    if not tokenizer.is_fast:
        raise TokenizerError(
            f"the tokenizer of {name} ({type(tokenizer).__name__}) gives no character offsets, which label the tokens; "
            "expected a fast one, with a tokenizer.json"
        )
    return tokenizer


def _reading(name: str, revision: str | None, read: Callable[[], Any]) -> Any:
    """Do `read`; whatever transformers raises for files that are not there or not right becomes one line."""
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
            raise _unknown(name) from error
        if any(issubclass(cause, hub.RevisionNotFoundError) for cause in causes):
            raise ModelError(
                f"{name} has no revision {revision!r}; give a branch, tag or commit that it has"
            ) from error
        if any(issubclass(cause, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled)) for cause in causes):
            raise ModelError(
                f"{name} is neither a folder nor in the local cache, and the hub cannot be reached; "
                f"give a folder or a bundled model ({_names()}), or connect to the network"
            ) from error
        raise ModelError(f"{name} cannot be loaded as a causal language model ({_one_line(error)})") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
