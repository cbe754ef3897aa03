"""What reports say of a run, from its config.json."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from taskpoint.experiments.ablate.config import AblateConfig
from taskpoint.experiments.stored import command_line
from taskpoint.tasks.code.metric import PASS


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"model": "lexicon", "metric": "exact match"}, "ablate --task lexicon --shots"),
        ({"model": "own", "metric": "exact match"}, "ablate own --task lexicon --shots"),
        ({"model": "lexicon", "metric": "chrF", "metric_name": "chrf:lc"}, "--task lexicon --metric chrf:lc --shots"),
        ({"model": "lexicon", "metric": PASS.label}, "--task lexicon --run-programs --shots"),
    ],
)
def test_the_command_of_a_run_names_what_is_not_taken_anyway(facts: dict[str, str], words: str) -> None:
    known = SimpleNamespace(**{"task": "lexicon", "metric_name": None, **facts})
    assert words in command_line("ablate", known, AblateConfig())
