"""The recipe of the bundled model: a small transformer that learns the word tasks of the lexicon in context.

`models/bundled/lexicon` is the folder `model` that `run` writes with the settings as they stand here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.models.device import usable_device
from taskpoint.models.loading import load
from taskpoint.pretrain.accuracy import accuracies
from taskpoint.pretrain.card import model_card
from taskpoint.pretrain.data import Mixture
from taskpoint.pretrain.export import export
from taskpoint.pretrain.result import PretrainResult
from taskpoint.pretrain.tokenizer import SMALLEST_VOCABULARY, train_tokenizer
from taskpoint.pretrain.trainer import Progress, TrainingSettings, train
from taskpoint.prompts.template import template
from taskpoint.results.folder import RunFolder
from taskpoint.tasks.lexicon import subtasks
from taskpoint.tasks.mapping import MappingTask, Subtask

# Plain templates with a stop text; the first is the one that the task suite uses by itself.
_TEMPLATES = ("qa", "arrow", "colon")

# What may differ between two processes that work on the same model.
_FREE = ("out", "device", "checkpoint_every")


@dataclass(frozen=True)
class PretrainLexicon:
    """All that decides the model; the defaults are those of the bundled one.

    Attributes:
        out: Run folder, with the checkpoint and at the end the folder `model`.
        steps: Optimiser steps.
        batch: Sequences in a step.
        shots: Worked examples in a sequence. The answers of all of them are taught, so 0 to `shots` are learnt at once.
        instruction_share: Share of the sequences with an instruction line.
        other_share: Share of the sequences in another template than "qa".
        layers: Decoder layers.
        width: Size of the residual stream.
        heads: Attention heads.
        mlp: Size of the gated MLP.
        positions: Longest sequence that the model says it reads; it is trained on about a hundred tokens.
        vocab: Tokens of the tokenizer, at most.
        lr: Peak of the learning rate.
        warmup_share: Share of the steps in which it rises.
        weight_decay: Decoupled decay of the matrices.
        beta2: Of AdamW.
        clip: Largest norm of the gradient.
        bfloat16: Multiply in bfloat16 (about twice as fast on CPUs that have it); the weights stay float32.
        seed: Seed of weights and data, 0 or more.
        device: Such as `"cpu"` or `"cuda"`.
        checkpoint_every: Steps between checkpoints.
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
        object.__setattr__(self, "out", Path(self.out))
        for name in ("batch", "layers", "width", "heads", "mlp", "positions", "measured"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.width % (2 * self.heads):
            raise SettingError(
                f"width is {self.width} with {self.heads} heads; expected a multiple of twice the heads, "
                "because rotary positions turn pairs of each head's entries"
            )
        if self.vocab < SMALLEST_VOCABULARY:
            raise SettingError(
                f"vocab is {self.vocab}; expected at least {SMALLEST_VOCABULARY}: bytes and special tokens"
            )
        if not 0 <= self.seed < 2**63:
            raise SettingError(f"seed is {self.seed}; expected 0 to 2^63 - 1")
        if not 0 <= self.warmup_share < 1:
            raise SettingError(f"warmup_share is {self.warmup_share}; expected a share from 0 to below 1")
        usable_device(self.device)
        _ = self.training, self.mixture

    @property
    def training(self) -> TrainingSettings:
        """What the training loop is told."""
        return TrainingSettings(
            steps=self.steps,
            lr=self.lr,
            warmup=int(self.steps * self.warmup_share),
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            clip=self.clip,
            bfloat16=self.bfloat16,
            checkpoint_every=self.checkpoint_every,
        )

    @property
    def mixture(self) -> Mixture:
        """What the sequences are drawn from."""
        taught: tuple[Subtask, ...] = tuple(subtasks().values())
        templates = tuple(template(name) for name in _TEMPLATES)
        return Mixture(taught, templates, self.shots, self.instruction_share, self.other_share)


def run(
    config: PretrainLexicon,
    progress: Progress | None = None,
    measuring: Callable[[int, int], None] | None = None,
) -> PretrainResult:
    """Train, export and measure the model; a run that was killed anywhere goes on in the same folder.

    Args:
        config: All settings.
        progress: Called after each training step with steps done, steps in all, loss and accuracy.
        measuring: Called after each form of prompt that was measured, with forms done and forms in all.

    Raises:
        RunFolderError: the folder holds another configuration, is in use, or is damaged.
    """
    settings = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in _FREE}
    task = MappingTask("lexicon", tuple(subtasks().values()))
    with RunFolder.open(config.out, settings | {"data": task.fingerprint()}, kind="pretrain lexicon"):
        finished, draft = config.out / "model", config.out / "model.tmp"
        if finished.is_dir():
            return PretrainResult.read(config.out)
        mixture = config.mixture
        tokenizer = train_tokenizer(subtasks(), _TEMPLATES, config.vocab, config.positions)
        model: Any = untrained(config, tokenizer)
        model.to(usable_device(config.device))
        try:
            done = train(
                model,
                lambda step: mixture.draw(tokenizer, config.batch, config.seed, step),
                config.training,
                config.out / "checkpoint.pt",
                progress,
            )
            shutil.rmtree(draft, ignore_errors=True)
            export(model, tokenizer, draft, stop=mixture.templates[0].stop or "\n")
            # Measured on what is shipped: the rounded weights, opened as a user opens them.
            scores = accuracies(
                load(draft, device=config.device),
                task,
                mixture.templates[0],
                per_subtask=config.measured,
                seed=config.seed,
                progress=measuring,
            )
            weights = sum(weight.numel() for weight in model.parameters())
            result = PretrainResult(finished, done.steps, done.seconds, done.loss, weights, scores)
            hardware = f"{config.device}, {torch.get_num_threads()} threads"
            (draft / "README.md").write_text(model_card(settings, result, mixture, hardware), encoding="utf-8")
            result.write(config.out)
            draft.replace(finished)
        except OSError as error:
            raise RunFolderError(
                f"{config.out} cannot be written ({error.strerror}); choose another out folder"
            ) from error
        return result


def untrained(config: PretrainLexicon, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama (Touvron et al. 2023, section 2.2) with tied embeddings, and random weights that the seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=config.width,
                intermediate_size=config.mlp,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_key_value_heads=config.heads,
                tie_word_embeddings=True,
                max_position_embeddings=config.positions,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    # Measured on a CPU with 64 sequences of 76 tokens: 2.2 times faster than the fused attention, in training.
    model.set_attn_implementation("eager")
    return model
