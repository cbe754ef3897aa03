"""Lengths that a model declares and that a short prompt does not reach: windows, chunks, numbers of keys to keep.

A window that attention counts in stored keys shows only in prompts that are longer than it. Instead of reading
thousands of tokens, the self-check makes such a length small for a moment, and looks at what then changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from taskpoint.models.anatomy import Anatomy

SMALL = 5
"""What a declared length is made for a moment; less than the kept tokens of the self-check's prompts."""

_LENGTH = re.compile(
    "window|chunk|local|block|sink|span|stride|top_?k|budget|segment|recent|floor|compress|kernel|extent|memory|mem_len"
)
_OTHER = re.compile("expert|head|dim|layer|rank|group|embed|vocab|hidden|audio|image|vision|video|token_id|rope|norm")


def declared_lengths(parts: Anatomy, beyond: int) -> dict[str, int]:
    """Entries of the config and attributes of modules that are a number of tokens by their name, and their values.

    Only those larger than `beyond`; without those that no prompt can reach, because the model has fewer positions.
    """
    most = parts.max_positions or float("inf")
    known = {*parts.facts.by_mask, parts.facts.index_window}
    found: dict[str, int] = {}
    for holder in _holders(parts):
        for name, value in vars(holder).items():
            if isinstance(value, bool) or not isinstance(value, int) or not beyond < value < most or name in known:
                continue
            if _LENGTH.search(name) and not _OTHER.search(name):
                found[name] = max(value, found.get(name, 0))
    return found


@contextmanager
def shrunk(parts: Anatomy, name: str) -> Iterator[None]:
    """Makes a declared length small for the length of the block, wherever it is kept."""
    with ExitStack() as stack:
        for holder in _holders(parts):
            value = vars(holder).get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > SMALL:
                # Not setattr: configs check and rename, and the very value has to come back.
                vars(holder)[name] = SMALL
                stack.callback(vars(holder).__setitem__, name, value)
        yield


def _holders(parts: Anatomy) -> list[Any]:
    configs = {id(parts.config): parts.config}
    for module in parts.decoder.modules():
        config = getattr(module, "config", None)
        if config is not None:
            configs[id(config)] = config
    return [*configs.values(), *parts.decoder.modules()]
