"""The page of a preset: what the paper shows, what was measured, and both beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taskpoint.experiments.presets.beside import compared, curves_table, drawing, numbers_table, outcome
from taskpoint.experiments.presets.reading import Found
from taskpoint.experiments.presets.reproduce import Measured
from taskpoint.report.blocks import Block, Facts, Report, Sentence
from taskpoint.report.drawings import Curves, HeatMap


def report_of(found: Found, runs: Sequence[Measured]) -> Report:
    """The runs that are done, each with the published numbers beside it."""
    blocks: list[Block] = [Sentence(found.preset.shows), Sentence(f"From {found.preset.source}", "aside")]
    missing = len(found.preset.runs) - len(runs)
    if missing:
        blocks.append(Sentence(f"{missing} of {len(found.preset.runs)} runs are not done here.", "aside"))
    for run in runs:
        blocks += _of(run)
    return Report(f"{found.name}: {found.preset.title}", tuple(blocks))


def _of(run: Measured) -> list[Block]:
    found = compared(run)
    own = [block for block in run.report.drawn if isinstance(block, Curves | HeatMap)]
    facts = [("experiment", run.planned.experiment.kind), ("model", run.model), ("run folder", run.folder.name)]
    if run.planned.changed:
        facts.append(("otherwise than in the preset", "; ".join(run.planned.changed)))
    if found is None:
        return [
            _unpublished(run),
            *own,
            Facts(f"{run.planned.name}: what was run", tuple(facts)),
        ]
    if found.published.precision:
        facts.append(("published numbers", f"read from a picture, right to about {found.published.precision:g}"))
    drawn = drawing(found)
    parts: list[Block | None] = [outcome(found), drawn, *([] if drawn else own)]
    parts += [numbers_table(found), curves_table(found), Facts(f"{run.planned.name}: what was run", tuple(facts))]
    return [part for part in parts if part is not None]


def short(runs: Sequence[Measured]) -> tuple[Block, ...]:
    """What a terminal shows: of each run what came of it, and the published numbers."""
    blocks: list[Block | None] = []
    for run in runs:
        found = compared(run)
        blocks += [_unpublished(run)] if found is None else [numbers_table(found), outcome(found)]
    return tuple(block for block in blocks if block is not None)


def _unpublished(run: Measured) -> Sentence:
    return Sentence(f"{run.planned.name}: no number of it was published.", "headline")


def write(found: Found, runs: Sequence[Measured], out: Path) -> dict[str, Path]:
    """Writes the page and the figure; by what each is."""
    from taskpoint.report.figure import save_figure
    from taskpoint.report.page import save_page

    report = report_of(found, runs)
    written = {"report": save_page(report, out / "report.html")}
    return written | ({"figure": save_figure(report.drawn, out / "figure.pdf")} if report.drawn else {})
