"""Verbs `locate` and `report`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskpoint.cli.bench import report_bench
from taskpoint.cli.options import DeviceOption, MetricOption, ModelArgument, OutOption, console, path, path_option
from taskpoint.errors import SettingError
from taskpoint.settings import shown

if TYPE_CHECKING:
    from taskpoint.experiments.locate.findings import LocateView

verbs = typer.Typer()


class Instruction(StrEnum):
    """Whether prompts have an instruction."""

    yes = "yes"
    no = "no"
    both = "both"


@verbs.command()
def locate(
    model: ModelArgument = None,
    task: Annotated[
        str | None, typer.Option(help="Task; `taskpoint tasks` lists them. (default: what the model learnt)")
    ] = None,
    shots: Annotated[
        list[int] | None, typer.Option(help="Examples in the prompt; may be repeated. (default: 5)")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Draws of examples.")] = 3,
    items: Annotated[int | None, typer.Option(help="Test items at most. (default: 200)")] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(help="What is hidden: examples, instruction,examples, query, ... May be repeated."),
    ] = None,
    instruction: Annotated[Instruction, typer.Option(help="Whether prompts have an instruction.")] = Instruction.no,
    paper: Annotated[bool, typer.Option("--paper", help="The five conditions of paper A.")] = False,
    cuts: Annotated[str, typer.Option(help="all, bisect, or layers such as 0,4,8.")] = "all",
    template: Annotated[str | None, typer.Option(help="Prompt template. (default: the task's)")] = None,
    task_instruction: Annotated[
        str | None, typer.Option(help="Instruction line for words: and pairs:, whose files have none.")
    ] = None,
    metric: MetricOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="New examples for each item.")] = False,
    controls: Annotated[bool, typer.Option(help="Zero-shot, shuffled answers, early exit.")] = True,
    batch_size: Annotated[int, typer.Option(help="Items computed, and written, at once.")] = 64,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer. (default: by the references)")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. (default: the model's)")] = None,
    device: DeviceOption = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model.")] = None,
    out: OutOption = None,
) -> None:
    """Find the layer after which a model has recognised a task."""
    from taskpoint.asking.condition import PAPER_CONDITIONS, conditions
    from taskpoint.experiments.locate import run as experiment
    from taskpoint.experiments.locate.config import DEFAULT_ITEMS, LocateConfig
    from taskpoint.models.bundled import model_for, task_for
    from taskpoint.models.loading import load
    from taskpoint.report.progress import progress
    from taskpoint.tasks.registry import task as task_of

    if paper and (hide or instruction is not Instruction.no):
        raise SettingError("--paper brings its own conditions; leave --hide and --instruction out")
    flags = {Instruction.yes: (True,), Instruction.no: (False,), Instruction.both: (False, True)}[instruction]
    config = LocateConfig(
        shots=tuple(shots or [5]),
        seeds=seeds,
        conditions=PAPER_CONDITIONS if paper else conditions(hide or ["examples"], flags),
        cuts=_cuts(cuts),
        items=DEFAULT_ITEMS if items is None else items,
        fresh=fresh,
        template=template,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        controls=controls,
    )
    named = task_for(model) if task is None else task
    asked = task_of(named, instruction=task_instruction, metric=metric)
    lm = load(model_for(named) if model is None else model, dtype=dtype, device=device, revision=revision)
    folder = out or experiment.default_folder(lm, asked, config)
    with progress("locate", console(stderr=True)) as tell:
        result = experiment.run(lm, asked, config, folder, tell)
    _show(result.view, folder)


@verbs.command()
def report(
    folder: Annotated[Path, typer.Argument(parser=path, help="A run folder.", metavar="FOLDER")],
    figure: Annotated[
        list[Path] | None,
        path_option(help="Also write a figure: .pdf, .svg or .png. May be repeated."),
    ] = None,
) -> None:
    """Make the report and the figures of a run folder again."""
    from taskpoint.experiments.locate.blocks import save_figure
    from taskpoint.experiments.locate.view import view_of_folder
    from taskpoint.experiments.runs import BENCH, REPORTED, read_run

    if read_run(folder, *REPORTED).manifest.kind == BENCH:
        report_bench(folder, figure or [])
        return
    view = view_of_folder(folder)
    for target in figure or []:
        save_figure(view, target)
    _show(view, folder)


def _cuts(text: str) -> Any:
    if text in ("all", "bisect"):
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"--cuts is {shown(text)}; expected all, bisect, or layers such as 0,4,8") from None


def _show(view: LocateView, folder: Path) -> None:
    from taskpoint.experiments.locate.blocks import save_figure, show
    from taskpoint.experiments.locate.page.html import save_page

    show(view, console())
    page = save_page(view, folder / "report.html")
    figure = save_figure(view, folder / "figure.pdf")
    typer.echo(f"report: {page}\nfigure: {figure}\nrows:   {folder}")
