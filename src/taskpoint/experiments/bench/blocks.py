"""What a `bench` run found, as blocks: tables for a terminal, ratios against the cut for a paper.

The figure has a row of panels each for the prompt, the decoded token and peak memory, a column for each batch size, and
a colour for each context length. Measured ratios are marks with their quartiles; counted ones, the ideal, are dashed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskpoint.experiments.bench.findings import BenchView, Ratio
from taskpoint.report.blocks import Block, Column, Report, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, Key, Level, Row
from taskpoint.report.numbers import duration, percent, size, times

Cells = Callable[[Ratio], tuple[str, ...]]
_SHARE = ("ratio", "quartiles", "ideal", "share")

_ROWS = {
    "prefill": "reading the prompt,\ntimes as fast",
    "decode": "each decoded token,\ntimes as fast",
    "peak": "peak memory,\ntimes as small",
}

_FEW = 8  # cuts whose numbers stand side by side below a panel


def conclusion(view: BenchView) -> str:
    """What was measured, in one sentence: for the middle cut at the longest context of the largest batch."""
    last = view.lines[-1]
    lines = view.of(last.batch, last.context)
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


def blocks(view: BenchView) -> tuple[Block, ...]:
    """Tables of the prompt, the decoded token and memory, and the conclusion."""
    timed = ("dense ms", "cut ms", *_SHARE)
    memory = (
        ("kv", ("dense KV", "cut KV", "ratio", "ideal"), _of_cache),
        ("peak", ("dense peak", "cut peak", "ratio"), _of_memory),
    )
    ideal = (
        "the ideal is counted: operations for the prompt, bytes that memory must give for a token"
        if view.no_ideal is None
        else f"no ideal: {view.no_ideal}"
    )
    return (
        _table(view, f"reading the prompt (context + {view.query})", [("prefill", timed, _of_time)]),
        _table(view, f"each decoded token (of {view.new})", [("decode", timed, _of_time)]),
        _table(view, "memory", memory),
        Sentence(f"medians of {view.rounds} rounds, quartiles of the ratio within a round; {ideal}", "aside"),
        Sentence(f"{view.model}: {conclusion(view)}", "headline"),
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


def _table(view: BenchView, title: str, measures: Sequence[tuple[str, Sequence[str], Cells]]) -> Table:
    """A table with the cells of some measures side by side; a measure that nobody has is left out."""
    known = [measure for measure in measures if any(measure[0] in line.measures for line in view.lines)]
    headings = ["batch", "context", "cut", *(heading for _, headings, _ in known for heading in headings)]
    rows, places = [], [(line.batch, line.context) for line in view.lines]
    for line in view.lines:
        cells = [str(line.batch), str(line.context), f"{line.cut} of {view.num_layers}"]
        for name, own, of in known:
            cells += of(line.measures[name]) if name in line.measures else [""] * len(own)
        rows.append(tuple(cells))
    sections = tuple(number for number in range(1, len(places)) if places[number] != places[number - 1])
    return Table(title, tuple(map(Column, headings)), tuple(rows), sections, close=True)


def report_of(view: BenchView) -> Report:
    """What people see of a run."""
    return Report(f"{view.model}: what a cut saves", blocks(view), figure_blocks(view))


def figure_blocks(view: BenchView) -> tuple[Curves]:
    """How many times as fast, or as small, against the cut; at least the text width of most one-column papers."""
    measures = [name for name in _ROWS if any(name in one.measures for one in view.lines)]
    counted = any(found.ideal is not None for one in view.lines for found in one.measures.values())
    entries = len(view.contexts) + counted + 1
    curves = Curves(
        title=f"{view.model}: what a cut saves",
        rows=tuple(
            Row(
                panels=tuple(_panel(view, batch, measure) for batch in view.batches),
                label=_ROWS[measure],
                unit="times",
                levels=(Level(1.0),),
                height=1.5,
            )
            for measure in measures
        ),
        x_label=f"cut r: layers r to {view.num_layers - 1} lack the hidden tokens",
        x_ends=(min(view.cuts) - 0.04 * view.num_layers, 1.04 * view.num_layers),
        heads=tuple(f"batch of {batch}" for batch in view.batches),
        ticks=tuple(map(float, view.cuts)) if len(view.cuts) <= _FEW else (),
        most_ticks=_FEW,
        bars=True,
        apart=0.018 * view.num_layers,
        keys=(*((Key("dashed curve", "ideal, counted"),) if counted else ()), Key("bar", "quartiles")),
        key_columns=entries if entries <= 4 else 3,
        width=max(6.4, 0.9 + 2.1 * len(view.batches)),
        around=1.0 + 0.2 * -(-len(view.contexts) // 3),
    )
    return (curves,)


def _panel(view: BenchView, batch: int, measure: str) -> tuple[Curve, ...]:
    curves = []
    for index, context in enumerate(view.contexts):
        found = [(float(it.cut), it.measures[measure]) for it in view.of(batch, context) if measure in it.measures]
        counted = [(cut, one.ideal) for cut, one in found if one.ideal is not None]
        if counted:
            cuts, ideals = zip(*counted, strict=True)
            curves.append(Curve("", index, cuts, ideals, dashed=True))
        curves.append(
            Curve(
                label=f"{context} hidden tokens",
                style=index,
                x=tuple(cut for cut, _ in found),
                y=tuple(one.ratio for _, one in found),
                low=tuple(one.low for _, one in found),
                high=tuple(one.high for _, one in found),
            )
        )
    return tuple(curves)
