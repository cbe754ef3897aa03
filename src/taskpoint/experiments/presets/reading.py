"""From the name of a preset, or a file of the user's own, to what it says, checked to the last setting."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from taskpoint.configuration import Configuration, settings_of
from taskpoint.errors import DataError, SettingError, UnknownNameError
from taskpoint.experiments.presets.data import check_places
from taskpoint.experiments.presets.marked import Marked, read
from taskpoint.experiments.presets.preset import Preset, PresetRun
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import ModelOptions

_FOLDER = Path(__file__).parent

# No preset is longer; a file of gigabytes would fill the memory before it is refused.
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Found:
    """A preset, and the file that it was read from.

    Attributes:
        name: such as "sia2024/fig3"; for a file of the user's own its name without the suffix.
        text: the file as it was written, comments and all.
        configs: the settings of each run.
    """

    name: str
    text: str
    preset: Preset
    configs: Mapping[str, Configuration]


def papers() -> tuple[str, ...]:
    """The papers that have presets."""
    return tuple(sorted(folder.name for folder in _FOLDER.iterdir() if any(folder.glob("*.yaml"))))


def names(paper: str) -> tuple[str, ...]:
    """The presets of a paper; an UnknownNameError where there is no such paper."""
    if paper not in papers():
        raise UnknownNameError("paper", paper, papers(), "Or give a file of your own: NAME.yaml.")
    return tuple(f"{paper}/{file.stem}" for file in sorted((_FOLDER / paper).glob("*.yaml")))


def is_file(asked: str) -> bool:
    """Whether a file is asked for and not a preset by name."""
    return asked.endswith((".yaml", ".yml"))


def find(asked: str) -> Found:
    """The preset of this name or in this file.

    Raises:
        UnknownNameError: no such paper, or no such preset of it.
        DataError: the file is missing or says something that no preset can; the message names line and field.
    """
    if is_file(asked):
        return parse(_text(Path(asked)), asked, Path(asked).stem)
    paper, _, figure = asked.partition("/")
    known = names(paper)
    if asked not in known:
        raise UnknownNameError("preset", asked, known)
    return parse(_text(_FOLDER / paper / f"{figure}.yaml"), f"{asked}.yaml", asked)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise DataError(f"{file} has more than {_LARGEST} bytes; expected a preset")
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{file} is no text in UTF-8; expected a preset") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} cannot be read ({getattr(error, 'strerror', None) or error}); give another file"
        ) from None


def parse(text: str, where: str, name: str) -> Found:
    """What a text says; errors as `find`."""
    told = read(text, where)
    try:
        preset = TypeAdapter(Preset).validate_json(json.dumps(told.value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise told.wrong(_way(told, first["loc"]), _reason(first)) from None
    configs = {run: _config(told, ("runs", run), asked) for run, asked in preset.runs.items()}
    return Found(name, text, preset, configs)


def _way(told: Marked, way: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Without the end of a way that only the checking library knows of, such as the key of a mapping."""
    return tuple(step for step in way if step != "[key]")


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "no preset has such an entry"
    if error["type"] == "missing":
        return "is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    return said[:1].lower() + said[1:]


def _config(told: Marked, way: tuple[str | int, ...], run: PresetRun) -> Configuration:
    """The settings of a run, after all else that it says was checked."""
    if run.experiment not in EXPERIMENTS:
        error = UnknownNameError("experiment", run.experiment, EXPERIMENTS)
        raise told.wrong((*way, "experiment"), str(error))
    config = EXPERIMENTS[run.experiment].config
    options = [name for name in settings_of(config.SUBJECT) if name not in settings_of(ModelOptions)]
    for name in run.data:
        if name not in options:
            had = f"it has {', '.join(options)}" if options else "it has none"
            raise told.wrong((*way, "data", name), f"{run.experiment} has no such option; {had}")
    for name, text in run.data.items():
        try:
            check_places(text)
        except SettingError as error:
            raise told.wrong((*way, "data", name), str(error)) from None
    known = settings_of(config.CONFIG)
    for name in run.settings:
        if name not in known:
            reason = f"{run.experiment} has no such setting; it has {', '.join(known)}"
            raise told.wrong((*way, "settings", name), reason)
    return _built(told, (*way, "settings"), config.CONFIG, run.settings)


def _built(
    told: Marked, way: tuple[str | int, ...], kind: type[Configuration], settings: Mapping[str, Any]
) -> Configuration:
    try:
        return TypeAdapter(kind).validate_json(json.dumps(dict(settings)), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        inner = [*way]
        for step in _steps(first["loc"], told, way):
            inner.append(step)
        raise told.wrong(inner, _reason(first)) from None
    except SettingError as error:
        # The message begins with the name of the setting.
        named = next((each.name for each in fields(kind) if str(error).startswith(each.name)), None)
        raise told.wrong(way if named not in settings else (*way, str(named)), str(error)) from None


def _steps(loc: tuple[str | int, ...], told: Marked, way: tuple[str | int, ...]) -> Iterator[str | int]:
    """The steps of a way that the file has; the others name the alternatives of a type."""
    here: Any = told.value
    for step in way:
        here = here[step]
    for step in loc:
        if step in (here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()):
            here = here[step]
            yield step
