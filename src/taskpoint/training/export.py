"""A trained model as the usual Hugging Face folder: small on disk, float32 when opened."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from taskpoint.models.files.quiet import without_bars


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, stop: str) -> None:
    """Writes weights rounded to float16 under a config that names float32, the tokenizer, and how to generate.

    transformers opens a model in the dtype that its config names, whatever the dtype of the file. The text `stop` ends
    an answer; it must be one token, on which `generate` then stops.

    Raises:
        OSError: The disk is full, ...
    """
    ends: list[int] = tokenizer(stop, add_special_tokens=False)["input_ids"]
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[*ends, tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    tied = set(getattr(model, "all_tied_weights_keys", ()) or ())
    weights = {
        name: weight.detach().to("cpu", torch.float16)
        for name, weight in model.state_dict().items()
        if name not in tied
    }
    with without_bars(), _told_as_the_system_does():
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)


@contextmanager
def _told_as_the_system_does() -> Iterator[None]:
    """What safetensors and tokenizers raise on a full disk is no OSError; tokenizers' is no class of its own."""
    try:
        yield
    except Exception as error:
        if isinstance(error, SafetensorError) or type(error) is Exception:
            raise OSError(errno.EIO, f"the model was not written whole: {error}") from error
        raise
