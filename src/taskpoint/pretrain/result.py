"""What every finished pretraining leaves: where the model is and what it cost. Each recipe adds how good it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from taskpoint.errors import RunFolderError
from taskpoint.results.atomic import write_whole

_FILE = "result.json"

Kind = TypeVar("Kind", bound="TrainedModel")


@dataclass(frozen=True)
class TrainedModel:
    """A trained model.

    Attributes:
        folder: The model in the usual Hugging Face form, with its card.
        loss: Loss of the last step, nats per taught token.
        parameters: Number of weights; tied ones count once.
    """

    folder: Path
    steps: int
    seconds: float
    loss: float
    parameters: int

    def __str__(self) -> str:
        return f"model: {self.folder}\ntrained: {self.steps} steps in {self.seconds / 60:.0f} minutes"

    def write(self, out: Path) -> None:
        """Writes `result.json` into the run folder.

        Raises:
            OSError: the folder cannot be written.
        """
        content = asdict(self) | {"folder": self.folder.name}
        write_whole(out / _FILE, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def read(cls: type[Kind], out: Path) -> Kind:
        """Reads `result.json` from a run folder.

        Raises:
            RunFolderError: it is not there, or damaged.
        """
        try:
            found = json.loads((out / _FILE).read_bytes())
            return cls(**found | {"folder": out / found["folder"]} | cls._measured(found))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{out / _FILE} is missing or damaged ({type(error).__name__}); "
                f"remove {out / 'model'} to have it made and measured again"
            ) from error

    @classmethod
    def _measured(cls, found: dict[str, Any]) -> dict[str, Any]:
        """What a recipe adds, made of what the file says."""
        return {}
