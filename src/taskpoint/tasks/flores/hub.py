"""FLORES+ from the hub, through the ``datasets`` library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from taskpoint.errors import DataError, SettingError
from taskpoint.tasks.files.reading import check_text
from taskpoint.tasks.flores.languages import found_code

DATASET = "openlanguagedata/flores_plus"
REVISION = "5fec6c13f9e5a4db2f745d4ec0d7c9721ddc4f06"
"""Version 4.6."""

_Found = TypeVar("_Found")


class Hub:
    """The sentences of a dataset with one configuration a language, and in it the splits dev and devtest.

    Args:
        dataset: Its name on the hub, or a folder of that layout.

    Raises:
        SettingError: The ``datasets`` library is not installed.
        DataError: The dataset cannot be had.
    """

    def __init__(self, dataset: str = DATASET) -> None:
        try:
            import datasets
        except ImportError:
            raise SettingError(
                "flores:hub needs the datasets library: pip install 'taskpoint[data]', or name a folder of FLORES"
            ) from None
        self._dataset, self._library = dataset, datasets
        self._codes = self._asked(lambda: datasets.get_dataset_config_names(dataset, revision=REVISION))

    def code(self, wanted: str) -> str:
        """The code of a language there; errors as in ``languages.found_code``."""
        return found_code(wanted, self._codes, self._dataset)

    def sentences(self, code: str, split: str) -> tuple[str, ...]:
        """The sentences of a language in the order of their numbers.

        Raises:
            DataError: The dataset cannot be had, or has another layout.
        """
        rows: Any = self._asked(
            lambda: self._library.load_dataset(self._dataset, code, split=split, revision=REVISION, streaming=False)
        )
        if not {"id", "text"} <= set(rows.column_names):
            raise DataError(
                f"{self._dataset} has the columns {', '.join(rows.column_names)}; expected id and text, as in FLORES+"
            )
        where = f"{self._dataset}, {split} of {code}"
        lines = dict(sorted(zip(rows["id"], rows["text"], strict=True)))
        if not lines or len(lines) < len(rows) or list(lines) != list(range(min(lines), min(lines) + len(lines))):
            raise DataError(
                f"{where} has {len(rows)} sentences whose numbers do not count up; expected those of FLORES+"
            )
        for number, text in lines.items():
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"{where}: sentence {number} is {text!r:.40}; expected a text that says something")
            check_text(text, f"{where}: sentence {number}")
        return tuple(text.strip() for text in lines.values())

    def _asked(self, question: Callable[[], _Found]) -> _Found:
        try:
            return question()
        except Exception as error:
            # Of the many kinds that the library and those below it raise, none tells a user what to do.
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"cannot get {self._dataset} from the hub ({type(error).__name__}: {reason}); accept its terms at "
                f"https://huggingface.co/datasets/{DATASET}, log in with 'hf auth login' and ask again with a network, "
                "or name a folder of FLORES"
            ) from None
