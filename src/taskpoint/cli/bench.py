"""Verb `bench`: what a cut saves on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskpoint.cli.options import DeviceOption, ModelArgument, OutOption, console
from taskpoint.errors import SettingError
from taskpoint.settings import shown

if TYPE_CHECKING:
    from taskpoint.experiments.bench.findings import BenchView

verbs = typer.Typer()


@verbs.command()
def bench(
    model: ModelArgument = None,
    shape: Annotated[
        str | None,
        typer.Option(
            help="Instead of a model: random weights of this shape, llama:LAYERSxWIDTH[,heads=,kv=,mlp=,vocab=]."
        ),
    ] = None,
    cuts: Annotated[
        str | None,
        typer.Option(help="Layers, or parts of all N, such as 4,N/2,N (default: N/4,N/2,3N/4,N)."),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Numbers of hidden tokens (default: those of 128,512,2048 that fit).")
    ] = None,
    query: Annotated[int, typer.Option(help="Kept tokens after them.")] = 32,
    batch: Annotated[str, typer.Option(help="Numbers of prompts.")] = "1,8",
    new: Annotated[int, typer.Option(help="Decoded tokens.")] = 16,
    rounds: Annotated[int, typer.Option(help="How often every competitor runs.")] = 5,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16 (default: the model's).")] = None,
    device: DeviceOption = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model.")] = None,
    out: OutOption = None,
) -> None:
    """Measure what a cut saves: prompt, decoded token, memory; beside what counting says is possible."""
    # The profiler that weighs memory announces itself on stderr, once a pass.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    from taskpoint.experiments.bench import run as experiment
    from taskpoint.experiments.bench.config import BenchConfig
    from taskpoint.experiments.bench.subject import Subject
    from taskpoint.models.anatomy import anatomy
    from taskpoint.models.loading import load
    from taskpoint.models.random_weights import random_decoder
    from taskpoint.report.progress import progress

    if model is not None and shape is not None:
        raise SettingError(f"a model ({model}) and --shape {shape}; give one of the two")
    asked = None if context is None else _numbers("--context", context)
    batches = _numbers("--batch", batch)
    if shape is None:
        subject = Subject.of(load(model, dtype=dtype, device=device, revision=revision))
    else:
        subject = Subject(random_decoder(shape, dtype=dtype, device=device), shape)
    layers = anatomy(subject.model).num_layers
    config = BenchConfig(
        cuts=None if cuts is None else _layers(cuts, layers),
        context=asked,
        query=query,
        batch=batches,
        new=new,
        rounds=rounds,
    )
    folder = out or experiment.default_folder(subject, config)
    with progress("bench", console(stderr=True)) as tell:
        result = experiment.run(subject, config, folder, tell)
    _show(result.view, folder)


def report_bench(folder: Path, figures: Sequence[Path]) -> None:
    """Shows the benchmark of a run folder again, and draws more figures of it."""
    from taskpoint.experiments.bench.blocks import save_bench_figure
    from taskpoint.experiments.bench.view import view_of_folder

    view = view_of_folder(folder)
    for path in figures:
        save_bench_figure(view, path)
    _show(view, folder)


def _show(view: BenchView, folder: Path) -> None:
    """Prints a benchmark, writes its figure and JSON, and says where they are."""
    from taskpoint.experiments.bench.blocks import save_bench_figure, show
    from taskpoint.results.atomic import save_whole

    show(view, console())
    figure = save_bench_figure(view, folder / "figure.pdf")
    numbers = save_whole(folder / "bench.json", view.as_json().encode())
    typer.echo(f"figure: {figure}\nJSON:   {numbers}\nrows:   {folder}")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        if not text.isascii():
            raise ValueError
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"{option} is {shown(text)}; expected numbers such as 128,512") from None


def _layers(text: str, layers: int) -> tuple[int, ...]:
    """Cuts from numbers and parts of N; parts are rounded down, and what comes twice counts once."""
    found = []
    for part in text.split(","):
        form = re.fullmatch(r"\s*(?:(\d{1,9})|(\d{0,9})N(?:/([1-9]\d{0,8}))?)\s*", part, re.ASCII)
        if form is None:
            raise SettingError(f"--cuts is {shown(text)}; expected layers, or parts of N, such as 4,N/2,3N/4,N")
        plain, times, parts = form.groups()
        found.append(int(plain) if plain else int(times or 1) * layers // int(parts or 1))
    return tuple(dict.fromkeys(found))
