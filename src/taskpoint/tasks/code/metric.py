"""The score of programs."""

from __future__ import annotations

from collections.abc import Sequence

from taskpoint.errors import SettingError
from taskpoint.tasks.scores.metrics import Metric


class PassAt1(Metric):
    """Whether a program passes all tests of its problem; the task itself runs it."""

    name = "pass@1"
    label = "pass@1"

    def score(self, text: str, answers: Sequence[str]) -> float:
        """Not of texts: a SettingError."""
        raise SettingError("pass@1 is a score of programs; ask a humaneval: or mbpp: task for it")


PASS: Metric = PassAt1()
