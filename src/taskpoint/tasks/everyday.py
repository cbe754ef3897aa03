"""The bundled sentences: 150 of everyday life in English, each with its French, German, Spanish and Dutch translation.

They were written for this project and carry its licence; no English one is in Tatoeba. Where a second translation is as
natural as the first, it is accepted too. Into English, the first translation is the source.
"""

from __future__ import annotations

from functools import cache

from taskpoint.tasks.files.tables import accepted, bundled_table
from taskpoint.tasks.language import LANGUAGES
from taskpoint.tasks.mapping import Pair, Subtask, merged
from taskpoint.tasks.translation import DIRECTIONS, TranslationTask, chosen, translating


@cache
def directions() -> tuple[Subtask, ...]:
    """The sub-tasks in the order of `DIRECTIONS`; a DataError where the table is malformed."""
    table = bundled_table("everyday", "sentences")
    return tuple(translating(source, target, _pairs(table, source, target)) for source, target in DIRECTIONS)


def everyday(wanted: str | None = None) -> TranslationTask:
    """Every direction, or some of them, such as ``eng-fra,fra-eng``; errors as in ``translation.chosen``."""
    return TranslationTask(*chosen("everyday", directions(), wanted))


def _pairs(table: list[dict[str, str]], source: str, target: str) -> tuple[Pair, ...]:
    asked, told = LANGUAGES[source].lower(), LANGUAGES[target].lower()
    return merged((accepted(row[asked])[0], accepted(row[told])) for row in table)
