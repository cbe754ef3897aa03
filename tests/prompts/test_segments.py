from __future__ import annotations

import numpy as np
import pytest

from taskpoint.errors import PromptError
from taskpoint.prompts.segments import Segment, SegmentedPrompt


def prompt(segments: list[int], examples: list[int]) -> SegmentedPrompt:
    n = len(segments)
    return SegmentedPrompt(
        np.arange(n),
        np.array(segments, dtype=np.int8),
        np.array(examples, dtype=np.int16),
        np.zeros(n, dtype=np.int8),
        "text",
        np.zeros((n, 2), dtype=np.int64),
    )


def test_segments_stand_in_the_order_of_a_prompt() -> None:
    assert [s.name for s in sorted(Segment)] == ["PREFIX", "INSTRUCTION", "EXAMPLES", "QUERY", "OUTPUT"]


def test_a_prompt_counts_its_tokens_shots_and_what_comes_before_the_output() -> None:
    labelled = prompt([0, 2, 2, 2, 3, 4], [-1, 0, 0, 1, -1, -1])
    assert (len(labelled), labelled.shots, labelled.prompt_length) == (6, 2, 5)
    assert labelled.where(Segment.EXAMPLES).tolist() == [False, True, True, True, False, False]
    assert prompt([3], [-1]).shots == 0


def test_a_prompt_without_tokens_is_refused() -> None:
    with pytest.raises(PromptError, match="no tokens"):
        prompt([], [])
