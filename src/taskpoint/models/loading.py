"""Loading a model that writes text, with its tokenizer: bundled, from a folder, or from the hub."""

from __future__ import annotations

import difflib
import os.path
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from taskpoint.errors import ModelError, SettingError
from taskpoint.models.anatomy import anatomy, max_positions
from taskpoint.models.bundled import DEFAULT, bundled_models
from taskpoint.models.device import usable_device
from taskpoint.models.files.adapter import with_adapter
from taskpoint.models.files.quiet import without_bars
from taskpoint.models.files.reading import bundled_names, read_config, reading, unknown_model
from taskpoint.models.files.tokenizer import read_tokenizer
from taskpoint.models.kinds import attends_both_ways, auto_class_for, class_for, family_of, other_head
from taskpoint.settings import place, shown

MOST_LAYERS = 10_000
"""The deepest published decoders have some hundred layers; tens of thousands take minutes to make, however small."""

# No path is longer on the systems that Python runs on.
_LONGEST = 4096
_DTYPES = ("auto", "float32", "bfloat16", "float16")

# Arguments of from_pretrained that say where files are rather than how the model is built.
_SOURCE_ARGUMENTS = (
    "cache_dir", "code_revision", "force_download", "local_files_only", "proxies", "subfolder", "token",
    "trust_remote_code",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A decoder in evaluation mode, its tokenizer, which knows character offsets, and where they come from.

    Attributes:
        name: The bundled name, folder or hub id that it was loaded by; with an adapter `NAME+FOLDER`, which loads it
            again.
        revision: The commit of a hub model, or the revision that was asked for; None for folders.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None = None

    @property
    def num_layers(self) -> int:
        """Number of decoder layers, N; a ModelError where they cannot be found."""
        return anatomy(self.model).num_layers

    @property
    def max_positions(self) -> int | None:
        """Largest number of tokens that the model was made for; None where its config names none."""
        return max_positions(self.model.config.get_text_config())


def load(
    name: str | os.PathLike[str] | None = None,
    *,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    revision: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    **from_pretrained: Any,
) -> LanguageModel:
    """Loads a model.

    A vision-language model is loaded as a whole, by `AutoModelForImageTextToText`, with the tokenizer of its processor.

    Args:
        name: None for the bundled model; the name of a bundled model; a folder; or a model id of the hub.
        dtype: Such as `"bfloat16"`; None for the one that its config names.
        device: Such as `"cuda"`; None for the CPU, or for what `device_map` says.
        revision: Branch, tag or commit of a hub model.
        adapter: Folder of an adapter of peft, such as `taskpoint heal` leaves; it is not merged into the weights.
        from_pretrained: More arguments of `AutoModelForCausalLM.from_pretrained`, such as `device_map`,
            `quantization_config`, `attn_implementation`, `trust_remote_code`.

    Raises:
        UnknownNameError: A name that is neither bundled, nor a folder, nor on the hub.
        ModelError: A folder without a model, one that writes no text, damaged files, a hub that cannot be reached, or
            an adapter that is none or of another model.
        TokenizerError: No tokenizer, or one that knows no character offsets.
        SettingError: An unknown dtype or device, both `device` and `device_map`, or the revision of a folder.
    """
    kind = _dtype(dtype)
    place = _device(device, from_pretrained)
    asked, wanted = _parted(DEFAULT if name is None else _named(name), adapter)
    source, is_folder = _source(asked)
    if revision is not None and (is_folder or not isinstance(revision, str) or not revision.strip()):
        mend = "only models of the hub have revisions: leave it out" if is_folder else "expected a branch or a commit"
        raise SettingError(f"revision is {shown(revision)} for {asked}; {mend}")
    where = {key: value for key, value in from_pretrained.items() if key in _SOURCE_ARGUMENTS}
    if revision is not None:
        where["revision"] = revision
    config: Any = from_pretrained.pop("config", None)
    if config is None:
        config = read_config(asked, source, revision, where)
    if not hasattr(config, "get_text_config"):
        raise SettingError(f"config is {shown(config)}; expected a config object of transformers")
    auto = _writer(asked, config)
    tokenizer = read_tokenizer(asked, source, where, has_processor=auto is not AutoModelForCausalLM)
    built: dict[str, Any] = {**from_pretrained, **where, "config": config, "dtype": kind}
    # A bundled model is there at once.
    with without_bars() if asked in bundled_models() else nullcontext():
        model = reading(asked, revision, lambda: _complete(asked, source, auto, built))
    if place is not None:
        model = model.to(place)
    if wanted is not None:
        model = with_adapter(model, asked, wanted)
    model.eval()
    commit = None if is_folder else getattr(config, "_commit_hash", None) or revision
    return LanguageModel(model, tokenizer, asked if wanted is None else f"{asked}+{wanted}", commit)


def without_adapter(name: str) -> str:
    """The model of a name that may hold the folder of an adapter: `MODEL+FOLDER`."""
    return _parted(name, None)[0]


def _parted(name: str, adapter: str | os.PathLike[str] | None) -> tuple[str, str | None]:
    """The model and the folder of its adapter, which the name may hold: `MODEL+FOLDER`."""
    if "+" in name and not os.path.isdir(os.path.expanduser(name)):
        name, _, inside = name.partition("+")
        if adapter is not None:
            raise SettingError(f"adapter is {shown(str(adapter))}, but the name {name}+{inside} has one already")
        return name, str(place("adapter", inside))
    return name, None if adapter is None else str(place("adapter", adapter))


def _named(name: Any) -> str:
    found = os.fspath(name) if isinstance(name, str | os.PathLike) else name
    if not isinstance(found, str):
        raise SettingError(f"name is {shown(name)}; expected the name of a model, a folder, or a hub id")
    if len(found) > _LONGEST or "\0" in found or found.encode(errors="replace").decode() != found:
        raise ModelError(
            f"there is no model {shown(found)}; give an existing folder, a hub id, or one of {bundled_names()}"
        )
    return found


def _dtype(dtype: str | torch.dtype | None) -> str | torch.dtype:
    text = str(dtype).removeprefix("torch.") if dtype is not None else "auto"
    if text not in _DTYPES:
        raise SettingError(f"dtype is {shown(text)}; expected one of {', '.join(_DTYPES)}")
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
    # os.path says False where Path raises an error: for a name that is too long, or holds what no path can.
    folder = Path(os.path.expanduser(name))
    if name.strip() and os.path.isdir(folder):
        if not (folder / "config.json").is_file():
            raise ModelError(f"folder {name} {_instead_of_model(folder)}; expected a model saved with save_pretrained")
        return str(folder), True
    if os.path.isfile(folder):
        raise ModelError(f"{name} is a file; expected the folder of a model saved with save_pretrained")
    if name.startswith((".", "/", "~", os.sep)) or name.endswith("/") or name.count("/") > 1 or not name.strip():
        raise ModelError(f"there is no folder {name!r}; give an existing folder, a hub id, or one of {bundled_names()}")
    if "/" not in name and difflib.get_close_matches(name, [*known, DEFAULT], n=1, cutoff=0.6):
        raise unknown_model(name)
    return name, False


def _instead_of_model(folder: Path) -> str:
    """What is found in a folder without a config.json."""
    if (folder / "adapter_config.json").is_file():
        return "holds an adapter of peft alone, no model (give the model, and this folder as its adapter)"
    if (folder / "model_index.json").is_file():
        return "holds a pipeline of diffusers (model_index.json)"
    return "has no config.json"


def _writer(name: str, config: Any) -> Any:
    """The auto class that builds the model; whatever writes no text is refused."""
    saved = str(next(iter(getattr(config, "architectures", None) or ()), ""))
    count = getattr(config.get_text_config(), "num_hidden_layers", None)
    if isinstance(count, int) and count > MOST_LAYERS:
        raise ModelError(f"the config of {name} names {shown(count)} layers; expected at most {MOST_LAYERS}")
    both_ways = attends_both_ways(config)
    if both_ways is not None:
        raise ModelError(f"{name} is {both_ways}; expected a decoder-only causal language model")
    auto = auto_class_for(config)
    if auto is None:
        raise ModelError(
            f"{name} is a model of type {family_of(config)!r}, for which transformers {transformers.__version__} has "
            "no class that writes text; expected a causal language model, or a vision-language model"
        )
    gives = other_head(saved)
    if gives is not None:
        raise ModelError(
            f"{name} holds a {saved}, whose head gives {gives}, not the logits of next tokens; expected "
            f"{class_for(config) or 'a causal language model'}, saved with save_pretrained"
        )
    return auto


def _complete(name: str, source: str, auto: Any, built: dict[str, Any]) -> PreTrainedModel:
    """The model with all of its weights; transformers fills missing ones with random numbers."""
    saved = next(iter(getattr(built["config"], "architectures", None) or ()), "")
    model, found = auto.from_pretrained(source, output_loading_info=True, **built)
    missing, wanted = sorted(found["missing_keys"]), type(model).__name__
    if missing:
        holds = f"holds a {saved}, which lacks" if saved and saved != wanted else "lacks"
        count = "1 weight" if len(missing) == 1 else f"{len(missing)} weights"
        raise ModelError(
            f"{name} {holds} {count} of {wanted}, such as {missing[0]}; expected a {wanted} with its language-model "
            "head, saved with save_pretrained"
        )
    return cast(PreTrainedModel, model)
