"""What a report is made of: plain numbers and texts.

An experiment says in blocks what it found. Terminal, figure and page show them, each in its own way (terminal.py,
figure.py, page.py); no block knows how. Blocks that are drawn stand in drawings.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from taskpoint.errors import SettingError
from taskpoint.report.drawings import Curves, HeatMap
from taskpoint.settings import shown

Tone = Literal["plain", "headline", "aside"]

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Sentence:
    """A sentence that stands alone; its tone is "headline" for what was found, "aside" for how to read it."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Cell:
    """A number in a table, with its interval beside it; a marked one is the one to look at."""

    text: str
    beside: str
    marked: bool = False


@dataclass(frozen=True)
class Column:
    """How a column of a table looks.

    Attributes:
        right: whether its cells stand at the right, as numbers do.
        folds: whether a word that is too long goes on in the next line instead of being cut off.
        least: least width in characters.
        most: greatest width in characters.
        most_on_terminal: greatest width where lines end at the edge of a terminal.
    """

    heading: str
    right: bool = True
    folds: bool = False
    least: int | None = None
    most: int | None = None
    most_on_terminal: int | None = None


@dataclass(frozen=True)
class Table:
    """Texts in rows and columns.

    Attributes:
        rows: one cell for each column.
        sections: numbers of the rows that a line sets apart from the row above.
        mark: what a marked cell is, as the end of a sentence that begins with its sign, e.g. "marks the best".
        narrow: whether the gaps between columns are small on a terminal.
        close: whether the next block follows without an empty line.

    Raises:
        SettingError: no column, a row of another length, or a section where no row is.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    sections: tuple[int, ...] = ()
    mark: str = ""
    narrow: bool = False
    close: bool = False

    def __post_init__(self) -> None:
        owner = f"table {self.title!r}"
        if not self.columns:
            raise SettingError(f"{owner} has 0 columns, expected one or more")
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise SettingError(
                    f"{owner}: row {number} has {len(row)} values, expected {len(self.columns)}, one for each column"
                )
        strange = [number for number in self.sections if not 0 < number < len(self.rows)]
        if strange:
            raise SettingError(f"{owner}: a section starts at row {strange[0]}, expected 1 to {len(self.rows) - 1}")


@dataclass(frozen=True)
class Facts:
    """Names and what they are, in the order to show: settings, versions, a command line."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picture:
    """A finished drawing.

    Attributes:
        caption: what it shows, also for those who cannot see it.
        content: the bytes of a PNG or SVG file.

    Raises:
        SettingError: bytes of another kind.
    """

    caption: str
    content: bytes

    def __post_init__(self) -> None:
        if not self.content.startswith(_PNG) and b"<svg" not in self.content[:2000]:
            raise SettingError(f"picture {self.caption!r} starts with {shown(self.content[:8])}, expected PNG or SVG")

    @property
    def kind(self) -> str:
        """Its media type."""
        return "image/png" if self.content.startswith(_PNG) else "image/svg+xml"


@dataclass(frozen=True)
class Pictures:
    """Drawings under one title; a SettingError where there is none."""

    title: str
    pictures: tuple[Picture, ...]

    def __post_init__(self) -> None:
        if not self.pictures:
            raise SettingError(f"pictures {self.title!r} are none, expected one or more")


Block = Sentence | Table | Curves | HeatMap | Facts | Pictures


@dataclass(frozen=True)
class Report:
    """Blocks under one title.

    Attributes:
        blocks: in the order to show.
        figures: what the figure draws; empty for the drawings among the blocks.

    Raises:
        SettingError: there is no block.
    """

    title: str
    blocks: tuple[Block, ...]
    figures: tuple[Curves | HeatMap, ...] = ()

    def __post_init__(self) -> None:
        if not self.blocks:
            raise SettingError(f"report {self.title!r} has 0 blocks, expected one or more")

    @property
    def drawn(self) -> tuple[Curves | HeatMap, ...]:
        """What the figure draws; empty where nothing can be drawn."""
        return self.figures or tuple(block for block in self.blocks if isinstance(block, Curves | HeatMap))
