"""The bundled model and a small run on it, shared by the tests of experiments."""

from __future__ import annotations

import pytest

import taskpoint as tp
from taskpoint.experiments.locate.run import LocateResult
from taskpoint.models.loading import LanguageModel


@pytest.fixture(scope="session")
def lm() -> LanguageModel:
    return tp.load()


@pytest.fixture(scope="session")
def small_run(lm: LanguageModel) -> LocateResult:
    """Two shots, two seeds, 24 items, every control; with and without instruction."""
    return tp.locate(
        lm, tp.task("lexicon"), shots=3, seeds=2, hide="examples", instruction=(False, True), items=24, batch_size=8
    )
