"""A benchmark on a terminal: one table each for the prompt, the decoded token and memory, and the conclusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from taskpoint.experiments.bench.findings import BenchLine, BenchView, Ratio
from taskpoint.report import console as house
from taskpoint.report.console import plain, table
from taskpoint.report.numbers import duration, percent, size, times

Cells = Callable[[Ratio], tuple[str, ...]]
_SHARE = ("ratio", "quartiles", "ideal", "share")


def conclusion(view: BenchView) -> str:
    """What was measured, in one sentence: for the middle cut at the longest context and the largest batch."""
    lines = view.of(view.batches[-1], view.contexts[-1])
    line = lines[(len(lines) - 1) // 2]
    words = []
    for name, phrase in (("prefill", "reading the prompt is"), ("decode", "decoding")):
        found = line.measures[name]
        ideal = "" if found.share is None or found.ideal is None else f" (ideal {times(found.ideal)})"
        words.append(f"{phrase} {times(found.ratio)} times as fast{ideal}")
    prompts = "1 prompt" if line.batch == 1 else f"{line.batch} prompts"
    return (
        f"{prompts} of {line.context} + {view.query} tokens, cut after {line.cut} of {view.num_layers} layers: "
        f"{', '.join(words)}, and the cache {times(line.measures['kv'].ratio)} times as small."
    )


def _shared(found: Ratio) -> tuple[str, ...]:
    ideal, share = found.ideal, found.share
    counted = ("", "") if ideal is None or share is None else (times(ideal), percent(share))
    return times(found.ratio), f"{times(found.low)}-{times(found.high)}", *counted


def _of_time(found: Ratio) -> tuple[str, ...]:
    return duration(found.dense), duration(found.under_cut), *_shared(found)


def _of_memory(found: Ratio) -> tuple[str, ...]:
    return size(found.dense), size(found.under_cut), times(found.ratio)


def _of_cache(found: Ratio) -> tuple[str, ...]:
    return *_of_memory(found), "" if found.ideal is None else times(found.ideal)


def _table(view: BenchView, title: str, columns: Sequence[tuple[str, Sequence[str], Cells]], fancy: bool) -> Table:
    """A table with the cells of some measures side by side; a measure that nobody has is left out."""
    shown = table(title, fancy)
    known = [column for column in columns if any(column[0] in line.measures for line in view.lines)]
    for heading in ("batch", "context", "cut"):
        shown.add_column(heading, justify="right")
    for _, headings, _ in known:
        for heading in headings:
            shown.add_column(heading, justify="right")
    before: BenchLine | None = None
    for line in view.lines:
        if before is not None and (before.batch, before.context) != (line.batch, line.context):
            shown.add_section()
        cells = [str(line.batch), str(line.context), f"{line.cut} of {view.num_layers}"]
        for name, headings, of in known:
            cells += of(line.measures[name]) if name in line.measures else [""] * len(headings)
        shown.add_row(*(Text(cell) for cell in cells))
        before = line
    return shown


def render(view: BenchView, *, fancy: bool) -> Group:
    """Tables and conclusion as something that rich can print.

    Args:
        view: What to show.
        fancy: Lines and dashes from Unicode; False keeps to ASCII.

    Returns:
        A rich renderable.
    """
    timed = ("dense ms", "cut ms", *_SHARE)
    parts = [
        _table(view, f"reading the prompt (context + {view.query})", [("prefill", timed, _of_time)], fancy),
        _table(view, f"each decoded token (of {view.new})", [("decode", timed, _of_time)], fancy),
        _table(
            view,
            "memory",
            [
                ("kv", ("dense KV", "cut KV", "ratio", "ideal"), _of_cache),
                ("peak", ("dense peak", "cut peak", "ratio"), _of_memory),
            ],
            fancy,
        ),
    ]
    ideal = (
        "the ideal is counted: operations for the prompt, bytes that memory must give for a token"
        if view.no_ideal is None
        else f"no ideal: {view.no_ideal}"
    )
    note = f"medians of {view.rounds} rounds, quartiles of the ratio within a round; {ideal}"
    head = Text(plain(f"{view.model}: {conclusion(view)}", fancy), style="bold")
    return Group(*parts, Text(plain(note, fancy), style="dim"), Padding(head, (1, 0)))


def show(view: BenchView, console: Console) -> None:
    """Show a benchmark on a console: in colour on a terminal, as plain ASCII text in a file or pipe.

    Args:
        view: What to show.
        console: Where to show it.
    """
    house.show(lambda fancy: render(view, fancy=fancy), console)


def plain_text(view: BenchView) -> str:
    """A benchmark as ASCII text without colours, however wide the tables are.

    Args:
        view: What to show.

    Returns:
        Lines without trailing blanks, ending in a newline.
    """
    return house.plain_text(lambda fancy: render(view, fancy=fancy))
