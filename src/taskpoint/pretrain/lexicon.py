"""The recipe of the bundled model: a small transformer that learns the word tasks of the lexicon in context.

`models/bundled/lexicon` is the folder `model` that `run` writes with the settings as they stand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskpoint.models.device import usable_device
from taskpoint.models.loading import LanguageModel
from taskpoint.pretrain.accuracy import accuracies
from taskpoint.pretrain.card import hardware
from taskpoint.pretrain.data import Mixture
from taskpoint.pretrain.lexicon_card import lexicon_card
from taskpoint.pretrain.lexicon_result import LexiconResult
from taskpoint.pretrain.ship import MODEL, ship, writing
from taskpoint.progress import Progress
from taskpoint.prompts.template import template
from taskpoint.results.folder import RunFolder
from taskpoint.settings import place
from taskpoint.tasks.lexicon import subtasks
from taskpoint.tasks.mapping import MappingTask, Subtask
from taskpoint.training.recipe import Recipe
from taskpoint.training.tokenizer import suite_texts, train_tokenizer
from taskpoint.training.trainer import train

# Plain templates with a stop text; the first is the one that the task suite uses by itself.
_TEMPLATES = ("qa", "arrow", "colon")

# What may differ between two processes that work on the same model.
_FREE = ("out", "device", "checkpoint_every")


@dataclass(frozen=True)
class PretrainLexicon(Recipe):
    """All that decides the model; the defaults are those of the bundled one.

    What is not told here is told by `Architecture` and `TrainingSettings`; `warmup_share` is the share of the steps in
    which the learning rate rises.

    Attributes:
        out: Run folder, with the checkpoint and at the end the folder `model`.
        batch: Sequences in a step.
        shots: Worked examples in a sequence. The answers of all of them are taught, so 0 to `shots` are learnt at once.
        instruction_share: Share of the sequences with an instruction line.
        other_share: Share of the sequences in another template than "qa".
        positions: Longest sequence that the model says it reads; it is trained on about a hundred tokens.
        bfloat16: Multiply in bfloat16 (about twice as fast on CPUs that have it); the weights stay float32.
        measured: Queries of each sub-task that the model card's accuracies are measured on.

    Raises:
        SettingError: a value out of its range, or two that do not fit.
    """

    out: Path
    steps: int = 1600
    batch: int = 64
    shots: int = 8
    instruction_share: float = 0.5
    other_share: float = 0.1
    layers: int = 12
    width: int = 128
    heads: int = 4
    mlp: int = 320
    positions: int = 1024
    vocab: int = 2800
    lr: float = 2e-3
    warmup_share: float = 0.05
    weight_decay: float = 0.05
    beta2: float = 0.98
    clip: float = 1.0
    bfloat16: bool = True
    seed: int = 0
    device: str = "cpu"
    checkpoint_every: int = 50
    measured: int = 60

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", place("out", self.out))
        self.check("batch", "measured")
        _ = self.mixture

    @property
    def mixture(self) -> Mixture:
        """What the sequences are drawn from."""
        taught: tuple[Subtask, ...] = tuple(subtasks().values())
        templates = tuple(template(name) for name in _TEMPLATES)
        return Mixture(taught, templates, self.shots, self.instruction_share, self.other_share)


def run(config: PretrainLexicon, progress: Progress | None = None) -> LexiconResult:
    """Trains, exports and measures the model; a run that was killed anywhere goes on in the same folder.

    Raises:
        RunFolderError: the folder holds another configuration, is in use, or is damaged.
    """
    settings = config.deciding(_FREE)
    task = MappingTask("lexicon", tuple(subtasks().values()))
    with RunFolder.open(config.out, settings | {"data": task.fingerprint()}, kind="pretrain lexicon"):
        if (config.out / MODEL).is_dir():
            return LexiconResult.read(config.out)
        mixture = config.mixture
        tokenizer = train_tokenizer(suite_texts(subtasks(), _TEMPLATES), config.vocab, config.positions)
        model: Any = config.architecture.untrained(tokenizer, config.seed)
        model.to(usable_device(config.device))
        with writing(config.out):
            done = train(
                model,
                lambda step: [mixture.draw(tokenizer, config.batch, config.seed, step)],
                config.training,
                config.out / "checkpoint.pt",
                progress,
            )

            def measure(lm: LanguageModel) -> LexiconResult:
                scores = accuracies(
                    lm,
                    task,
                    mixture.templates[0],
                    per_subtask=config.measured,
                    seed=config.seed,
                    progress=progress,
                )
                weights = sum(weight.numel() for weight in model.parameters())
                return LexiconResult(config.out / MODEL, done.steps, done.seconds, done.loss, weights, scores)

            return ship(
                config.out,
                model,
                tokenizer,
                stop=mixture.templates[0].stop or "\n",
                device=config.device,
                measure=measure,
                card=lambda result: lexicon_card(settings, result, mixture, hardware(config.device)),
            )
