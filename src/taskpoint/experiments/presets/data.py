"""The data sets that presets name, and how to get them: nothing is fetched unasked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from taskpoint.errors import DataError, SettingError
from taskpoint.settings import shown

VARIABLE = "TASKPOINT_DATA"
"""The variable that names the folder of data where no option does."""


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        title: what it is called.
        inside: where it lies in the folder of data: its own folder, or its file.
        get: a command line that fetches it there, run in that folder.
        licence: its licence.
    """

    title: str
    inside: str
    get: str
    licence: str


DATA: Mapping[str, DataSet] = MappingProxyType(
    {
        "flores101": DataSet(
            "FLORES-101",
            "flores101",
            "curl -LO https://dl.fbaipublicfiles.com/flores101/dataset/flores101_dataset.tar.gz && "
            "tar xzf flores101_dataset.tar.gz && mv flores101_dataset flores101",
            "CC BY-SA 4.0",
        ),
        "humaneval": DataSet(
            "HumanEval",
            "humaneval/HumanEval.jsonl",
            "mkdir -p humaneval && curl -L https://github.com/openai/human-eval/raw/master/data/HumanEval.jsonl.gz "
            "| gunzip > humaneval/HumanEval.jsonl",
            "MIT",
        ),
        "mbpp": DataSet(
            "MBPP",
            "mbpp/mbpp.jsonl",
            "mkdir -p mbpp && curl -L https://github.com/google-research/google-research/raw/master/mbpp/mbpp.jsonl "
            "-o mbpp/mbpp.jsonl",
            "CC BY 4.0",
        ),
    }
)
"""Name -> data set."""

_PLACE = re.compile(r"\{([^{}]*)\}")


def check_places(text: str) -> None:
    """Refuses, by a SettingError, places such as {flores} that stand for no data set."""
    for name in _PLACE.findall(text):
        if name not in DATA:
            raise SettingError(f"{{{name[:60]}}} stands for no data set; expected one of {', '.join(sorted(DATA))}")


def missing(texts: Iterator[str], folder: Path | None) -> str | None:
    """How to get the data sets that texts name and that are not there; None where all are."""
    lacking = [name for name in _named(texts) if not _place(name, folder).exists()]
    if not lacking:
        return None
    where = "a folder" if folder is None else str(folder)
    told = "; ".join(
        f"{DATA[name].title} ({DATA[name].licence}) belongs at {DATA[name].inside}: {DATA[name].get}"
        for name in lacking
    )
    mend = (
        f"name the folder with --data or {VARIABLE}, or take other data with --task"
        if folder is None
        else "run that there, or take other data with --task"
    )
    return f"{where} of data lacks {told} -- {mend}"


def _named(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(name for text in texts for name in _PLACE.findall(text)))


def _place(name: str, folder: Path | None) -> Path:
    return (folder or Path()) / DATA[name].inside


def filled(text: str, folder: Path | None) -> str:
    """A text with the paths of data sets in their places."""
    return _PLACE.sub(lambda found: str(_place(found[1], folder)), text)


def folder_of(given: Path | None) -> Path | None:
    """The folder of data: the given one, or that of the variable.

    Raises:
        DataError: it is no folder.
    """
    folder = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if folder is not None and not folder.is_dir():
        named = "--data" if given is not None else VARIABLE
        raise DataError(f"{named} is {shown(str(folder))}, which is no folder; expected the one that holds the data")
    return folder
