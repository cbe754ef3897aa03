"""The runner does what is missing, tells how far it is, and finds every cell again by its key."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import taskpoint as tp
from taskpoint.asking.condition import Condition
from taskpoint.errors import ModelError, RunFolderError, SettingError
from taskpoint.experiments.bench.config import BenchConfig
from taskpoint.experiments.bench.run import Bench
from taskpoint.experiments.bench.subject import Subject
from taskpoint.experiments.contract import Keyed, Step, Work
from taskpoint.experiments.locate.config import LocateConfig
from taskpoint.experiments.locate.run import Locate
from taskpoint.experiments.registry import Experiment
from taskpoint.experiments.runner import default_folder, run
from taskpoint.models.loading import LanguageModel
from taskpoint.models.random_weights import random_decoder
from taskpoint.report.blocks import Report, Sentence
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import Layout


@dataclass(frozen=True)
class Square:
    number: int
    square: int


class Squares(Work[Keyed]):
    """Three numbers, and then one that is the sum of their squares; each takes two steps."""

    name = "squares"

    def __init__(self, first: int = 1, fails_at: int | None = None) -> None:
        self.manifest = {"first": first}
        self.first, self.fails_at = first, fails_at
        self.given: list[list[int]] = []
        self.computed: list[int] = []

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Keyed]]:
        self._ask(rows)
        yield [self.cell(str(self.first + more)) for more in range(3)]
        self._ask(rows)
        yield [self.cell(str(sum(self.given[-1])))]

    def _ask(self, rows: Callable[[], pd.DataFrame]) -> None:
        frame = rows()  # where a run continues, those of the second group are there already
        self.given.append(frame[frame["number"] < self.first + 3]["square"].tolist())

    def cell(self, key: str) -> Keyed:
        return Keyed(key)

    def steps(self, cell: Keyed) -> int:
        return 2

    def rows(self, cell: Keyed, step: Step) -> Iterable[Square]:
        number = int(cell.key)
        if number == self.fails_at:
            raise ModelError("it computes no numbers")
        step(f"half of {number}")
        self.computed.append(number)
        yield Square(number, number**2)


class Sum:
    """What is seen of it: the sum of all squares."""

    LAYOUT = Layout(Square, ("number",))

    def view_of(self, folder: RunFolder) -> int:
        return int(folder.frame()["square"].sum())

    def report_of(self, view: int) -> Report:
        return Report("squares", (Sentence(f"their sum is {view}"),))


class Toy(Experiment):
    @property
    def view(self) -> Sum:
        return Sum()


EXPERIMENT = Toy("squares", "How much are all squares?", "nowhere")


def told_by(work: Work[Any], out: Path | None, stop_at: int | None = None) -> list[tuple[Any, ...]]:
    """What a run tells of its progress, until it is stopped."""
    told: list[tuple[Any, ...]] = []

    def tell(*step: Any) -> None:
        told.append(step)
        if step[0] == stop_at:
            raise KeyboardInterrupt

    if stop_at is None:
        run(EXPERIMENT, work, out, tell)
    else:
        with pytest.raises(KeyboardInterrupt):
            run(EXPERIMENT, work, out, tell)
    return told


def test_the_next_group_is_asked_for_when_the_rows_of_the_one_before_are_written(tmp_path: Path) -> None:
    work = Squares()
    found = run(EXPERIMENT, work, tmp_path)
    assert work.given == [[], [1, 4, 9]]
    assert work.computed == [1, 2, 3, 14]
    assert found.rows.values.tolist() == [[1, 1], [2, 4], [3, 9], [14, 196]]
    assert (found.view, found.folder) == (210, tmp_path)


def test_a_run_stopped_within_a_group_continues_with_what_is_missing(tmp_path: Path) -> None:
    first, then, again = Squares(), Squares(), Squares()
    told = told_by(first, tmp_path, stop_at=4)
    assert told == [(0, 6), (1, 6, "half of 1"), (2, 6), (3, 6, "half of 2"), (4, 6)]
    assert first.computed == [1, 2]
    told = told_by(then, tmp_path)
    assert told == [
        *((0, 6), (2, 6), (4, 6), (5, 6, "half of 3"), (6, 6)),
        *((6, 8), (7, 8, "half of 14"), (8, 8)),
    ]
    assert then.given == [[1, 4], [1, 4, 9]]
    assert then.computed == [3, 14]
    assert told_by(again, tmp_path) == [(0, 6), (2, 6), (4, 6), (6, 6), (6, 8), (8, 8)]
    assert again.computed == []


def test_a_cell_that_was_stopped_before_its_end_is_computed_anew(tmp_path: Path) -> None:
    first, then = Squares(), Squares()
    assert told_by(first, tmp_path, stop_at=3)[-1] == (3, 6, "half of 2")
    run(EXPERIMENT, then, tmp_path)
    assert then.computed == [2, 3, 14]


def test_a_model_that_fails_in_the_first_cell_leaves_the_folder_to_other_settings(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no numbers"):
        run(EXPERIMENT, Squares(first=1, fails_at=1), tmp_path)
    assert run(EXPERIMENT, Squares(first=2), tmp_path).view == 4 + 9 + 16 + 29**2


def test_a_model_that_fails_later_keeps_the_folder_for_its_settings(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no numbers"):
        run(EXPERIMENT, Squares(first=1, fails_at=2), tmp_path)
    with pytest.raises(RunFolderError, match="first: 1 -> 2"):
        run(EXPERIMENT, Squares(first=2), tmp_path)
    work = Squares(first=1)
    run(EXPERIMENT, work, tmp_path)
    assert work.computed == [2, 3, 14]


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = run(EXPERIMENT, Squares())
    assert (found.view, found.folder, len(found.rows)) == (210, None, 4)
    with pytest.raises(ModelError, match="no numbers"):
        run(EXPERIMENT, Squares(fails_at=3))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_finished_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    class Refused(Squares):
        def check(self) -> None:
            raise ModelError("it is no decoder")

    with pytest.raises(ModelError, match="no decoder"):
        run(EXPERIMENT, Refused(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_same_settings_find_the_same_folder_and_others_another() -> None:
    folder = default_folder(EXPERIMENT, Squares(first=1))
    assert folder.parent == Path("runs")
    assert folder.name.startswith("squares-squares-")
    assert folder == default_folder(EXPERIMENT, Squares(first=1))
    assert folder != default_folder(EXPERIMENT, Squares(first=2))


@pytest.fixture(scope="module")
def locate(lm: LanguageModel) -> Callable[..., Locate]:
    def started(**settings: Any) -> Locate:
        named: dict[str, Any] = {"shots": (1, 3), "seeds": 2, "items": 8, "batch_size": 5, "max_new_tokens": 3}
        conditions = Condition("query", False), Condition("examples", True), Condition("instruction,examples", True)
        return Locate(lm, tp.task("lexicon"), LocateConfig.of(**{**named, "conditions": conditions, **settings}))

    return started


def test_every_cell_of_locate_is_found_again_by_its_key(locate: Callable[..., Locate], tmp_path: Path) -> None:
    work = locate()
    (cells,) = work.groups(pd.DataFrame)
    # 3 conditions with 2 numbers of shots, 2 seeds and 2 batches; zero-shot with and without instruction in 2
    # batches; the other two controls with and without instruction for all shots, seeds and batches.
    kinds = [cell.kind for cell in cells]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "cut": 24,
        "zero-shot": 4,
        "shuffled answers": 16,
        "early exit": 16,
    }
    assert len({cell.key for cell in cells}) == len(cells)
    assert [work.cell(cell.key) for cell in cells] == list(cells)


def test_the_last_cut_may_be_listed_and_none_after_it(locate: Callable[..., Locate]) -> None:
    (cells,) = locate(cuts=(12, 3), controls=False).groups(pd.DataFrame)
    assert {cell.cuts for cell in cells} == {(0, 3, 12)}
    with pytest.raises(SettingError, match="cuts names layer 13"):
        locate(cuts=(13,))


def test_a_cell_of_a_bisection_is_found_again_by_its_key(locate: Callable[..., Locate]) -> None:
    whole, work = locate(), locate(cuts="bisect")
    cell = next(cell for (cells,) in [whole.groups(pd.DataFrame)] for cell in cells if cell.kind == "cut")
    for cuts in ("0,12", "1", "11"):
        found = work.cell(cell.key.partition(" cuts=")[0] + f" cuts={cuts}")
        assert found.cuts == tuple(map(int, cuts.split(",")))
        assert (found.condition, found.shots, found.seed, found.items) == (
            *(cell.condition, cell.shots, cell.seed),
            cell.items,
        )


ALL = ",".join(map(str, range(13)))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "examples",
        f"instruction shots=1 seed=0 part=0 cuts={ALL}",  # no such condition
        f"examples shots=1 seed=0 part=0 cuts={ALL}",  # only with instruction
        f"query shots=2 seed=0 part=0 cuts={ALL}",
        f"query shots=0 seed=0 part=0 cuts={ALL}",  # only the control has no shots
        f"query shots=1 seed=2 part=0 cuts={ALL}",
        f"query shots=1 seed=0 part=2 cuts={ALL}",
        f"query shots=1 seed=0 part=00 cuts={ALL}",
        f"query shots=1 seed=0 part=\N{ARABIC-INDIC DIGIT ONE} cuts={ALL}",
        f"query shots=1 seed=0 part=0 cuts={ALL},13",
        "query shots=1 seed=0 part=0 cuts=",
        "query shots=1 seed=0 part=0 cuts=6",  # not the cuts that were asked for
        f"query shots=1 seed=0 part=0 cuts={'9' * 5000}",
        "zero-shot shots=1 seed=0 part=0 cuts=12",
        "zero-shot shots=0 seed=1 part=0 cuts=12",
        "early exit shots=1 seed=0 part=0 cuts=12",
        f"shuffled answers shots=1 seed=0 part=0 cuts={ALL}",
    ],
)
def test_a_key_of_no_cell_of_locate_is_refused(locate: Callable[..., Locate], key: str) -> None:
    with pytest.raises(SettingError, match=r"no cell of this run; expected a key such as 'query shots=1 seed=0"):
        locate().cell(key)


@pytest.mark.parametrize("cuts", ["13", "0", "6,6", "12,0", "06"])
def test_a_bisection_has_no_cell_of_cuts_that_the_model_lacks_or_out_of_order(
    locate: Callable[..., Locate], cuts: str
) -> None:
    with pytest.raises(SettingError, match="no cell of this run"):
        locate(cuts="bisect").cell(f"query shots=1 seed=0 part=0 cuts={cuts}")


def test_controls_that_are_not_asked_for_are_no_cells(locate: Callable[..., Locate]) -> None:
    key = "zero-shot shots=0 seed=0 part=0 cuts=12"
    assert locate().cell(key).kind == "zero-shot"
    with pytest.raises(SettingError, match="no cell of this run"):
        locate(controls=False).cell(key)


def test_every_cell_of_bench_is_found_again_by_its_key() -> None:
    subject = Subject(random_decoder("llama:2x16"), "tiny")
    work = Bench(subject, BenchConfig(cuts=(1,), context=(8, 12), batch=(1, 3)))
    (cells,) = work.groups(pd.DataFrame)
    assert [cell.key for cell in cells] == [f"batch={b} context={c}" for b in (1, 3) for c in (8, 12)]
    assert [work.cell(cell.key) for cell in cells] == list(cells)
    for key in ("", "batch=1", "batch=2 context=8", "batch=1 context=128", "batch=01 context=8"):
        with pytest.raises(SettingError, match="no cell of this run; expected a key such as 'batch=1 context=8'"):
            work.cell(key)


def test_shuffled_answers_are_asked_with_examples_of_their_own(locate: Callable[..., Locate]) -> None:
    work = locate(items=2)

    def examples(key: str) -> set[str]:
        return {row.examples for row in work.rows(work.cell(key), lambda note: None)}

    setting = f"shots=3 seed=0 part=0 cuts={ALL}"
    plain = examples(f"query {setting}")
    assert examples(f"early exit {setting}") == plain
    assert not examples("shuffled answers shots=3 seed=0 part=0 cuts=12") & plain
