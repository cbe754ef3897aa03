"""Verb `pretrain`, with one verb below it for each recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from taskpoint.cli.options import DeviceOption, console

verbs = typer.Typer(help="Train small transformers on in-context tasks.", no_args_is_help=True)


@verbs.command("lexicon")
def pretrain_lexicon(
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints and the model.")] = Path("runs/lexicon"),
    seed: Annotated[int, typer.Option(help="Seed of weights and data.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Training steps. (default: the recipe's)")] = None,
    device: DeviceOption = None,
) -> None:
    """Train the bundled model again from nothing; run again with the same folder, it continues."""
    from taskpoint.pretrain.lexicon import PretrainLexicon, run
    from taskpoint.report.progress import progress

    named: dict[str, Any] = {"out": out, "seed": seed}
    named |= {} if steps is None else {"steps": steps}
    named |= {} if device is None else {"device": device}
    config = PretrainLexicon(**named)
    with progress("pretrain lexicon", console(stderr=True)) as tell:
        result = run(
            config,
            lambda done, total, loss, accuracy: tell(done, total, f"loss {loss:.3f}, right {accuracy:.0%}"),
            lambda done, total: tell(done, total, "measuring"),
        )
    for shots, instruction in ((0, True), (1, False), (3, False), (5, False)):
        form = "with" if instruction else "without"
        typer.echo(f"{shots} examples, {form} instruction: {result.mean(shots, instruction):.1%} right")
    typer.echo(f"model: {result.folder}")
