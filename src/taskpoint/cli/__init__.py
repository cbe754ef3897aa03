"""The command line: parses, calls, prints; one file per group of verbs.

Nothing heavy is imported at the top of any of them, because `taskpoint --help` must answer at once.
"""

from __future__ import annotations

import os
import sys

import typer

from taskpoint.cli.bench import verbs as bench_verbs
from taskpoint.cli.compile import verbs as compile_verbs
from taskpoint.cli.listing import verbs as listing_verbs
from taskpoint.cli.locate import verbs as locate_verbs
from taskpoint.cli.pretrain import verbs as pretrain_verbs
from taskpoint.errors import TaskpointError

app = typer.Typer(
    name="taskpoint",
    help="Find the layer at which a language model has recognised an in-context task, and see what cutting the context "
    "out of every later layer saves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verbs in (locate_verbs, compile_verbs, bench_verbs, listing_verbs):
    app.add_typer(verbs)
app.add_typer(pretrain_verbs, name="pretrain")


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
