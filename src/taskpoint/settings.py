"""Checks of what a user gives as a setting; each says in one line what was found, and what was expected."""

from __future__ import annotations

import errno
import math
import operator
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from taskpoint.errors import SettingError

MOST = 2**31 - 1
"""The largest whole number that a setting may be when it has no bound of its own: what 32 bits hold."""

_SHOWN = 60


def shown(value: object) -> str:
    """A value for a message: short, whatever it is."""
    # Python refuses to write numbers of thousands of digits.
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return f"a number of {int(value.bit_length() * math.log10(2)) + 1} digits"
    try:
        text = repr(value)
    except Exception:  # whatever a stranger's object does when it is printed
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def whole(name: str, value: Any, least: int, most: int = MOST) -> int:
    """A whole number of any integer type; a SettingError for anything else, or one out of bounds."""
    expected = f"expected a whole number from {least} to {most}"
    # A bool is an int in Python, and an array of one number says that it is one.
    if isinstance(value, bool) or int(getattr(value, "ndim", 0)):
        raise SettingError(f"{name} is {shown(value)}; {expected}")
    try:
        number = operator.index(value)
    except TypeError:
        raise SettingError(f"{name} is {shown(value)}; {expected}") from None
    if not least <= number <= most:
        raise SettingError(f"{name} is {shown(number)}; {expected}")
    return number


def wholes(name: str, values: Any, least: int, most: int = MOST) -> tuple[int, ...]:
    """One or more different whole numbers; a single one may stand alone.

    Raises:
        SettingError: One is no whole number, out of bounds, or there twice.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        values = (values,)
    found = tuple(whole(name, value, least, most) for value in values)
    if not found or len(set(found)) < len(found):
        raise SettingError(f"{name} is {shown(','.join(map(str, found)))}; expected one or more different numbers")
    return found


def keep(settings: object, **values: object) -> None:
    """Puts checked values into a frozen dataclass: numbers of other libraries as Python's own, which files can hold."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)


def flag(name: str, value: Any) -> bool:
    """True or False; a SettingError for anything else."""
    if not isinstance(value, bool):
        raise SettingError(f"{name} is {shown(value)}; expected True or False")
    return value


def text(name: str, value: Any) -> str:
    """A text that says something; a SettingError for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise SettingError(f"{name} is {shown(value)}; expected a text")
    return value


def place(name: str, value: Any) -> Path:
    """The path of a file or folder.

    Raises:
        SettingError: It is no path, or empty, which Python would take for the current folder.
    """
    given = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(given, str):
        raise SettingError(f"{name} is {shown(value)}; expected the path of a file or folder")
    if not given:
        raise SettingError(f"{name} is empty; expected the path of a file or folder (. is the current folder)")
    if "\0" in given:
        raise SettingError(f"{name} is {shown(given)}, which holds a zero byte; no path can")
    try:
        os.stat(given)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise SettingError(f"{name} is {shown(given)}, which no file can be ({error.strerror})") from None
    return Path(given)


def from_to(least: int, most: int = MOST) -> Callable[[str, Any], int]:
    """The check of a whole number between bounds."""
    return lambda name, value: whole(name, value, least, most)


def each_from(least: int) -> Callable[[str, Any], tuple[int, ...]]:
    """The check of one or more different whole numbers."""
    return lambda name, value: wholes(name, value, least)


def number(name: str, value: Any, least: float, most: float, *, above: bool = False) -> float:
    """A finite number between bounds, the lower one left out where it has to be `above` it.

    Raises:
        SettingError: Anything else, or one out of bounds.
    """
    plain = isinstance(value, int | float) or hasattr(value, "__float__")
    found = float(value) if plain and not isinstance(value, bool | str) and not getattr(value, "ndim", 0) else math.nan
    if not least <= found <= most or not math.isfinite(found) or (above and found == least):
        if math.isinf(most):
            expected = f"a finite number {'above' if above else 'of at least'} {least:g}"
        else:
            expected = (
                f"a number above {least:g}, at most {most:g}" if above else f"a number from {least:g} to {most:g}"
            )
        raise SettingError(f"{name} is {shown(value)}; expected {expected}")
    return found


def number_from(least: float, most: float = math.inf) -> Callable[[str, Any], float]:
    """The check of a number between bounds."""
    return lambda name, value: number(name, value, least, most)


def number_above(least: float, most: float = math.inf) -> Callable[[str, Any], float]:
    """The check of a number above one bound, and not above another."""
    return lambda name, value: number(name, value, least, most, above=True)
