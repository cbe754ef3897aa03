"""The one table of what is known of model families and cannot be seen from their modules, and how to add to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from taskpoint.errors import SettingError

_DOTTED = re.compile(r"\w+(\.\w+)*")


@dataclass(frozen=True)
class FamilyFacts:
    """What is known of a model family and cannot be seen from its modules.

    Attributes:
        layers: dotted path from the model to its list of decoder layers; None finds it.
        index_window: name of the config entry with the window, for families whose local layers measure distance by
            cache index instead of position, so that a hole in the kept tokens would stretch their window.
        index_window_types: name of the config entry that lists, by layer, "local" or "global"; None: all are local.
        mask_hides: boolean attention masks are True where a token is hidden; elsewhere True is what may be seen.
        by_mask: config entries whose window the attention mask holds, so that the self-check need not reach it.

    Raises:
        SettingError: an entry of another type or form.
    """

    layers: str | None = None
    index_window: str | None = None
    index_window_types: str | None = None
    mask_hides: bool = False
    by_mask: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("layers", "index_window", "index_window_types"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and _DOTTED.fullmatch(value)):
                raise SettingError(f"{name} is {value!r}; expected a name, such as {_EXAMPLES[name]!r}")
        if self.index_window_types is not None and self.index_window is None:
            raise SettingError("index_window_types is given without index_window; name the entry with the window too")
        if not isinstance(self.mask_hides, bool):
            raise SettingError(f"mask_hides is {self.mask_hides!r}; expected True or False")
        if not isinstance(self.by_mask, tuple) or not all(isinstance(name, str) and name for name in self.by_mask):
            raise SettingError(f"by_mask is {self.by_mask!r}; expected a tuple of names, such as ('sliding_window',)")


_EXAMPLES = {
    "layers": "model.layers",
    "index_window": "window_size",
    "index_window_types": "attention_layers",
}

_SHIPPED: Mapping[str, FamilyFacts] = MappingProxyType(
    {
        "gpt_neo": FamilyFacts(index_window="window_size", index_window_types="attention_layers"),
        "mpt": FamilyFacts(mask_hides=True),
    }
)

_FAMILIES: dict[str, FamilyFacts] = dict(_SHIPPED)

KNOWN_FAMILIES: Mapping[str, FamilyFacts] = MappingProxyType(_FAMILIES)
"""Model type -> facts. Families without a row are found automatically."""


def register_family(
    model_type: str,
    *,
    layers: str | None = None,
    index_window: str | None = None,
    index_window_types: str | None = None,
    mask_hides: bool = False,
    by_mask: tuple[str, ...] = (),
) -> FamilyFacts:
    """Tells the engine what it cannot see of a model family of your own.

    Most families need no row. The self-check still runs on the first model of the family: a wrong row is found, and
    masks are used instead.

    The arguments are those of `FamilyFacts`. The row replaces an earlier one of yours for the same family.

    Raises:
        SettingError: no model type, one that is shipped, or an entry of another form.

    Example:
        >>> register_family("my_decoder", layers="trunk.cells")  # doctest: +SKIP
    """
    if not isinstance(model_type, str) or not model_type:
        raise SettingError(f"model_type is {model_type!r}; expected the model_type of the family's config")
    if model_type in _SHIPPED:
        raise SettingError(f"{model_type!r} is a family that taskpoint knows; give yours a model_type of its own")
    facts = FamilyFacts(
        layers=layers,
        index_window=index_window,
        index_window_types=index_window_types,
        mask_hides=mask_hides,
        by_mask=by_mask,
    )
    _FAMILIES[model_type] = facts
    return facts
