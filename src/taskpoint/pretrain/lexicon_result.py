"""What a finished pretraining on the word tasks leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskpoint.pretrain.accuracy import Accuracy
from taskpoint.pretrain.result import TrainedModel


@dataclass(frozen=True)
class LexiconResult(TrainedModel):
    """A trained model, and how often its exported weights answer right, by sub-task, examples and instruction."""

    accuracies: tuple[Accuracy, ...]

    def mean(self, shots: int, instruction: bool) -> float:
        """Mean accuracy over sub-tasks of one form of prompt."""
        found = [each.mean for each in self.accuracies if (each.shots, each.instruction) == (shots, instruction)]
        return sum(found) / len(found)

    @property
    def shots(self) -> tuple[int, ...]:
        """The numbers of examples that were measured."""
        return tuple(sorted({each.shots for each in self.accuracies}))

    def __str__(self) -> str:
        lines = [super().__str__()]
        for instruction in (False, True):
            scores = ", ".join(f"{self.mean(shots, instruction):.2f}" for shots in self.shots)
            counts = ", ".join(map(str, self.shots))
            lines.append(f"exact match {'with' if instruction else 'without'} instruction at {counts} shots: {scores}")
        return "\n".join(lines)

    @classmethod
    def _measured(cls, found: dict[str, Any]) -> dict[str, Any]:
        return {"accuracies": tuple(Accuracy(**each) for each in found["accuracies"])}
