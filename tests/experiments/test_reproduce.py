"""A preset from its file to its page: runs in folders, killed and continued, with the published numbers beside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskpoint.errors import DataError, ModelError, RunFolderError, SettingError, UnknownNameError
from taskpoint.experiments.presets import beside, page, reading, reproduce
from taskpoint.experiments.presets.preset import PublishedNumber, Value
from taskpoint.experiments.presets.reproduce import Measured, Wishes
from taskpoint.experiments.runs import read_run
from taskpoint.report.blocks import Cell, Column, Report, Table
from taskpoint.report.drawings import Curve, Curves, Row

# Two runs on the bundled model, of seconds.
TEXT = """
title: where the examples can be hidden
shows: something
source: nowhere
cost: seconds
runs:
  plural:
    experiment: locate
    model: {name: lexicon}
    data: {task: "lexicon:plural"}
    settings: &settings {shots: [3], seeds: 1, items: 6, controls: false, batch_size: 3}
    published:
      model: lexicon
      layers: 12
      axis: x = r + 1
      shift: -1
      curves:
        - curve: examples hidden, no instruction
          points: {1: 0, 7: ~0.5, 13: 1}
      numbers:
        - {name: uncut, value: [0.9, 1], curve: "examples hidden, no instruction", read: last}
        - {name: said only, value: 3}
  past:
    experiment: locate
    model: {name: lexicon}
    data: {task: "lexicon:past"}
    settings: *settings
"""
LABEL = "examples hidden, no instruction"


@pytest.fixture(scope="module")
def found() -> reading.Found:
    return reading.parse(TEXT, "tiny.yaml", "tiny")


@contextmanager
def quiet(name: str) -> Iterator[Callable[..., None]]:
    yield lambda *_: None


def done(
    found: reading.Found,
    out: Path,
    wishes: Wishes = Wishes(),  # noqa: B008
    telling: Any = quiet,
    shown: Callable[[Sequence[Measured]], object] = len,
) -> tuple[Measured, ...]:
    return reproduce.do(found, reproduce.planned(found, wishes), out, telling, shown)


@pytest.fixture(scope="module")
def whole(found: reading.Found, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Measured, ...]]:
    out = tmp_path_factory.mktemp("whole") / "out"
    return out, done(found, out, shown=lambda runs: page.write(found, runs, out))


def test_each_run_lies_in_a_folder_that_report_reads(whole: tuple[Path, tuple[Measured, ...]]) -> None:
    out, runs = whole
    assert [run.folder for run in runs] == [out / "plural", out / "past"]
    for run in runs:
        rows = read_run(run.folder, "locate").frame()
        assert len(rows) == 6 * 13
        assert (run.folder / "report.html").is_file()
    assert (out / "preset.yaml").read_text() == TEXT


def test_a_reproduction_that_is_killed_goes_on_where_it_was(
    found: reading.Found, whole: tuple[Path, tuple[Measured, ...]], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    @contextmanager
    def killed(name: str) -> Iterator[Callable[..., None]]:
        def tell(done: int, known: int, note: str = "") -> None:
            if name == "past" and done == 1:
                raise KeyboardInterrupt

        yield tell

    shown: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        done(found, out, telling=killed, shown=lambda runs: shown.append(len(runs)))
    assert shown == [1], "what is done is shown while the rest is not"
    parts = {file: file.stat().st_mtime_ns for file in out.glob("*/rows/*.parquet")}
    assert {file.parts[-3] for file in parts} == {"plural", "past"}
    runs = done(found, out)
    assert {file: file.stat().st_mtime_ns for file in parts} == parts, "what was done was done again"
    for run, other in zip(runs, whole[1], strict=True):
        assert read_run(run.folder).frame().equals(read_run(other.folder).frame())


def test_the_page_shows_published_numbers_beside_measured_ones(
    found: reading.Found, whole: tuple[Path, tuple[Measured, ...]]
) -> None:
    out, (first, second) = whole
    compared = beside.compared(first)
    assert compared is not None
    assert beside.compared(second) is None
    rows = read_run(first.folder).frame()
    score = rows.groupby("cut")["score"].mean()
    drawn = beside.drawing(compared)
    assert drawn is not None
    ((ours, theirs),) = drawn.rows[0].panels
    assert ours.x == tuple(map(float, range(13)))
    assert ours.y == pytest.approx(tuple(score))
    assert (theirs.x, theirs.y, theirs.dashed) == ((0.0, 6.0, 12.0), (0.0, 0.5, 1.0), True)
    table = beside.curves_table(compared)
    assert table is not None
    assert [row[:2] for row in table.rows] == [("1", "0"), ("7", "6"), ("13", "12")]
    cell = table.rows[1][2]
    assert isinstance(cell, Cell)
    assert float(cell.text) == pytest.approx(score[6], abs=0.006)
    assert cell.beside.startswith("~0.50 ")
    numbers = beside.numbers_table(compared)
    assert numbers is not None
    assert numbers.rows[0][0:2] == ("uncut", "0.90-1.00")
    assert numbers.rows[1] == ("said only", "3.00", "", "")
    assert "3 published scores are missed by" in beside.outcome(compared).text
    assert "1 of 2 runs are not done here" in str(page.report_of(found, [first]))
    text = (out / "report.html").read_text()
    assert "not done here" not in text
    for words in (
        "tiny: where the examples can be hidden",
        LABEL,
        "published, lexicon",
        "no number of it was published",
    ):
        assert words in text
    assert (out / "figure.pdf").stat().st_size > 1000


def test_wishes_reach_every_run_and_equal_runs_are_done_once(found: reading.Found, tmp_path: Path) -> None:
    wishes = Wishes(task="lexicon:plural", items=3)
    plan = reproduce.planned(found, wishes)
    assert [each.config.items for each in plan] == [3, 3]  # type: ignore[attr-defined]
    assert [each.subject.task for each in plan] == ["lexicon:plural"] * 2  # type: ignore[attr-defined]
    assert "items 3 in place of 6" in plan[0].changed
    first, second = done(found, tmp_path / "out", wishes)
    assert (first.folder, second.folder) == (tmp_path / "out" / "plural",) * 2
    assert [run.planned.name for run in (first, second)] == ["plural", "past"]
    compared = beside.compared(first)
    assert compared is not None
    assert "otherwise than the paper's" in beside.outcome(compared).text


def test_a_bundled_model_is_asked_what_it_learnt_in_the_words_that_it_knows() -> None:
    fig3 = reading.find("sia2024/v1-masking")
    plan = {each.name: each for each in reproduce.planned(fig3, Wishes(model="translator"))}
    for name, each in plan.items():
        asked: Any = each.subject
        assert asked.task == f"everyday:{name[-7:]}"
        assert (asked.model, asked.revision, asked.dtype, asked.metric) == ("translator", None, None, None)
        assert each.config.template is None  # type: ignore[attr-defined]


def test_other_data_keep_the_direction_and_the_words_of_the_paper(data: Path) -> None:
    fig = reading.find("sia2024/v1-masking")
    wishes = Wishes(task="tatoeba:somewhere", device="cuda:0", data=data)
    plan = {each.name: each for each in reproduce.planned(fig, wishes)}
    asked: Any = plan["bloom-3b-fra-eng"].subject
    assert (asked.model, asked.device) == ("bigscience/bloom-3b", "cuda:0")
    assert (asked.task, asked.metric) == ("tatoeba:somewhere:fra-eng", "bleu:paper")
    assert plan["bloom-3b-fra-eng"].config.template == "paper"  # type: ignore[attr-defined]
    named = reproduce.planned(fig, replace(wishes, task="tatoeba:somewhere:eng-deu,deu-eng"))
    assert {each.subject.task for each in named} == {"tatoeba:somewhere:eng-deu,deu-eng"}  # type: ignore[attr-defined]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder in which FLORES-101 lies."""
    (tmp_path / "data" / "flores101").mkdir(parents=True)
    return tmp_path / "data"


def test_missing_data_say_how_to_get_them(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fig3 = reading.find("sia2024/fig3")
    monkeypatch.delenv("TASKPOINT_DATA", raising=False)
    for wishes in (Wishes(), Wishes(data=tmp_path)):
        with pytest.raises(DataError) as told:
            reproduce.planned(fig3, wishes)
        for words in ("FLORES-101 (CC BY-SA 4.0)", "flores101_dataset.tar.gz", "--task"):
            assert words in str(told.value)
    assert "--data" not in str(told.value), "the folder was named"
    with pytest.raises(DataError, match="no folder"):
        reproduce.planned(fig3, Wishes(data=tmp_path / "none"))
    for wishes in (Wishes(data=data), Wishes(task="everyday")):
        assert len(reproduce.planned(fig3, wishes)) == 4
    monkeypatch.setenv("TASKPOINT_DATA", str(data))
    (first, *_) = reproduce.planned(fig3, Wishes())
    assert first.subject.task == f"flores:{data / 'flores101'}:eng-fra"  # type: ignore[attr-defined]


def test_programs_are_run_only_where_the_user_allows_it(tmp_path: Path) -> None:
    for file in ("humaneval/HumanEval.jsonl", "mbpp/mbpp.jsonl"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    code = reading.find("sia2024/code")
    for allowed in (False, True):
        for each in reproduce.planned(code, Wishes(data=tmp_path, run_programs=allowed)):
            asked: Any = each.subject
            assert asked.run_programs is allowed
            assert asked.task.startswith(f"humaneval-docstring:{tmp_path}/humaneval/HumanEval.jsonl+mbpp:{tmp_path}")
    with pytest.raises(DataError, match=r"data\.run_programs"):
        reading.parse(TEXT.replace('"lexicon:past"', '"lexicon:past", run_programs: true'), "own.yaml", "own")


def test_a_missing_model_says_how_to_get_it_before_the_first_run(data: Path) -> None:
    plan = reproduce.planned(reading.find("sia2024/fig3"), Wishes(data=data))
    with pytest.raises(ModelError, match=re.escape("`hf download meta-llama/Llama-3.1-8B`, or take another with")):
        reproduce.check_models(plan)


def test_wrong_wishes_are_refused(found: reading.Found) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'plural'"):
        reproduce.planned(found, Wishes(runs=("plurals",)))
    with pytest.raises(SettingError, match="items is 0"):
        reproduce.planned(found, Wishes(items=0))
    assert [each.name for each in reproduce.planned(found, Wishes(runs=("past",)))] == ["past"]


def test_a_folder_of_something_else_is_left_alone(found: reading.Found, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(RunFolderError, match=r"thesis\.tex"):
        reproduce.claim(found, other)
    reproduce.claim(found, tmp_path / "new")
    reproduce.claim(found, tmp_path / "new")
    with pytest.raises(RunFolderError, match="another preset"):
        reproduce.claim(reading.parse(TEXT + "# changed\n", "tiny.yaml", "tiny"), tmp_path / "new")


def report(curves: Sequence[Curve]) -> Report:
    return Report("r", (Curves("c", (Row((tuple(curves),), "BLEU"),), "cut r", (0.0, 8.0)),))


def measured(found: reading.Found, curve: Curve, layers: int) -> Measured:
    (plan, _) = reproduce.planned(found, Wishes())
    table = Table("sums of it", (Column("model"), Column("saved")), (("this", Cell("41 %", "39-43")),))
    blocks = report([curve])
    return Measured(plan, replace(blocks, blocks=(*blocks.blocks, table)), "small", layers, Path("plural"))


def test_another_number_of_layers_puts_both_on_the_relative_depth(found: reading.Found) -> None:
    curve = Curve(f"{LABEL}: 4 of 8", 3, (0.0, 2.0, 8.0), (0.0, 10.0, 40.0), ring=2.0)
    compared = beside.compared(measured(found, curve, 8))
    assert compared is not None
    (pair,) = compared.pairs
    assert pair.ours == ((0.0, 0.0), (0.25, 10.0), (1.0, 40.0))
    assert [x for x, _ in pair.theirs] == [0.0, 0.5, 1.0]
    assert pair.measured(0.5) == pytest.approx(20.0)
    assert pair.measured(1.1) is None
    drawn = beside.drawing(compared)
    assert drawn is not None
    assert "layers / 8 measured, layers / 12 published" in drawn.x_label
    ((ours, theirs),) = drawn.rows[0].panels
    assert (ours.ring, max(theirs.x)) == (0.25, 1.0)
    assert "is not the paper's lexicon" in beside.outcome(compared).text


def told(run: Measured, **number: Any) -> tuple[str | Cell, ...]:
    """The line of the table of numbers for one published number."""
    published = run.planned.published
    assert published is not None
    one = published.model_copy(update={"numbers": [PublishedNumber(name="n", **number)]})
    compared = beside.compared(replace(run, planned=replace(run.planned, published=one)))
    assert compared is not None
    table = beside.numbers_table(compared)
    assert table is not None
    return table.rows[0][1:]


def test_numbers_are_read_from_rings_ends_and_tables(found: reading.Found) -> None:
    curve = Curve(f"{LABEL}: 4 of 12", 3, (0.0, 4.0, 12.0), (1.0, 44.0, 40.0), ring=4.0)
    run = measured(found, curve, 12)
    for read, expected in (("first", 1.0), ("last", 40.0), ("highest", 44.0), ("lowest", 1.0), ("ring", 4.0)):
        theirs = 4.0 if read == "ring" else 5.0  # their x is one more than ours
        line = [float(str(cell)) for cell in told(run, value=5, curve=LABEL, read=read)]
        assert line == [theirs, expected, expected - theirs]
    table = {"title": "sums", "row": ["this"], "column": "sav"}
    assert told(run, value=[30, 40], table=table) == ("30.0-40.0", "41.0", "+1.00")
    assert told(run, says="nearly half", table=table) == ("nearly half", "41 %", "")
    assert told(run, says="nearly half") == ("nearly half", "", "")
    for other in ({"title": "other"}, {"row": ["that"]}, {"column": "lost"}):
        assert told(run, value=5, table=table | other) == ("5.00", "not measured", "")
    assert told(run, value=5, curve="another curve", read="last") == ("5.00", "not measured", "")


def test_half_of_the_way_tolerates_dips_and_flat_curves() -> None:
    assert beside.middle([(0.0, 0.0), (1.0, 6.0), (2.0, 4.0), (4.0, 8.0), (5.0, 10.0)]) == pytest.approx(2.5)
    assert beside.middle([(0.0, 40.0), (1.0, 40.0), (2.0, 0.0)]) == pytest.approx(1.5)
    assert beside.middle([(0.0, 40.0), (9.0, 41.0)]) is None
    assert Value(15.0, 20.0).off(22.0) == 2.0
    assert Value(15.0, 20.0).off(18.0) == 0.0
