"""The command line: parses, calls, prints.

Nothing heavy is imported at the top, because `taskpoint --help` must answer at once.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskpoint.errors import SettingError, TaskpointError

if TYPE_CHECKING:
    from rich.console import Console

    from taskpoint.report.view import LocateView

app = typer.Typer(
    name="taskpoint",
    help="Find the layer at which a language model has recognised an in-context task, and see what cutting the context "
    "out of every later layer saves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
pretrain_app = typer.Typer(help="Train small transformers on in-context tasks.", no_args_is_help=True)
app.add_typer(pretrain_app, name="pretrain")


class Instruction(StrEnum):
    """Whether prompts have an instruction."""

    yes = "yes"
    no = "no"
    both = "both"


ModelArgument = Annotated[str | None, typer.Argument(help="Bundled model, folder or hub id. [default: lexicon]")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder to write to, or to continue. [default: runs/...]")
]
DeviceOption = Annotated[str | None, typer.Option(help="Device, such as cpu or cuda:0. [default: cpu]")]


@app.command()
def locate(
    model: ModelArgument = None,
    task: Annotated[str, typer.Option(help="Task; `taskpoint tasks` lists them.")] = "lexicon",
    shots: Annotated[
        list[int] | None, typer.Option(help="Examples in the prompt; may be repeated. [default: 5]")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Draws of examples.")] = 3,
    items: Annotated[int | None, typer.Option(help="Test items at most. [default: 200]")] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(help="What is hidden: examples, instruction,examples, query, ... May be repeated."),
    ] = None,
    instruction: Annotated[Instruction, typer.Option(help="Whether prompts have an instruction.")] = Instruction.no,
    paper: Annotated[bool, typer.Option("--paper", help="The five conditions of paper A.")] = False,
    cuts: Annotated[str, typer.Option(help="all, bisect, or layers such as 0,4,8.")] = "all",
    template: Annotated[str | None, typer.Option(help="Prompt template. [default: the task's]")] = None,
    task_instruction: Annotated[
        str | None, typer.Option(help="Instruction line for words: and pairs:, whose files have none.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="New examples for each item.")] = False,
    controls: Annotated[bool, typer.Option(help="Zero-shot, shuffled answers, early exit.")] = True,
    batch_size: Annotated[int, typer.Option(help="Items computed, and written, at once.")] = 64,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer. [default: by the references]")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. [default: the model's]")] = None,
    device: DeviceOption = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model.")] = None,
    out: OutOption = None,
) -> None:
    """Find the layer after which a model has recognised a task."""
    from taskpoint.experiments import locate as experiment
    from taskpoint.experiments.condition import PAPER_CONDITIONS, conditions
    from taskpoint.models.loading import load
    from taskpoint.report.progress import progress
    from taskpoint.tasks.registry import task as task_of

    if paper and (hide or instruction is not Instruction.no):
        raise SettingError("--paper brings its own conditions; leave --hide and --instruction out")
    flags = {Instruction.yes: (True,), Instruction.no: (False,), Instruction.both: (False, True)}[instruction]
    config = experiment.LocateConfig(
        shots=tuple(shots or [5]),
        seeds=seeds,
        conditions=PAPER_CONDITIONS if paper else conditions(hide or ["examples"], flags),
        cuts=_cuts(cuts),
        items=experiment.DEFAULT_ITEMS if items is None else items,
        fresh=fresh,
        template=template,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        controls=controls,
    )
    asked = task_of(task, instruction=task_instruction)
    lm = load(model, dtype=dtype, device=device, revision=revision)
    folder = out or experiment.default_folder(lm, asked, config)
    with progress("locate", _console(stderr=True)) as tell:
        result = experiment.run(lm, asked, config, folder, tell)
    _show(result.view, folder)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    figure: Annotated[
        list[Path] | None, typer.Option(help="Also write a figure: .pdf, .svg or .png. May be repeated.")
    ] = None,
) -> None:
    """Make the report and the figures of a run folder again."""
    from taskpoint.experiments.locate_view import view_of_folder
    from taskpoint.report.figure import save_figure

    view = view_of_folder(folder)
    for path in figure or []:
        save_figure(view, path)
    _show(view, folder)


@app.command()
def tasks() -> None:
    """List the tasks."""
    from taskpoint.tasks.registry import task_names

    for name in task_names():
        typer.echo(name)


@app.command()
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
    from taskpoint.models.loading import load

    verdict = check_model(load(check).model)
    typer.echo(str(verdict))


@pretrain_app.command("lexicon")
def pretrain_lexicon(
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints and the model.")] = Path("runs/lexicon"),
    seed: Annotated[int, typer.Option(help="Seed of weights and data.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Training steps. [default: the recipe's]")] = None,
    device: DeviceOption = None,
) -> None:
    """Train the bundled model again from nothing; run again with the same folder, it continues."""
    from taskpoint.pretrain.lexicon import PretrainLexicon, run
    from taskpoint.report.progress import progress

    named: dict[str, Any] = {"out": out, "seed": seed}
    named |= {} if steps is None else {"steps": steps}
    named |= {} if device is None else {"device": device}
    config = PretrainLexicon(**named)
    with progress("pretrain lexicon", _console(stderr=True)) as tell:
        result = run(
            config,
            lambda done, total, loss, accuracy: tell(done, total, f"loss {loss:.3f}, right {accuracy:.0%}"),
            lambda done, total: tell(done, total, "measuring"),
        )
    for shots, instruction in ((0, True), (1, False), (3, False), (5, False)):
        form = "with" if instruction else "without"
        typer.echo(f"{shots} examples, {form} instruction: {result.mean(shots, instruction):.1%} right")
    typer.echo(f"model: {result.folder}")


def main() -> None:
    """Runs the command line; bad input is one line on stderr and exit code 2."""
    # The libraries' own notices would stand before that line; whoever wants them sets these variables.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        code = app(standalone_mode=False)
    except TaskpointError as error:
        code = _refuse(str(error))
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("taskpoint: interrupted; run the same command again to continue", err=True)
        code = 130
    except Exception as error:
        if not hasattr(error, "format_message"):  # a usage error of the parser, whichever library brings it
            raise
        code = _refuse(f"{error.format_message()} (see taskpoint --help)")
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(message: str) -> int:
    typer.echo("taskpoint: " + " ".join(message.split()), err=True)
    return 2


def _cuts(text: str) -> Any:
    if text in ("all", "bisect"):
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"--cuts is {text!r}; expected all, bisect, or layers such as 0,4,8") from None


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _show(view: LocateView, folder: Path) -> None:
    from taskpoint.report.figure import save_figure
    from taskpoint.report.html import save_page
    from taskpoint.report.terminal import show

    show(view, _console())
    page = save_page(view, folder / "report.html")
    figure = save_figure(view, folder / "figure.pdf")
    typer.echo(f"report: {page}\nfigure: {figure}\nrows:   {folder}")
