"""The last part of every recipe: export, measure what was exported, describe it, and only then call it a model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from taskpoint.errors import RunFolderError
from taskpoint.models.files.quiet import without_bars
from taskpoint.models.loading import LanguageModel, load
from taskpoint.pretrain.result import TrainedModel
from taskpoint.training.export import export

MODEL = "model"
"""Name of the folder that a finished run leaves in its run folder."""

Result = TypeVar("Result", bound=TrainedModel)


def ship(
    out: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    stop: str,
    device: str,
    measure: Callable[[LanguageModel], Result],
    card: Callable[[Result], str],
) -> Result:
    """Makes `model` in a run folder; it is there with all its files and figures, or not at all.

    `measure` is given what is shipped, on `device`: the rounded weights, opened as a user opens them. Of what it gives,
    `card` makes the text of the README. The text `stop` ends an answer.
    """
    draft = out / f"{MODEL}.tmp"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        export(model, tokenizer, draft, stop)
        result = measure(load_quietly(draft, device))
        (draft / "README.md").write_text(card(result), encoding="utf-8")
        result.write(out)
        draft.replace(out / MODEL)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return result


def load_quietly(folder: Path, device: str) -> LanguageModel:
    """Opens an exported model without a progress bar; training has one of its own."""
    with without_bars():
        return load(folder, device=device)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """What the disk refuses becomes one line.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"{out} cannot be written ({error.strerror}); choose another out folder") from error
