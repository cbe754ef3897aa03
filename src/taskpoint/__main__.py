"""The process of the command line: `python -m taskpoint`, or the script `taskpoint`."""

import signal
import sys


def main() -> None:
    """Runs the command line; Ctrl-C while it is still being imported, or already over, is no traceback."""
    try:
        from taskpoint.cli import main as run

        try:
            run()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and told
    except KeyboardInterrupt:
        sys.stderr.write("taskpoint: interrupted; run the same command again to continue\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
