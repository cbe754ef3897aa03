"""The command line: parses, calls, prints; one file per group of verbs.

Nothing heavy is imported at the top of any of them, because `taskpoint --help` must answer at once.
"""

from __future__ import annotations

import os
import sys
import warnings

import typer

from taskpoint.cli.bench import verbs as bench_verbs
from taskpoint.cli.compile import verbs as compile_verbs
from taskpoint.cli.ending import AGAIN, Stopped, ended_by_signals, unprinted
from taskpoint.cli.listing import verbs as listing_verbs
from taskpoint.cli.locate import verbs as locate_verbs
from taskpoint.cli.pretrain import verbs as pretrain_verbs
from taskpoint.errors import TaskpointError, one_screen

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
    os.environ["MPLBACKEND"] = "agg"  # figures are drawn into files, whatever else is wished
    if hasattr(sys.stdout, "reconfigure"):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with ended_by_signals(), warnings.catch_warnings():
            for library in ("torch", "transformers", "numpy"):
                warnings.filterwarnings("ignore", module=rf"{library}\.")
            code = _run()
    # Once more: a signal may come while the others are put back.
    except (KeyboardInterrupt, Stopped) as signal:
        code = _interrupted(signal)
    sys.exit(code)


def _run() -> int:
    """The exit code of a command."""
    try:
        code = app(standalone_mode=False)
        unwritten = unprinted()
        if unwritten is not None:
            raise unwritten
        # The parser catches Ctrl-C and gives its code back.
        return _interrupted(KeyboardInterrupt()) if code == 130 else code if isinstance(code, int) else 0
    except TaskpointError as error:
        return _refuse(str(error))
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort, Stopped) as signal:
        return _interrupted(signal)
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        unprinted()
        return 1
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None:
            return _refuse(f"{os.fspath(error.filename)} cannot be used ({reason}): give another one")
        return _refuse(f"{'standard output' if unprinted() else 'a file'} cannot be written ({reason})")
    except Exception as error:
        if not hasattr(error, "format_message"):  # a usage error of the parser, whichever library brings it
            raise
        return _refuse(f"{error.format_message()} (see taskpoint --help)")


def _interrupted(signal: BaseException) -> int:
    """Says that nothing is lost."""
    if isinstance(signal, Stopped):
        typer.echo(f"taskpoint: stopped; {AGAIN}", err=True)
        return signal.code
    typer.echo(f"taskpoint: interrupted; {AGAIN}", err=True)
    return 130


def _refuse(message: str) -> int:
    # Names of files may hold anything; nothing of it shall reach the terminal as a command.
    line = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in " ".join(message.split()))
    typer.echo(f"taskpoint: {one_screen(line)}", err=True)
    return 2
