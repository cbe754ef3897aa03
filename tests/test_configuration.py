"""A setting stands once: its default, help, check and option come from one field."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskpoint.asking.condition import PAPER_CONDITIONS
from taskpoint.configuration import Configuration, Option, optional, options_of, setting, settings_of, table
from taskpoint.errors import SettingError
from taskpoint.experiments.locate.config import Instruction, LocateConfig
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.settings import each_from, flag, from_to, text


@dataclass(frozen=True)
class Few(Configuration):
    """Settings of every form."""

    place: str | None = setting(None, "Where.", optional(text), argument=True)
    shots: tuple[int, ...] = setting((5,), "Examples.", each_from(0))
    seeds: int = setting(3, "Draws.", from_to(1, 10))
    fresh: bool = setting(False, "New examples.", flag)
    controls: bool = setting(True, "Controls.", flag)
    pair: str = setting(
        "a|b",
        "Two letters.",
        text,
        options={"left": Option(str, "One.", "a"), "right": Option(str, "Other.", "b")},
        read=lambda left, right: f"{left}|{right}",
        words=lambda pair: ["--left", pair[0], "--right", pair[2]],
    )


def test_values_are_checked_and_kept_in_one_form() -> None:
    assert Few.of(shots=2).shots == (2,)
    assert Few.of(shots=[1, 4]).shots == (1, 4)
    for wrong in ({"seeds": 11}, {"seeds": True}, {"fresh": 1}, {"shots": (1, 1)}, {"place": ""}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            Few.of(**wrong)


def test_what_is_not_typed_is_the_default() -> None:
    typed: dict[str, Any] = {
        name: one.default for each in vars(Few)["__dataclass_fields__"] for name, one in options_of(Few, each).items()
    }
    assert Few.typed(typed) == Few()


@pytest.mark.parametrize("more", [{"hide": ["query"]}, {"instruction": Instruction.yes}])
def test_the_conditions_of_the_paper_go_with_none_of_ones_own(more: dict[str, Any]) -> None:
    options = [options_of(LocateConfig, name).items() for name in settings_of(LocateConfig)]
    typed = {name: option.default for each in options for name, option in each} | {"paper": True}
    assert LocateConfig.typed(typed).conditions == PAPER_CONDITIONS
    with pytest.raises(SettingError, match="--paper brings its own conditions"):
        LocateConfig.typed(typed | more)


def test_every_option_is_a_row_of_the_table() -> None:
    rows = table(Few).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| PLACE",
        "| `--shots`",
        "| `--seeds`",
        "| `--fresh`",
        "| `--controls`",
        "| `--left`",
        "| `--right`",
    ]
    assert rows[2] == "| `--seeds` | `3` | Draws. |"
    assert "(default: 5)" in rows[1]


@given(
    st.sets(st.integers(0, 9), min_size=1, max_size=3),
    st.integers(1, 10),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["a|b", "b|a"]),
)
def test_words_give_the_same_configuration_again(
    shots: set[int], seeds: int, fresh: bool, controls: bool, pair: str
) -> None:
    """Read by hand as the command line does."""
    asked = Few.of(shots=tuple(shots), seeds=seeds, fresh=fresh, controls=controls, pair=pair)
    words = asked.words()
    typed: dict[str, Any] = {
        "place": None,
        "shots": [],
        "seeds": 3,
        "fresh": False,
        "controls": True,
        "left": "a",
        "right": "b",
    }
    while words:
        name = words.pop(0).removeprefix("--")
        if name == "fresh":
            typed["fresh"] = True
        elif name == "no-controls":
            typed["controls"] = False
        elif name == "shots":
            typed["shots"].append(int(words.pop(0)))
        else:
            typed[name] = type(typed[name])(words.pop(0))
    assert Few.typed(typed) == asked


def test_help_of_a_function_tells_every_setting() -> None:
    import taskpoint as tp

    for experiment in EXPERIMENTS.values():
        told = getattr(tp, experiment.kind).__doc__
        for name in vars(experiment.config.CONFIG)["__dataclass_fields__"]:
            assert f"\n        {name}: " in told


def test_a_default_of_a_function_is_that_of_its_setting() -> None:
    import inspect

    import taskpoint as tp

    taken = inspect.signature(tp.locate).parameters
    for name in ("seeds", "fresh", "batch_size", "controls", "template", "max_new_tokens"):
        assert taken[name].default == getattr(LocateConfig, name)


def test_the_documentation_lists_the_options_of_every_experiment() -> None:
    script = Path(__file__).parents[1] / "tools" / "options.py"
    behind = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert (behind.returncode, behind.stdout) == (0, "")
    for kind in EXPERIMENTS:
        assert "| option | default | meaning |" in (script.parents[1] / "docs" / f"{kind}.md").read_text()
