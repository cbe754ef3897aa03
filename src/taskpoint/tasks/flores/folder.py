"""A folder of FLORES: one file a language and split, in which line n of every language is the same sentence.

FLORES-101 calls them ``dev/fra.dev`` and ``devtest/fra.devtest``, FLORES-200 ``dev/fra_Latn.dev``, FLORES+
``dev/dev.fra_Latn``.
"""

from __future__ import annotations

from pathlib import Path

from taskpoint.errors import DataError
from taskpoint.tasks.files.reading import check_text, file_name, read_text
from taskpoint.tasks.flores.languages import found_code

SPLITS = ("dev", "devtest")


class Folder:
    """The sentences of a folder.

    Raises:
        DataError: No such folder, one that cannot be read, or one without files of both splits.
    """

    def __init__(self, folder: Path) -> None:
        self._name = repr(str(folder))
        self._files = {split: _files(folder, split) for split in SPLITS}

    def code(self, wanted: str) -> str:
        """The code of a language there; errors as in ``languages.found_code``."""
        return found_code(wanted, self._files["dev"].keys() & self._files["devtest"].keys(), self._name)

    def sentences(self, code: str, split: str) -> tuple[str, ...]:
        """The sentences of a language in their order; a DataError where the file cannot be read, or a line is empty."""
        path = self._files[split][code]
        # Not splitlines(): it would also break a line at U+2028 or a form feed within a sentence.
        lines = [line.strip() for line in read_text(path).removesuffix("\n").split("\n")]
        for number, line in enumerate(lines, start=1):
            if not line:
                raise DataError(
                    f"{str(path)!r}, line {number} is empty; expected a sentence on every line, as line n of every "
                    "language is the same one: take the file from FLORES anew"
                )
            check_text(line, f"{str(path)!r}, line {number}: a sentence")
        return tuple(lines)


def _files(folder: Path, split: str) -> dict[str, Path]:
    """The files of a split by the code of their language."""
    expected = "expected a folder of FLORES, with dev/fra.dev and devtest/fra.devtest or dev/fra_Latn.dev and so on"
    try:
        if not folder.is_dir():
            raise DataError(f"no folder {str(folder)!r}; {expected}")
        place = folder / split
        paths = {file_name(path): path for path in place.iterdir()} if place.is_dir() else {}
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the folder {str(folder)!r}: {error}; name one that can be read") from None
    found = {}
    for name, path in paths.items():
        for code in (name.removesuffix(f".{split}"), name.removeprefix(f"{split}.")):
            if code not in (name, ""):
                found[code] = path
    if not found:
        raise DataError(f"{str(folder)!r} has no sentences in {split}; {expected}")
    return found
