"""Verbs `tasks` and `models`: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

verbs = typer.Typer()


@verbs.command()
def tasks() -> None:
    """List the tasks."""
    from taskpoint.tasks.registry import task_names

    for name in task_names():
        typer.echo(name)


@verbs.command()
def models(
    check: Annotated[
        str | None, typer.Option("--check", help="Compare a model's cut with masking, layer by layer.")
    ] = None,
) -> None:
    """List the bundled models, or check whether a model can be cut exactly."""
    from taskpoint.models.bundled import bundled_models

    if check is None:
        for bundled in bundled_models().values():
            typer.echo(f"{bundled.name}: {bundled.summary}")
        typer.echo("Any decoder of transformers can be given as a folder or hub id; --check MODEL tries one.")
        return
    from taskpoint.engine.check import check as check_model
    from taskpoint.engine.finite import check_finite
    from taskpoint.models.loading import load

    model = load(check).model
    check_finite(model)
    verdict = check_model(model)
    typer.echo(str(verdict))
