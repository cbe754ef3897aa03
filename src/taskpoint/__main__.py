"""The process of the command line: `python -m taskpoint`, or the script `taskpoint`."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

_AGAIN = "run the same command again to continue"


def main() -> None:
    """Runs the command line; a signal while it is still being imported, or already over, is no traceback."""
    early = [number for number in _asking_to_end() if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in early:
            signal.signal(number, _leave)
        from taskpoint.cli import main as run

        try:
            run()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and told
            for number in early:
                signal.signal(number, signal.SIG_DFL)
    except KeyboardInterrupt:
        sys.stderr.write(f"taskpoint: interrupted; {_AGAIN}\n")
        sys.exit(130)
    finally:
        # Under -m, Python remembers that Ctrl-C passed through an exec of text, as dataclasses are made by, and would
        # at its end kill itself though it was caught; the next exec of text lets it forget.
        exec("")


def _asking_to_end() -> list[int]:
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _leave(number: int, _: FrameType | None) -> None:
    """While nothing has begun, nothing has to be left in order."""
    with suppress(OSError):
        os.write(2, f"taskpoint: stopped; {_AGAIN}\n".encode())
    os._exit(128 + number)


if __name__ == "__main__":
    main()
