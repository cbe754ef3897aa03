"""What can go wrong, one class per kind; a message is one line: what was found, what was expected, what mends it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# About what a small terminal shows, in characters.
_SCREEN = 1_000


def one_screen(message: str) -> str:
    """A message without its middle if it is longer than a screen; its end says what mends it."""
    return message if len(message) <= _SCREEN else f"{message[: _SCREEN // 2]} ... {message[-_SCREEN // 2 :]}"


class TaskpointError(Exception):
    """Root of every error that a user's input can cause; the command line prints it as one line and exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(one_screen(message))


# Of a name that nobody knows: enough to see which it is.
_LONGEST = 100


class UnknownNameError(TaskpointError):
    """A name (task, model, template, ...) that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], mend: str = "") -> None:
        name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}.{guess} Known: {', '.join(names)}.{' ' + mend if mend else ''}")


class SettingError(TaskpointError):
    """An argument whose value is out of range or does not fit another argument."""


class DataError(TaskpointError):
    """A file of examples, queries, words or a compiled prompt that is missing or malformed; the message names it."""


class PromptError(TaskpointError):
    """A prompt that cannot be built: too few examples, a hidden segment that it lacks, or too long for the model."""


class TokenizerError(TaskpointError):
    """A tokenizer that cannot say where its tokens stand in the text, or that a prompt was not compiled with."""


class ModelError(TaskpointError):
    """A model that cannot be loaded, is no causal decoder, is not supported, or that a prompt was not compiled with."""


class PlanError(TaskpointError):
    """A cut that is not possible: mask of another shape, everything dropped, layer out of range, cut inside a cut."""


class RunFolderError(TaskpointError):
    """An output folder or file that holds a run of another configuration, or is damaged."""
