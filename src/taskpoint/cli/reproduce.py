"""Verb `reproduce`: figures and tables of papers, from presets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskpoint.cli.options import DeviceOption, OutOption, console, path_option

if TYPE_CHECKING:
    from taskpoint.experiments.presets.reproduce import Measured

verbs = typer.Typer()


@verbs.command()
def reproduce(
    preset: Annotated[
        str | None, typer.Argument(help="Paper (lists its presets), PAPER/PRESET, or a file of your own, NAME.yaml.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model in place of the paper's, in every run.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Task in place of the paper's; without a direction of translation each run keeps its own."),
    ] = None,
    data: Annotated[
        Path | None, path_option("--data", help="Folder of data sets such as FLORES-101. (default: $TASKPOINT_DATA)")
    ] = None,
    run: Annotated[list[str] | None, typer.Option(help="Only this run of the preset. May be repeated.")] = None,
    items: Annotated[int | None, typer.Option(help="Test items of each run, for a try.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Draws of examples of each run, for a try.")] = None,
    others: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of one experiment, such as lora.steps=20. May be repeated."),
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. (default: the preset's)")] = None,
    device: DeviceOption = None,
    run_programs: Annotated[
        bool, typer.Option("--run-programs", help="Run the programs that models write, where a preset asks for some.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List presets: what each shows, its models, what it takes.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the preset's file.")] = False,
    out: OutOption = None,
) -> None:
    """Do a figure or table of a paper again, with the published numbers beside; the same command continues it."""
    from taskpoint.experiments.presets import reading

    if preset is None or list_ or not (reading.is_file(preset) or "/" in preset):
        _list(preset)
        return
    found = reading.find(preset)
    if show:
        typer.echo(found.text, nl=False)
        return
    from taskpoint.experiments.presets import page
    from taskpoint.experiments.presets import reproduce as doing
    from taskpoint.report import terminal
    from taskpoint.report.progress import progress

    wishes = doing.Wishes(
        model, task, data, items, seeds, device, dtype, tuple(run or ()), run_programs, tuple(others or ())
    )
    plan = doing.planned(found, wishes)
    doing.check_models(plan)
    folder = out or doing.default_folder(found, plan)
    written: dict[str, Path] = {}

    def done(runs: Sequence[Measured]) -> None:
        written.update(page.write(found, runs, folder))

    measured = doing.do(found, plan, folder, lambda name: progress(f"reproduce {name}", console(stderr=True)), done)
    terminal.show(page.short(measured), console())
    for what, where in {**written, "runs": folder}.items():
        typer.echo(f"{what + ':':<8} {where}")


def _list(asked: str | None) -> None:
    """Prints papers, or the presets of one."""
    from taskpoint.experiments.presets import reading

    if asked is None:
        names = [name for paper in reading.papers() for name in reading.names(paper)]
    else:
        names = [asked] if reading.is_file(asked) or "/" in asked else list(reading.names(asked))
    for name in names:
        found = reading.find(name)
        models = dict.fromkeys(run.model.name for run in found.preset.runs.values() if run.model is not None)
        typer.echo(f"{name}: {found.preset.title}")
        typer.echo(f"    shows:  {' '.join(found.preset.shows.split())}")
        if models:
            typer.echo(f"    models: {', '.join(models)}")
        typer.echo(f"    takes:  {' '.join(found.preset.cost.split())}")
