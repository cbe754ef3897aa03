"""One block of each kind, small enough to count by hand; texts of strangers are attacks where asked for."""

from __future__ import annotations

from taskpoint.report.blocks import Block, Cell, Column, Facts, Picture, Pictures, Sentence, Table
from taskpoint.report.drawings import Curve, Curves, HeatMap, Key, Level, Point, Row, Strip

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0H1"/></svg>'
PNG = b"\x89PNG\r\n\x1a\n\x00\x00"
ATTACK = "</script><img src=x onerror='window.hacked=1'> --> $\\frac{1}{0}$ \x1b[31mred\u202e [bold]x[/bold]"


def table(text: str = "fruit") -> Table:
    rows = (("apple", Cell("3", "2-4", marked=True)), ("pear", Cell("5", "4-6")), ("plum", ""))
    return Table(
        text, (Column(text, right=False), Column("number")), rows, sections=(2,), mark=f"marks the best {text}"
    )


def curves(text: str = "cost") -> Curves:
    first = Curve(text, 0, (0.0, 1.0, 2.0), (0.1, 0.5, 0.9), (0.0, 0.4, 0.8), (0.2, 0.6, 1.0), ring=1.0)
    counted = Curve("", 0, (0.0, 2.0), (0.3, 0.7), dashed=True)
    share = Curve("", 0, (0.0, 1.0), (0.25, 1.0))
    return Curves(
        title=text,
        rows=(
            Row(((first, counted),), label=text, levels=(Level(0.95, "dashed"), Level(0.05, "dotted"))),
            Row(((share,),), title=f"share of {text}", unit="share", height=1.0),
        ),
        x_label=f"depth: {text}",
        x_ends=(0.0, 2.0),
        second=(text, 1.0),
        strip=Strip(text, (Point(0, 1.0, 0.0, 2.0),), "none"),
        keys=(Key("dashed curve", f"counted {text}"), Key("ring", f"best {text}"), Key("band", text)),
    )


def heat_map(text: str = "effect") -> HeatMap:
    return HeatMap(
        text, (text, "second"), ("0", "1", "2"), ((0.5, None, -0.25), (0.0, 1.0, 0.75)), "head", "layer", text
    )


def facts(text: str = "settings") -> Facts:
    return Facts(text, ((text, "1"), ("seed", text)))


def pictures(text: str = "drawings") -> Pictures:
    return Pictures(text, (Picture(text, SVG), Picture("a photograph", PNG)))


def every_kind(text: str = "thing") -> tuple[Block, ...]:
    sentences = Sentence(text, "headline"), Sentence(text, "aside"), Sentence(text)
    return (*sentences, table(text), curves(text), heat_map(text), facts(text), pictures(text))
