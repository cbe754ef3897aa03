"""What a finished pretraining on translation leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskpoint.pretrain.result import TrainedModel
from taskpoint.pretrain.translations import TranslationScore, ZeroShot, mean_bleu


@dataclass(frozen=True)
class TranslatorResult(TrainedModel):
    """A trained model, and how well its exported weights translate, by test set, direction, examples and instruction.

    `zero_shot` tells by test set and direction what is answered when nothing tells the task.
    """

    scores: tuple[TranslationScore, ...]
    zero_shot: tuple[ZeroShot, ...]

    def mean(self, task: str, shots: int, instruction: bool) -> float:
        """Mean BLEU over the directions of one test set in one form of prompt."""
        return mean_bleu([each for each in self.scores if each.task == task], shots, instruction)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the test sets."""
        return tuple(dict.fromkeys(each.task for each in self.scores))

    @property
    def shots(self) -> tuple[int, ...]:
        """The numbers of examples that were measured."""
        return tuple(sorted({each.shots for each in self.scores}))

    def __str__(self) -> str:
        lines = [super().__str__()]
        for task in self.tasks:
            for instruction in (False, True):
                scores = ", ".join(f"{self.mean(task, shots, instruction):.1f}" for shots in self.shots)
                counts = ", ".join(map(str, self.shots))
                form = "with" if instruction else "without"
                lines.append(f"BLEU on {task} {form} instruction at {counts} shots: {scores}")
        return "\n".join(lines)

    @classmethod
    def _measured(cls, found: dict[str, Any]) -> dict[str, Any]:
        return {
            "scores": tuple(TranslationScore(**each) for each in found["scores"]),
            "zero_shot": tuple(ZeroShot(**each) for each in found["zero_shot"]),
        }
