"""`python -m taskpoint` is `taskpoint`."""

from taskpoint.cli import main

main()
