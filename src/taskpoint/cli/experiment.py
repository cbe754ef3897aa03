"""The verbs of the experiments, made from the fields of their configurations; and `report`, for what they left."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from taskpoint.cli.options import OutOption, console, path, path_option
from taskpoint.configuration import Configuration, Option, options_of, settings_of
from taskpoint.experiments.registry import EXPERIMENTS, Experiment

verbs = typer.Typer()


class Verbs(TyperGroup):
    """The verbs; that of an experiment is made when it is called, so that `taskpoint --help` imports none of them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, made first where it is an experiment."""
        if args and args[0] in EXPERIMENTS:
            one = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            one.command(args[0], help=EXPERIMENTS[args[0]].question)(_verb(EXPERIMENTS[args[0]]))
            self.commands[args[0]] = typer.main.get_command(one)
        return super().resolve_command(ctx, args)


def list_experiments(app: typer.Typer) -> None:
    """Names the experiments in the list of verbs; `Verbs` makes the commands themselves."""
    for experiment in EXPERIMENTS.values():
        app.command(experiment.kind, help=experiment.question)(lambda: None)


def _verb(experiment: Experiment) -> Callable[..., None]:
    """The function that typer calls; its parameters are the options of the experiment's subject and settings."""
    subject, config = experiment.config.SUBJECT, experiment.config.CONFIG

    def verb(out: Path | None = None, **values: Any) -> None:
        from taskpoint.experiments.runner import default_folder, run
        from taskpoint.report.progress import progress

        settings = config.typed(values)
        work = experiment.run.start(subject.typed(values).load(), settings)
        folder = out or default_folder(experiment, work)
        with progress(experiment.kind, console(stderr=True)) as tell:
            view = run(experiment, work, folder, tell).view
        _show(experiment, view, folder)

    options = {**_options(subject), **_options(config)}
    parameters = [_parameter(name, option) for name, option in options.items()]
    parameters.append(inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=OutOption))
    verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    verb.__annotations__ = {one.name: one.annotation for one in parameters}
    return verb


def _options(kind: type[Configuration]) -> dict[str, Option]:
    return {name: option for setting in settings_of(kind) for name, option in options_of(kind, setting).items()}


def _parameter(name: str, option: Option) -> inspect.Parameter:
    # A flag that is off by default has no name to turn it off.
    names = [f"--{name.replace('_', '-')}"] if option.default is False else []
    asked: Any = typer.Argument(help=option.help) if option.argument else typer.Option(*names, help=option.help)
    kind: Any = option.kind
    asked_as: Any = Annotated[kind, asked]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=asked_as)


@verbs.command()
def report(
    folder: Annotated[Path, typer.Argument(parser=path, help="A run folder.", metavar="FOLDER")],
    figure: Annotated[
        list[Path] | None,
        path_option(help="Also write a figure: .pdf, .svg or .png. May be repeated."),
    ] = None,
) -> None:
    """Make the report and the figures of a run folder again."""
    from taskpoint.experiments.outputs import draw
    from taskpoint.experiments.runs import read_run

    run = read_run(folder)
    experiment = EXPERIMENTS[run.manifest.kind]
    view = experiment.view.view_of(run)
    for target in figure or []:
        draw(experiment, view, target)
    _show(experiment, view, folder)


def _show(experiment: Experiment, view: Any, folder: Path) -> None:
    """Prints what a run found, writes what belongs beside its rows, and says where all of it is."""
    from taskpoint.experiments.outputs import show, write

    show(experiment, view, console())
    written = {**write(experiment, view, folder), "rows": folder}
    width = max(map(len, written)) + 1
    for what, where in written.items():
        typer.echo(f"{what + ':':<{width}} {where}")
