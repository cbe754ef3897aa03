"""The recipe of the bundled translator: a small transformer that learns to translate short sentences in context.

`models/bundled/translator` is the folder `model` that `run` writes with the settings as they stand here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from taskpoint.errors import UnknownNameError
from taskpoint.models.device import usable_device
from taskpoint.models.loading import LanguageModel
from taskpoint.pretrain.card import hardware
from taskpoint.pretrain.sentences import SentenceMixture
from taskpoint.pretrain.ship import MODEL, load_quietly, ship, writing
from taskpoint.pretrain.translations import mean_bleu, measured, translation_scores
from taskpoint.pretrain.translator_card import translator_card
from taskpoint.pretrain.translator_result import TranslatorResult
from taskpoint.progress import Progress
from taskpoint.prompts.template import template
from taskpoint.results.folder import RunFolder
from taskpoint.settings import place
from taskpoint.tasks.everyday import everyday
from taskpoint.tasks.tatoeba import Corpus, corpora, tatoeba
from taskpoint.training.history import History, log_spaced
from taskpoint.training.recipe import Recipe
from taskpoint.training.tokenizer import train_tokenizer
from taskpoint.training.trainer import train

SIZES: Mapping[str, Mapping[str, int | float]] = MappingProxyType(
    {
        "bundled": MappingProxyType({}),
        "large": MappingProxyType(
            {
                "steps": 4000, "pairs": 1024, "tokens": 32768, "layers": 16, "width": 512, "heads": 8, "mlp": 1408,
                "vocab": 16000, "lr": 2e-3,
            }
        ),
    }
)  # fmt: skip
"""Settings by size: the model that comes with the package, and a larger one for a GPU."""

_TEMPLATE = "qa"

# Numbers of examples that the model card tells of.
_SHOTS = (0, 1, 3, 5)

# What the log's BLEU is: 5 examples without instruction, so many sentences of each direction.
_LOGGED, _LOGGED_ITEMS = (5, False), 12

# What may differ between two processes that work on the same model.
_FREE = ("out", "data", "device", "checkpoint_every")


@dataclass(frozen=True)
class PretrainTranslator(Recipe):
    """All that decides the model; the defaults are those of the bundled one.

    What is not told here is told by `SentenceMixture`, `Architecture` and `TrainingSettings`; `warmup_share` is the
    share of the steps in which the learning rate rises.

    Attributes:
        out: Run folder: checkpoint, log, snapshots, and at the end the folder `model`.
        data: Folder with the Tatoeba pairs.
        lengths: Pairs of a sequence; every translation is taught, so 0 to one less than these examples are learnt.
        instruction_share: Share of the translating sequences that have an instruction line.
        measured: Sentences of each direction that the model card's BLEU is measured on.

    Raises:
        SettingError: a value out of its range, or two that do not fit.
    """

    out: Path
    data: Path
    steps: int = 2500
    pairs: int = 256
    lengths: tuple[int, ...] = (1, 2, 4, 9)
    tokens: int = 2048
    instruction_share: float = 0.5
    repeat_share: float = 0.26
    longest_repeat: int = 2
    gap_share: float = 0.0
    longest_gap: int = 256
    layers: int = 10
    width: int = 192
    heads: int = 3
    mlp: int = 512
    positions: int = 1024
    vocab: int = 6000
    optimizer: str = "muon"
    lr: float = 4e-3
    warmup_share: float = 0.02
    weight_decay: float = 0.05
    beta2: float = 0.98
    clip: float = 1.0
    bfloat16: bool = True
    compiled: bool = True
    seed: int = 0
    device: str = "cpu"
    checkpoint_every: int = 100
    measured: int = 150

    def __post_init__(self) -> None:
        for name in ("out", "data"):
            object.__setattr__(self, name, place(name, getattr(self, name)))
        object.__setattr__(self, "lengths", tuple(self.lengths))
        self.check("pairs", "tokens", "measured")

    def mixture(self, sentences: Sequence[Corpus]) -> SentenceMixture:
        """What the sequences are drawn from."""
        return SentenceMixture(
            corpora=tuple(sentences),
            template=template(_TEMPLATE),
            pairs=self.pairs,
            lengths=self.lengths,
            tokens=self.tokens,
            instruction_share=self.instruction_share,
            repeat_share=self.repeat_share,
            longest_repeat=self.longest_repeat,
            gap_share=self.gap_share,
            longest_gap=self.longest_gap,
        )


def run(config: PretrainTranslator, progress: Progress | None = None) -> TranslatorResult:
    """Trains, exports and measures the model; a run that was killed anywhere goes on in the same folder.

    Raises:
        DataError: The sentences cannot be read.
        SettingError: There are too few of them.
        RunFolderError: The folder holds another configuration, is in use, or is damaged.
    """
    settings = config.deciding(_FREE)
    sentences = corpora(config.data)
    mixture = config.mixture(sentences)
    digest = hashlib.sha256(json.dumps([corpus.train for corpus in sentences]).encode()).hexdigest()
    with RunFolder.open(config.out, settings | {"data": digest}, kind="pretrain translator"):
        if (config.out / MODEL).is_dir():
            return TranslatorResult.read(config.out)
        tokenizer = train_tokenizer(mixture.texts(), config.vocab, config.positions)
        model: Any = config.architecture.untrained(tokenizer, config.seed)
        model.to(usable_device(config.device))
        held_out, own = tatoeba(sentences), everyday()

        def score(folder: Path) -> float:
            lm = load_quietly(folder, config.device)
            found = translation_scores(lm, held_out, mixture.template, forms=[_LOGGED], per_direction=_LOGGED_ITEMS)
            return mean_bleu(found, *_LOGGED)

        def measure(lm: LanguageModel) -> TranslatorResult:
            scores, bare = measured(
                lm,
                (held_out, own),
                mixture.template,
                shots=_SHOTS,
                per_direction=config.measured,
                seed=config.seed,
                progress=progress,
            )
            weights = sum(weight.numel() for weight in model.parameters())
            return TranslatorResult(config.out / MODEL, done.steps, done.seconds, done.loss, weights, scores, bare)

        with writing(config.out):
            done = train(
                model,
                lambda step: mixture.draw(tokenizer, config.seed, step),
                config.training,
                config.out / "checkpoint.pt",
                progress,
                History(config.out, model, tokenizer, log_spaced(config.steps), score),
            )
            return ship(
                config.out,
                model,
                tokenizer,
                stop=mixture.template.stop or "\n",
                device=config.device,
                measure=measure,
                card=lambda result: translator_card(settings, result, mixture, own, hardware(config.device)),
            )


def sized(size: str) -> Mapping[str, int | float]:
    """The settings in which a size differs from the bundled model.

    Raises:
        UnknownNameError: There is no such size.
    """
    if size not in SIZES:
        raise UnknownNameError("size", size, SIZES)
    return SIZES[size]
