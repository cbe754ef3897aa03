"""The table of families takes rows of one's own, and refuses what it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jaxtyping
import pytest

import taskpoint as tp
from taskpoint.errors import SettingError
from taskpoint.models import families
from taskpoint.models.families import KNOWN_FAMILIES, FamilyFacts


@pytest.fixture(autouse=True)
def _forget_and_check_no_types(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests' own type checks would come first."""
    monkeypatch.setattr(families, "_FAMILIES", dict(families._FAMILIES))
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_a_row_is_what_was_said_and_a_later_one_takes_its_place() -> None:
    row = tp.register_family("mine", layers="body.cells", index_window="reach", by_mask=("span",))
    assert row == FamilyFacts(layers="body.cells", index_window="reach", by_mask=("span",))
    assert families._FAMILIES["mine"] is row
    tp.register_family("mine", mask_hides=True)
    assert families._FAMILIES["mine"] == FamilyFacts(mask_hides=True)


def test_the_table_is_read_only_but_for_register_family() -> None:
    with pytest.raises(TypeError):
        KNOWN_FAMILIES["mine"] = FamilyFacts()  # type: ignore[index]


@pytest.mark.parametrize("kind", ["gpt_neo", "mpt"])
def test_a_shipped_row_stays(kind: str) -> None:
    with pytest.raises(SettingError, match=f"'{kind}' is a family that taskpoint knows"):
        tp.register_family(kind)


@pytest.mark.parametrize("kind", ["", None, 3])
def test_a_row_needs_a_model_type(kind: Any) -> None:
    with pytest.raises(SettingError, match="expected the model_type"):
        tp.register_family(kind)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"layers": "body..cells"}, "layers is 'body..cells'; expected a name, such as 'model.layers'"),
        ({"layers": ""}, "layers is ''"),
        ({"layers": ["cells"]}, "layers is"),
        ({"index_window": 256}, "index_window is 256; expected a name, such as 'window_size'"),
        ({"index_window_types": "kinds"}, "without index_window"),
        ({"mask_hides": 1}, "expected True or False"),
        ({"by_mask": "span"}, "by_mask is 'span'; expected a tuple of names"),
        ({"by_mask": ("span", 3)}, "by_mask is"),
    ],
)
def test_an_entry_of_another_form_is_refused_in_one_line(named: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        tp.register_family("mine", **named)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "mine" not in families._FAMILIES
