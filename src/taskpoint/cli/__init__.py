"""The command line: parses, calls, prints; one file per group of verbs.

Nothing heavy is imported at the top of any of them, because `taskpoint --help` must answer at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from taskpoint.cli.compile import verbs as compile_verbs
from taskpoint.cli.ending import Stopped, by_signal, ended_by_signals, open_streams, sentence, unwritten
from taskpoint.cli.experiment import Verbs, list_experiments
from taskpoint.cli.experiment import verbs as report_verbs
from taskpoint.cli.listing import verbs as listing_verbs
from taskpoint.cli.pretrain import verbs as pretrain_verbs
from taskpoint.errors import TaskpointError, one_screen

app = typer.Typer(
    name="taskpoint",
    cls=Verbs,
    help="Find the layer at which a language model has recognised an in-context task, and see what cutting the context "
    "out of every later layer saves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
list_experiments(app)
for verbs in (report_verbs, compile_verbs, listing_verbs):
    app.add_typer(verbs)
app.add_typer(pretrain_verbs, name="pretrain")


def main() -> None:
    """Runs the command line; bad input is one line on stderr and exit code 2."""
    # The libraries' own notices would stand before that line; whoever wants them sets these variables.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # The profiler that weighs memory announces itself on stderr, once a pass.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    # Which comes with peft, and names on stderr the kernels that it lacks.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ["MPLBACKEND"] = "agg"  # figures are drawn into files, whatever else is wished
    open_streams()
    try:
        with ended_by_signals() as came, warnings.catch_warnings():
            for library in ("torch", "transformers", "numpy"):
                warnings.filterwarnings("ignore", module=rf"{library}\.")
            code = _run(came)
    # Here too, for a signal may come while the former handlers are put back.
    except (KeyboardInterrupt, Stopped) as ending:
        code = _interrupted(ending)
    sys.exit(code)


def _run(came: list[int]) -> int:
    """The exit code of a command, which may end by a signal that came."""
    if sys.stdout is None:
        return _refuse("standard output cannot be written (it is closed): send it to a file, or to /dev/null")
    try:
        with _parsing(came):
            code = app(standalone_mode=False)
        lost = unwritten("stdout")
        if lost is not None:
            raise lost
        # The parser catches Ctrl-C and gives its code back.
        return _interrupted(KeyboardInterrupt()) if code == 130 else code if isinstance(code, int) else 0
    except TaskpointError as error:
        return _refuse(str(error))
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort, Stopped) as ending:
        return _interrupted(ending)
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        unwritten("stdout")
        return 1
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None:
            return _refuse(f"{os.fspath(error.filename)} cannot be used ({reason}): give another one")
        return _refuse(f"{'standard output' if unwritten('stdout') else 'a file'} cannot be written ({reason})")
    except Exception as error:
        if not hasattr(error, "format_message"):  # a usage error of the parser, whichever library brings it
            raise
        return _refuse(f"{error.format_message()} (see taskpoint --help)")


@contextmanager
def _parsing(came: list[int]) -> Iterator[None]:
    """Raises what ended the parser, which makes a SystemExit of a closed pipe and an error of its own of a signal."""
    streams = sys.stdout, sys.stderr
    try:
        yield
    except SystemExit as stop:  # the parser's answer to a closed pipe, after it wrapped both streams
        sys.stdout, sys.stderr = streams
        raise BrokenPipeError from stop
    except Exception:
        if came:  # then it is the signal that made this fail
            raise by_signal(came[0]) from None
        raise


def _interrupted(ending: BaseException) -> int:
    """Says that nothing is lost."""
    number = ending.number if isinstance(ending, Stopped) else int(signal.SIGINT)
    _say(sentence(number))
    return 128 + number


def _refuse(message: str) -> int:
    # Names of files may hold anything; nothing of it shall reach the terminal as a command.
    line = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in " ".join(message.split()))
    _say(f"taskpoint: {one_screen(line)}")
    return 2


def _say(line: str) -> None:
    with suppress(OSError):  # nobody can be told that nobody can be told
        typer.echo(line, err=True)
    unwritten("stderr")
