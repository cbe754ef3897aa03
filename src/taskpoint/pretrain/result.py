"""What a finished pretraining leaves: where the model is, what it cost, how well it answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from taskpoint.errors import RunFolderError
from taskpoint.pretrain.accuracy import Accuracy
from taskpoint.results.atomic import write_whole

_FILE = "result.json"


@dataclass(frozen=True)
class PretrainResult:
    """A trained model.

    Attributes:
        folder: The model in the usual Hugging Face form, with its card.
        steps: Training steps.
        seconds: Time spent in them.
        loss: Loss of the last step, nats per taught token.
        parameters: Number of weights; tied ones count once.
        accuracies: By sub-task, examples and instruction, of the exported weights.
    """

    folder: Path
    steps: int
    seconds: float
    loss: float
    parameters: int
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
        lines = [f"model: {self.folder}", f"trained: {self.steps} steps in {self.seconds / 60:.0f} minutes"]
        for instruction in (False, True):
            scores = ", ".join(f"{self.mean(shots, instruction):.2f}" for shots in self.shots)
            counts = ", ".join(map(str, self.shots))
            lines.append(f"exact match {'with' if instruction else 'without'} instruction at {counts} shots: {scores}")
        return "\n".join(lines)

    def write(self, out: Path) -> None:
        """Write `result.json` into the run folder.

        Raises:
            OSError: the folder cannot be written.
        """
        content = asdict(self) | {"folder": self.folder.name}
        write_whole(out / _FILE, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def read(cls, out: Path) -> PretrainResult:
        """Read `result.json` from a run folder.

        Raises:
            RunFolderError: it is not there, or damaged.
        """
        try:
            found = json.loads((out / _FILE).read_bytes())
            found["folder"] = out / found["folder"]
            found["accuracies"] = tuple(Accuracy(**each) for each in found["accuracies"])
            return cls(**found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{out / _FILE} is missing or damaged ({type(error).__name__}); "
                f"remove {out / 'model'} to have it made and measured again"
            ) from error
