"""What a report is made of: plain numbers and texts.

An experiment says in blocks what it found. The terminal, the figure and the page show them, each in its own way
(terminal.py, figure.py, page.py); no block knows how. Those that are drawn stand in drawings.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from taskpoint.errors import SettingError
from taskpoint.report.drawings import Curves, HeatMap
from taskpoint.settings import place, shown

Tone = Literal["plain", "headline", "aside"]

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Sentence:
    """A sentence that stands alone.

    Attributes:
        tone: "headline" for what was found, "aside" for how to read it.
    """

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Cell:
    """A number in a table, its interval beside it; marked where it is the one to look at."""

    text: str
    beside: str
    marked: bool = False


@dataclass(frozen=True)
class Column:
    """How a column of a table looks.

    Attributes:
        right: Whether its cells stand at the right, as numbers do.
        folds: Whether a word that is too long goes on in the next line instead of being cut off.
        most_on_terminal: The same where lines end at the edge of a terminal.
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
        sections: Numbers of the rows that a line sets apart from the row above.
        mark: What a marked cell is, as the end of the sentence "this sign ...", e.g. "marks the best".
        narrow: Whether the gaps between columns are small on a terminal.
        close: Whether the next block follows without an empty line.

    Raises:
        SettingError: No column, a row of another length, or a section where no row is.
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
    """Names and what they are: settings, versions, a command line."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picture:
    """A finished drawing: the bytes of a PNG or SVG file, and what they show, for those who cannot see it too.

    Raises:
        SettingError: Bytes of another kind.
    """

    caption: str
    content: bytes

    def __post_init__(self) -> None:
        if not self.content.startswith(_PNG) and b"<svg" not in self.content[:2000]:
            raise SettingError(f"picture {self.caption!r} starts with {shown(self.content[:8])}, expected PNG or SVG")

    @classmethod
    def of_file(cls, path: Path | str, caption: str) -> Picture:
        """The picture in a file.

        Raises:
            SettingError: It cannot be read, or is neither PNG nor SVG.
        """
        file = place("path", path)
        try:
            return cls(caption, file.read_bytes())
        except OSError as error:
            raise SettingError(f"picture {file} cannot be read ({error.strerror})") from None

    @property
    def kind(self) -> str:
        """Its media type."""
        return "image/png" if self.content.startswith(_PNG) else "image/svg+xml"


@dataclass(frozen=True)
class Pictures:
    """Drawings under one title.

    Raises:
        SettingError: There is none.
    """

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
        figures: What the figure draws; empty for the drawings among the blocks.

    Raises:
        SettingError: There is no block.
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
