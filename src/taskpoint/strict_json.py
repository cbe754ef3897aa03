"""JSON as its standard has it, and nothing that readers understand in different ways."""

from __future__ import annotations

import json
import math
from typing import Any


def parse(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: It is no JSON, holds a key twice, NaN or infinity, or is nested too deeply; the message says which.
    """
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose keys differ, for `object_pairs_hook`.

    Raises:
        ValueError: A key stands there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:60]!r} stands there twice; leave one")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:60]} is too large a number; write it as a text")
    return number


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python's own limit
        raise ValueError(f"a number of {len(digits):,} digits; write it as a text") from None


def _refuse(constant: str) -> object:
    # Not equal to itself when it is read back.
    raise ValueError(f"{constant} is no JSON number")
