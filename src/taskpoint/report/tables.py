"""The numbers of a drawing as tables: for a terminal, and for those who cannot see the drawing."""

from __future__ import annotations

from taskpoint.report.blocks import Cell, Column, Table
from taskpoint.report.drawings import Curve, Curves, HeatMap, Row
from taskpoint.report.numbers import between, written


def curve_tables(block: Curves) -> tuple[Table, ...]:
    """One table for each panel that has curves."""
    heads = block.heads or ("",) * len(block.rows[0].panels)
    rings = [key.label for key in block.keys if key.sign == "ring"]
    found = []
    for row in block.rows:
        for head, curves in zip(heads, row.panels, strict=True):
            named = (block.title, head, row.title or " ".join(row.label.split()))
            if curves:
                found.append(_panel(", ".join(filter(None, named)), block, row, curves, rings[0] if rings else ""))
    return tuple(found)


def _panel(title: str, block: Curves, row: Row, curves: tuple[Curve, ...], ring: str) -> Table:
    # A curve without a label of its own is named like the one whose colour it has.
    names = {curve.style: curve.label for it in block.rows for panel in it.panels for curve in panel if curve.label}
    dashed = next((key.label for key in block.keys if key.sign == "dashed curve"), "dashed")
    headings = [
        ", ".join(filter(None, (curve.label or names.get(curve.style, ""), dashed if curve.dashed else "")))
        for curve in curves
    ]
    ringed = any(curve.ring is not None for curve in curves)
    return Table(
        title,
        (Column(block.x_label.partition(":")[0]), *(Column(heading, folds=True, most=22) for heading in headings)),
        tuple(
            (f"{x:g}", *(_cell(curve, x, row) for curve in curves))
            for x in sorted({x for curve in curves for x in curve.x})
        ),
        mark=f"marks the {ring}" if ring and ringed else "",
    )


def _cell(curve: Curve, x: float, row: Row) -> str | Cell:
    if x not in curve.x:
        return ""
    at = curve.x.index(x)
    number = written(curve.y[at], row.unit, row.label)
    if curve.low is None or curve.high is None:
        return number if curve.ring is None else Cell(number, "", x == curve.ring)
    return Cell(number, between(curve.low[at], curve.high[at], row.unit, row.label), x == curve.ring)


def map_table(block: HeatMap) -> Table:
    """One row for each row of the map."""
    title = f"{block.title} ({block.label})" if block.label else block.title
    columns = (Column(block.y_label, right=False, folds=True), *(Column(name, folds=True) for name in block.columns))
    rows = tuple(
        (name, *("" if value is None else written(value, block.unit, block.label) for value in values))
        for name, values in zip(block.rows, block.values, strict=True)
    )
    return Table(title, columns, rows)
