"""The scores of one curve as arrays, from its rows.

C cuts, or what another column tells apart, S seeds, I items, n counts of an answer; their number tells of which corpus
score they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from taskpoint.analysis.corpus.bleu import CorpusBleu
from taskpoint.analysis.corpus.chrf import CorpusChrf
from taskpoint.analysis.intervals import Interval, Mean, Statistic, interval
from taskpoint.errors import RunFolderError

if TYPE_CHECKING:
    import pandas as pd

_OF_COUNTS = {each.counts: each for each in (CorpusBleu(), CorpusChrf(), CorpusChrf(words=True))}


@dataclass(frozen=True, eq=False)
class CurveScores:
    """What is known of the answers of one curve, and how that becomes one score.

    Attributes:
        values: by cut, seed and item: the score; or the counts, with an axis of their own. [C, S, I] or [C, S, I, n]
        statistic: the mean of scores, or the corpus score of counts.
    """

    values: NDArray[np.float64]
    statistic: Statistic

    @property
    def by_cut(self) -> Float[np.ndarray, " C"]:
        """The score at each cut."""
        return self.statistic.observed(self.values)

    def interval(self, cut: int) -> Interval:
        """The score at the n-th cut, counted from either end, with its interval."""
        return interval(self.values[cut], statistic=self.statistic)


def curve_scores(
    rows: pd.DataFrame, condition: str, shots: int, cuts: Sequence[int], column: str = "cut"
) -> CurveScores:
    """The scores of one curve, seeds and items in the order of their names.

    `cuts` are the values of `column`, ascending.

    Raises:
        RunFolderError: some rows are missing, because the run was interrupted, or hold counts of no known score.
    """
    found = _of_curve(rows, condition, shots, cuts, column)
    if not (found["counts"] != "").any():
        return CurveScores(_table(found, condition, cuts, column, "score"), Mean())
    texts = _table(found, condition, cuts, column, "counts")
    each = [text.split() for text in texts.ravel()]
    widths = sorted(set(map(len, each)))
    if len(widths) > 1 or widths[0] not in _OF_COUNTS:
        raise RunFolderError(
            f"rows of {condition!r} have {' and '.join(map(str, widths))} counts; expected those of one score, "
            f"{', '.join(map(str, _OF_COUNTS))}: give another folder with --out, or install the version that wrote them"
        )
    counts = np.array(each, dtype=np.float64)
    return CurveScores(counts.reshape(*texts.shape, -1), _OF_COUNTS[widths[0]])


def language_scores(
    rows: pd.DataFrame, condition: str, shots: int, cuts: Sequence[int], column: str = "cut"
) -> CurveScores | None:
    """Whether each answer is in the language that was asked for (1.0 or 0.0); None for a task without languages.

    Arguments and errors are those of `curve_scores`.
    """
    found = _of_curve(rows, condition, shots, cuts, column)
    if found["in_language"].isna().any():
        return None
    return CurveScores(_table(found, condition, cuts, column, "in_language"), Mean())


def answer_scores(
    rows: pd.DataFrame, condition: str, shots: int, cuts: Sequence[int], column: str = "cut"
) -> CurveScores:
    """The scores of single answers, also where answers are scored together; as `curve_scores`."""
    found = _of_curve(rows, condition, shots, cuts, column)
    return CurveScores(_table(found, condition, cuts, column, "score"), Mean())


def _of_curve(rows: pd.DataFrame, condition: str, shots: int, cuts: Sequence[int], column: str) -> pd.DataFrame:
    found: pd.DataFrame = rows[
        (rows["condition"] == condition) & (rows["shots"] == shots) & rows[column].isin(list(cuts))
    ]
    return found


def _table(found: pd.DataFrame, condition: str, cuts: Sequence[int], column: str, values: str) -> NDArray[Any]:
    """One kind of values of the rows, by cut (or what `column` tells apart), seed and item."""
    table = found.pivot(index=column, columns=["seed", "item"], values=values)
    seeds, items = found["seed"].nunique(), found["item"].nunique()
    if table.shape != (len(cuts), seeds * items) or table.isna().to_numpy().any():
        raise RunFolderError(f"rows of {condition!r} are missing; run the same command again to continue the run")
    known = table.sort_index().sort_index(axis=1).to_numpy()
    return known.reshape(len(cuts), seeds, items).astype(np.float64 if values != "counts" else object)
