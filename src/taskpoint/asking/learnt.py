"""Which tasks the bundled models learnt: what to ask a model when no task is named, and whom to ask a task."""

from __future__ import annotations

from types import MappingProxyType

from taskpoint.models.bundled import DEFAULT

# Model -> the task to ask it, and the kinds of tasks that it knows.
_LEARNT = MappingProxyType(
    {"lexicon": ("lexicon", ("lexicon",)), "translator": ("everyday:eng-fra", ("everyday", "tatoeba"))}
)


def model_for(task: str) -> str:
    """The bundled model that learnt tasks of this kind; the default one where none did."""
    kind = task.partition(":")[0]
    return next((name for name, (_, kinds) in _LEARNT.items() if kind in kinds), DEFAULT)


def task_for(model: str | None) -> str:
    """The task to ask a model when none is named: what it learnt, or for a model of the user's the default one's."""
    known = (model or DEFAULT).partition("+")[0]  # an adapter's folder follows
    return _LEARNT.get(known, _LEARNT[DEFAULT])[0]
