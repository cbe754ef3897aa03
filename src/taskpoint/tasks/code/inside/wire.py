"""Plain values as bytes between the tests and the program that they test.

The tests read what a hostile program may have written, so no format is used that can make anything but plain values.
"""

from __future__ import annotations

import builtins
import json
import operator
import os
from collections.abc import Callable, Set
from typing import Any

LONGEST = 1 << 25
"""Bytes of one message at most."""

# Of a container: its tag, and what makes it of a list. What derives from one is sent as that one, so that a program
# cannot send a value with an == of its own.
_LISTS: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (tuple, "tuple", tuple),
    (set, "set", set),
    (frozenset, "frozenset", frozenset),
)
_TYPES = {name: kind for name, kind in vars(builtins).items() if isinstance(kind, type)}
_MAKES = {tag: make for _, tag, make in _LISTS}
# Numbers that any reader of JSON keeps exactly.
_SMALL = 1 << 53


def send(descriptor: int, message: Any) -> None:
    """Writes one message of what JSON has; a ValueError where it is too long."""
    data = json.dumps(message).encode()
    if len(data) > LONGEST:
        raise ValueError(f"a message of {len(data)} bytes")
    data = len(data).to_bytes(4, "big") + data
    while data:
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int) -> Any:
    """Reads one message; an EOFError where there is no whole one, a ValueError where it is none."""
    size = int.from_bytes(_bytes(descriptor, 4), "big")
    if size > LONGEST:
        raise ValueError(f"a message of {size} bytes")
    return json.loads(_bytes(descriptor, size))


def _bytes(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def packed(value: Any, other: Callable[[Any], Any]) -> Any:
    """A value as JSON has it; `other` says what stands for what is no plain value."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int(value)
        return number if -_SMALL < number < _SMALL else {"int": hex(number)}
    if isinstance(value, float):
        return {"float": float.hex(float(value))}
    if isinstance(value, complex):
        return {"complex": [float.hex(value.real), float.hex(value.imag)]}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return {"bytes" if isinstance(value, bytes) else "bytearray": bytes(value).hex()}
    if isinstance(value, list):
        return [packed(each, other) for each in list(value)]
    if isinstance(value, dict):
        return {"dict": [[packed(key, other), packed(each, other)] for key, each in dict(value).items()]}
    for kind, tag, _ in _LISTS:
        if isinstance(value, kind):
            return {tag: [packed(each, other) for each in value]}
    if isinstance(value, type):
        name = str(type.__getattribute__(value, "__name__"))
        if _TYPES.get(name) is value:
            return {"type": name}
    if isinstance(value, Set):
        return {"set": [packed(each, other) for each in value]}
    if hasattr(type(value), "__index__"):
        return packed(operator.index(value), other)
    if type(value).__module__ == "numpy" and value.shape == ():
        return packed(value.item(), other)
    return {"other": other(value)}


def unpacked(value: Any, other: Callable[[Any], Any]) -> Any:
    """The value again; a ValueError, TypeError or KeyError for what `packed` never makes."""
    if isinstance(value, list):
        return [unpacked(each, other) for each in value]
    if not isinstance(value, dict):
        return value
    ((tag, held),) = value.items()
    if tag == "int":
        return int(held, 16)
    if tag == "float":
        return float.fromhex(held)
    if tag == "complex":
        return complex(*map(float.fromhex, held))
    if tag == "bytes":
        return bytes.fromhex(held)
    if tag == "bytearray":
        return bytearray.fromhex(held)
    if tag == "dict":
        return {unpacked(key, other): unpacked(each, other) for key, each in held}
    if tag == "type":
        return _TYPES[held]
    if tag in _MAKES:
        return _MAKES[tag](unpacked(each, other) for each in held)
    if tag == "other":
        return other(held)
    raise ValueError(f"a value of kind {tag!r}")
