"""The settings of a `bench` run, fitted to one model, and refused where this machine cannot do it."""

from __future__ import annotations

import dataclasses
from typing import Any

from taskpoint.errors import SettingError
from taskpoint.experiments.bench.config import CONTEXTS, MOST_PASSES, BenchConfig, cut_of
from taskpoint.experiments.bench.subject import Subject
from taskpoint.models.anatomy import anatomy
from taskpoint.models.device import free_bytes
from taskpoint.settings import shown


def fitted(subject: Subject, config: BenchConfig) -> BenchConfig:
    """The configuration with cuts and contexts that suit the model.

    Raises:
        SettingError: a cut that the model does not have, or more tokens than it has positions for.
    """
    parts = anatomy(subject.model)
    layers, positions = parts.num_layers, parts.max_positions
    if config.cuts is None:
        cuts = tuple(sorted({max(1, layers // 4), max(1, layers // 2), max(1, 3 * layers // 4), layers}))
    else:
        cuts = tuple(dict.fromkeys(cut_of(cut, layers) for cut in config.cuts))
    if max(cuts) > layers:
        raise SettingError(f"cuts names layer {max(cuts)}; expected numbers from 0 to {layers}, the model's layers")
    context = config.context
    if context is None:
        fits = (count for count in CONTEXTS if positions is None or count + config.query + config.new <= positions)
        context = tuple(fits) or CONTEXTS[:1]
    longest = max(context) + config.query + config.new
    if positions is not None and longest > positions:
        raise SettingError(
            f"{max(context)} context, {config.query} query and {config.new} new tokens are {longest}, but "
            f"{subject.name} has positions for {positions}; give a shorter --context"
        )
    settings = dataclasses.replace(config, cuts=tuple(sorted(cuts)), context=tuple(sorted(context)))
    _check_cost(subject, settings)
    return settings


def _check_cost(subject: Subject, settings: BenchConfig) -> None:
    """Refuses what would run for days or what no memory holds, before anything starts."""
    cells = len(settings.batch) * len(settings.context or ())
    passes = cells * (1 + len(settings.cuts or ())) * (settings.rounds + 2)
    if passes > MOST_PASSES:
        raise SettingError(
            f"{settings.rounds} rounds of {cells} batches and contexts under {len(settings.cuts or ())} cuts are "
            f"{shown(passes)} passes; expected at most {MOST_PASSES}: give fewer --rounds"
        )
    model: Any = subject.model
    weight = model.get_input_embeddings().weight
    tokens = max(settings.batch) * (max(settings.context or (0,)) + settings.query + settings.new)
    # At the least: the ids of the tokens, and one hidden state of each in one layer.
    needed, free = tokens * (8 + weight.shape[1] * weight.element_size()), free_bytes(weight.device)
    if needed > free:
        raise SettingError(
            f"a batch of {max(settings.batch)} with {tokens // max(settings.batch)} tokens each takes more than "
            f"{needed / 1e9:,.0f} GB, but {weight.device} has {free / 1e9:,.0f} GB free; give smaller --batch or "
            "--context"
        )
