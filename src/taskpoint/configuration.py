"""Settings: each stands once, as a field of a frozen dataclass, with default, help, check and option."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from taskpoint.settings import keep

Check = Callable[[str, Any], Any]
"""Gives a value back as it is kept, or raises SettingError; its first argument is the setting's name."""

T = TypeVar("T", bound="Configuration")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Option:
    """How the command line asks for a value.

    Attributes:
        kind: type of what is typed, as typer knows it; a list may be given more than once.
        help: one or two short sentences; empty for those of the setting that it gives.
        argument: given by its place and not by its name.
    """

    kind: Any
    help: str = ""
    default: Any = None
    argument: bool = False


@dataclass(frozen=True)
class Setting:
    """What is known of a field beside its type and default.

    Attributes:
        argument: given by its place on the command line.
        options: the options of the command line that give it, by name; None for one that the field's type decides.
        read: from the values of these options to the setting.
        words: from the setting to what is typed to get it.
    """

    help: str
    check: Check
    argument: bool = False
    options: Mapping[str, Option] | None = None
    read: Callable[..., Any] | None = None
    words: Callable[[Any], Sequence[str]] | None = None


def setting(default: Any, help: str, check: Check, **more: Any) -> Any:
    """A field of a configuration.

    Args:
        default: its default, or a function without arguments that makes one.
        help: what it means.
        check: see `Check`.
        more: other attributes of `Setting`.
    """
    given: dict[str, Any] = {"default_factory" if callable(default) else "default": default}
    return dataclasses.field(**given, metadata={"setting": Setting(help, check, **more)})


@dataclass(frozen=True)
class Configuration:
    """A frozen dataclass whose fields are made by `setting`; making one checks them all.

    Raises:
        SettingError: a value is of another type or out of range.
    """

    def __post_init__(self) -> None:
        keep(self, **{name: known.check(name, getattr(self, name)) for name, known in settings_of(type(self)).items()})

    @classmethod
    def of(cls: type[T], **values: Any) -> T:
        """The configuration of values in any form that their checks take, such as a number alone for several."""
        known = settings_of(cls)
        return cls(**{name: known[name].check(name, value) for name, value in values.items()})

    @classmethod
    def typed(cls: type[T], values: Mapping[str, Any]) -> T:
        """The configuration that the values of its options give.

        Args:
            values: what was typed, by name of the option; other names are left alone.
        """
        given = {}
        for name, known in settings_of(cls).items():
            found = {each: values[each] for each in options_of(cls, name)}
            if known.read is not None:
                given[name] = known.read(**found)
            elif found[name] is not None:
                given[name] = tuple(found[name]) if isinstance(found[name], list) else found[name]
        return cls(**given)

    def words(self) -> list[str]:
        """What is typed to get it: every number, and all else that is not the default."""
        said: list[str] = []
        for field in dataclasses.fields(self):
            known, value = settings_of(type(self))[field.name], getattr(self, field.name)
            if value == field.default and (isinstance(value, bool | str) or value is None):
                continue
            name = "--" + field.name.replace("_", "-")
            if known.words is not None:
                said += known.words(value)
            elif known.argument:
                said.append(str(value))
            elif isinstance(value, bool):
                said.append(name if value else name.replace("--", "--no-", 1))
            else:
                said += [word for one in (value if isinstance(value, tuple) else [value]) for word in (name, str(one))]
        return said


def settings_of(kind: type[Configuration]) -> dict[str, Setting]:
    """The settings of a configuration by name."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(kind)}


def options_of(kind: type[Configuration], name: str) -> Mapping[str, Option]:
    """The options that give a setting."""
    known = settings_of(kind)[name]
    if known.options is not None:
        return {each: replace(option, help=option.help or known.help) for each, option in known.options.items()}
    (default,) = (field.default for field in dataclasses.fields(kind) if field.name == name)
    hint, text = typing.get_type_hints(kind)[name], known.help
    if isinstance(default, tuple):
        text += f" May be repeated. (default: {', '.join(map(str, default))})"
        hint, default = list[typing.get_args(hint)[0]] | None, None  # type: ignore[misc]
    return {name: Option(hint, text, default, known.argument)}


def described(kind: type[Configuration]) -> Callable[[F], F]:
    """Puts the help of every setting below the docstring of a function that takes them."""

    def with_settings(function: F) -> F:
        lines = [f"        {name}: {known.help}" for name, known in settings_of(kind).items()]
        function.__doc__ = "\n".join([(function.__doc__ or "").rstrip(), "", "    Settings:", *lines, ""])
        return function

    return with_settings


def table(*kinds: type[Configuration]) -> str:
    """The options of configurations as a Markdown table, for the documentation."""
    rows = ["| option | default | meaning |", "| --- | --- | --- |"]
    for kind in kinds:
        for name in settings_of(kind):
            for each, option in options_of(kind, name).items():
                spelled = each.upper() if option.argument else f"`--{each.replace('_', '-')}`"
                default = "" if option.default is None else f"`{_plain(option.default)}`"
                rows.append(f"| {spelled} | {default} | {option.help.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def optional(check: Check) -> Check:
    """The check of a setting that may be None."""
    return lambda name, value: None if value is None else check(name, value)


def unchecked(name: str, value: Any) -> Any:
    """The check of what is only checked where it is used, such as the name of a model."""
    return value
