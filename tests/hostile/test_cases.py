"""Every hostile case that was ever found: one line or a right result, no traceback, no hang, nothing overwritten.

The first round runs whole. Of the second, which takes minutes, every 24th case does, but for those that need a
process of their own; `python try_all.py` runs all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("cases run in forked processes under limits that Linux knows", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parent))

from arena import Arena, Case
from further import FURTHER
from named import NAMED
from try_all import made

# Processes of their own cost seconds each.
SOME = tuple(case for case in FURTHER[::24] if not case.name.startswith("a process with"))


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    arena = Arena(tmp_path_factory.mktemp("materials"))
    try:
        made(arena, {name for case in (*NAMED, *SOME) for name in case.needs})
        yield arena
    finally:
        arena.close()


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in (*NAMED, *FURTHER)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", [*NAMED, *SOME], ids=lambda case: case.name)
def test_a_hostile_case_ends_in_one_line_or_in_what_is_right(arena: Arena, case: Case) -> None:
    assert arena.run(case).wrong == ""
