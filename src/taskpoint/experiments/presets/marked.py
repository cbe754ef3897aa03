"""YAML as plain values of JSON, with the line of each: whoever wrote a file is told where a mistake stands.

Of YAML's two editions this is the later one: `no` is a text and 010 is ten, not False and eight.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from taskpoint.errors import DataError
from taskpoint.settings import shown

# More values than any preset has; a file of a few lines can name billions through aliases of aliases.
_MOST = 20_000


class _Loader(yaml.SafeLoader):
    """Knows numbers, true, false and null; all else is text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # the library declares it so


_NUMBER = r"[-+]?[0-9]+"
for _tag, _form, _first in (
    ("null", r"null|~|", "n~\0"),
    ("bool", r"true|false", "tf"),
    ("int", _NUMBER, "-+0123456789"),
    ("float", rf"{_NUMBER}(?:\.[0-9]*)?(?:[eE]{_NUMBER})?", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_form})$"), list(_first))


@dataclass(frozen=True, eq=False)
class Marked:
    """What a file says.

    Attributes:
        value: mappings, lists, texts, numbers, truth values and None.
    """

    where: str
    value: Any
    _root: yaml.Node

    def line(self, way: Sequence[str | int]) -> int:
        """The line of the entry that keys and places in lists lead to, or of the last that is there on the way."""
        node, mark = self._root, self._root.start_mark
        for step in way:
            inner = _inside(node, step)
            if inner is None:
                break
            named, node = inner
            mark = named.start_mark
        return int(mark.line) + 1

    def wrong(self, way: Sequence[str | int], reason: str) -> DataError:
        """What to raise for the value at the end of a way."""
        name = ".".join(map(str, way))
        return DataError(f"{self.where}, line {self.line(way)}{f', {name}' if name else ''}: {reason}")


def read(text: str, where: str) -> Marked:
    """Reads YAML.

    Raises:
        DataError: it is no YAML, a key stands twice in one mapping, or a value is none that JSON has.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        raise DataError(f"{where}{line}: is no YAML ({error.problem or error.context})") from None
    except yaml.YAMLError as error:
        raise DataError(f"{where}: is no YAML ({' '.join(str(error).split())[:120]})") from None
    except RecursionError:
        raise DataError(f"{where}: is nested too deep") from None
    if root is None:
        raise DataError(f"{where}: is empty; expected a preset")
    left = [_MOST]
    try:
        return Marked(where, _value(root, where, left), root)
    except RecursionError:
        raise DataError(f"{where}: is nested too deep") from None


def _value(node: yaml.Node, where: str, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise DataError(f"{where}: holds more than {_MOST} values; expected a preset")
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, where, left) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(key, where, "a key is no text")
            if key.value in found:
                raise _wrong(key, where, f"key {shown(key.value)} stands there twice")
            found[key.value] = _value(inner, where, left)
        return found
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text == "true"
        case "int" if len(text) < 20:
            return int(text)
        case "float" if len(text) < 40 and abs(float(text)) < float("inf"):
            return float(text)
        case "str":
            return text
    raise _wrong(node, where, f"{shown(text)} is no text, number, true, false or null")


def _wrong(node: yaml.Node, where: str, reason: str) -> DataError:
    return DataError(f"{where}, line {node.start_mark.line + 1}: {reason}")


def _inside(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """What a step leads to: the node that names it, and the one that holds it."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, inner) for key, inner in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None
