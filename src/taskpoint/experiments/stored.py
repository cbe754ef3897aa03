"""What config.json of a run says, read back as what wrote it; anybody may have edited it since."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.asking.learnt import model_for
from taskpoint.configuration import Configuration
from taskpoint.errors import RunFolderError, SettingError
from taskpoint.tasks.code.metric import PASS

if TYPE_CHECKING:
    import pandas as pd

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


def about(facts: Any) -> dict[str, object]:
    """Model and task of a run (its experiment's facts), as reports list them before its settings."""
    return {
        "model": facts.model,
        "revision": facts.revision or "none",
        "precision": facts.dtype,
        "attention": facts.attention,
        "task": facts.task,
        "metric": facts.metric_signature or facts.metric_name or facts.metric,
    }


def command_line(kind: str, facts: Any, settings: Configuration) -> str:
    """The command line that makes such a run again."""
    words = ["taskpoint", kind, *([] if facts.model == model_for(facts.task) else [facts.model]), "--task", facts.task]
    if facts.metric_name is not None:
        words += ["--metric", facts.metric_name]
    if facts.metric == PASS.label:
        words += ["--run-programs"]
    return shlex.join([*words, *settings.words()])


def check_rows(
    rows: pd.DataFrame,
    facts: Any,
    settings: Any,
    most: Mapping[str, int],
    folder: Path,
    *,
    zero_shot: bool = False,
) -> None:
    """Refuses a config.json that the rows contradict: in old folders their parts do not hold the settings themselves.

    Args:
        rows: all of the run.
        facts: its experiment's facts.
        settings: its settings, `template` and `shots` among them.
        most: column -> the first number that is too large for it.
        folder: the run folder, for the message.
        zero_shot: whether rows may have no examples although the settings name none such: controls.

    Raises:
        RunFolderError: some row is of another model, task, template or number of examples, or of more than there are.
    """
    import pandas as pd

    said = {"model": facts.model, "task": facts.task, "revision": facts.revision}
    for name, value in (said | {"template": settings.template}).items():
        told = [None if pd.isna(each) else str(each) for each in rows[name].unique()]
        other = [each for each in told if each != value]
        if other:
            raise damaged(folder, f"{name!r} is {value!r}, but the rows are of {other[0]!r}")
    for name, least in most.items():
        if len(rows) and int(rows[name].max()) >= least:
            raise damaged(folder, f"it knows of fewer {name}s than the rows, which go to {int(rows[name].max())}")
    asked = list(settings.shots)
    strange = sorted(set(map(int, rows["shots"].unique())) - {*asked, *([0] if zero_shot else [])})
    if strange:
        raise damaged(folder, f"'shots' are {asked}, but some rows are of {strange[0]}")
