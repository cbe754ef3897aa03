"""Verb `pretrain`, with one verb below it for each recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from taskpoint.cli.options import DeviceOption, console, path_option

verbs = typer.Typer(help="Train small transformers on in-context tasks.", no_args_is_help=True)

SeedOption = Annotated[int, typer.Option(help="Seed of weights and data.")]
StepsOption = Annotated[int | None, typer.Option(help="Training steps. (default: the recipe's)")]

_FORMS = ((0, True), (1, False), (3, False), (5, False))


@verbs.command("lexicon")
def pretrain_lexicon(
    out: Annotated[Path, path_option("--out", help="Folder for checkpoints and the model.")] = Path("runs/lexicon"),
    seed: SeedOption = 0,
    steps: StepsOption = None,
    device: DeviceOption = None,
) -> None:
    """Train the bundled model of word tasks again; run again with the same folder, it continues."""
    from taskpoint.pretrain.lexicon import PretrainLexicon, run
    from taskpoint.report.progress import progress

    config = PretrainLexicon(out, seed=seed, **_given(steps=steps, device=device))
    with progress("pretrain lexicon", console(stderr=True)) as tell:
        result = run(config, tell)
    for shots, instruction in _FORMS:
        typer.echo(f"{_form(shots, instruction)}: {result.mean(shots, instruction):.1%} right")
    typer.echo(f"model: {result.folder}")


@verbs.command("translator")
def pretrain_translator(
    data: Annotated[
        Path,
        path_option("--data", help="Folder with fra.tsv.gz, deu.tsv.gz, spa.tsv.gz, nld.tsv.gz: English TAB other."),
    ],
    out: Annotated[Path, path_option("--out", help="Folder for checkpoints, log, snapshots and the model.")] = Path(
        "runs/translator"
    ),
    seed: SeedOption = 0,
    steps: StepsOption = None,
    size: Annotated[str, typer.Option(help="bundled, or large for a GPU.")] = "bundled",
    gaps: Annotated[
        float | None,
        typer.Option(
            help="Share of the sequences with gaps in their positions, as a cut leaves. (default: the recipe's)"
        ),
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Train the bundled translator again from Tatoeba pairs; run again with the same folder, it continues."""
    from taskpoint.pretrain.translator import PretrainTranslator, run, sized
    from taskpoint.report.progress import progress

    config = PretrainTranslator(
        out, data, seed=seed, **{**sized(size), **_given(steps=steps, gap_share=gaps, device=device)}
    )
    with progress("pretrain translator", console(stderr=True)) as tell:
        result = run(config, tell)
    for task in result.tasks:
        for shots, instruction in _FORMS:
            typer.echo(f"{task}, {_form(shots, instruction)}: BLEU {result.mean(task, shots, instruction):.1f}")
    typer.echo(f"model: {result.folder}")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were named; for the others the recipe decides."""
    return {name: value for name, value in options.items() if value is not None}


def _form(shots: int, instruction: bool) -> str:
    return f"{shots} examples, {'with' if instruction else 'without'} instruction"
