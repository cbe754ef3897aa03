"""Experiments held against each other on one axis of layers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.analysis.agreement import Agreement
from taskpoint.analysis.intervals import Interval
from taskpoint.cli import main
from taskpoint.errors import RunFolderError, SettingError, UnknownNameError
from taskpoint.experiments.ablate.view import layers_of as layers_of_ablate
from taskpoint.experiments.locate.view import layers_of as layers_of_locate
from taskpoint.experiments.profile import blocks
from taskpoint.experiments.profile.findings import Evidence, Pair, ProfileView
from taskpoint.experiments.profile.run import ProfileResult
from taskpoint.experiments.runs import read_run
from taskpoint.models.loading import LanguageModel

TASK, SAME = "lexicon:plural", {"shots": 2, "seeds": 1, "items": 8}
KINDS = ("locate", "ablate")
OTHERS = ("locate.controls=false", "lora.steps=1")


@pytest.fixture(scope="module")
def folder(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "run"
    tp.profile(lm, tp.task(TASK), KINDS, out=path, others=OTHERS, **SAME)
    return path


@pytest.fixture(scope="module")
def found(lm: LanguageModel, folder: Path) -> ProfileResult:
    """What is there already is read, not asked again."""
    return tp.profile(lm, tp.task(TASK), KINDS, out=folder, others=OTHERS, **SAME)


def test_each_experiment_says_what_it_says_alone(lm: LanguageModel, found: ProfileResult) -> None:
    locate = layers_of_locate(tp.locate(lm, tp.task(TASK), **SAME, controls=False).view)
    ablate = layers_of_ablate(tp.ablate(lm, tp.task(TASK), **SAME, instruction=False).view)
    by_kind = dict(tuple(found.rows.groupby("kind")))
    assert list(by_kind) == sorted(KINDS)
    for kind, said in (("locate", locate), ("ablate", ablate)):
        rows = by_kind[kind].sort_values("layer")
        assert rows["layer"].tolist() == list(range(lm.num_layers))
        np.testing.assert_allclose(rows["value"], said.values, atol=1e-12)
        assert (rows["low"] <= rows["high"]).all()


def test_the_gains_of_the_layers_add_up_from_the_floor_to_the_ceiling(lm: LanguageModel, found: ProfileResult) -> None:
    point = tp.locate(lm, tp.task(TASK), **SAME, controls=False).point
    gains = found.rows[found.rows["kind"] == "locate"]["value"]
    assert gains.sum() == pytest.approx(point.ceiling - point.floor)


def test_every_run_is_an_ordinary_one_with_its_own_page(folder: Path, found: ProfileResult) -> None:
    for kind in KINDS:
        assert read_run(folder / kind).manifest.kind == kind
        assert (folder / kind / "report.html").is_file()
    assert [one.kind for one in found.view.evidence] == list(KINDS)
    assert [(pair.one, pair.other) for pair in found.view.pairs] == [("locate", "ablate")]


def test_a_profile_that_lost_some_of_a_run_continues_with_that_alone(
    lm: LanguageModel, folder: Path, found: ProfileResult, tmp_path: Path
) -> None:
    killed = tmp_path / "run"
    shutil.copytree(folder, killed)
    [own] = [part for part in (killed / "rows").iterdir() if "ablate" in part.name]
    own.unlink()
    parts = sorted((killed / "ablate" / "rows").iterdir())
    parts[0].unlink()
    before = {part: part.stat().st_mtime_ns for part in (killed / "locate" / "rows").iterdir()}
    again = tp.profile(lm, tp.task(TASK), KINDS, out=killed, others=OTHERS, **SAME)
    assert again.rows.equals(found.rows)
    assert {part: part.stat().st_mtime_ns for part in (killed / "locate" / "rows").iterdir()} == before


def test_a_run_that_is_gone_from_below_a_profile_is_missed_in_one_line(folder: Path, tmp_path: Path) -> None:
    lacking = tmp_path / "run"
    shutil.copytree(folder, lacking)
    shutil.rmtree(lacking / "ablate")
    with pytest.raises(RunFolderError, match="ablate"):
        view_of_folder(lacking)


def evidence(kind: str, pointed: Interval | None) -> Evidence:
    return Evidence(kind, f"what {kind} says", (0.1, 0.5), (0.0, 0.4), (0.2, 0.6), pointed)


@pytest.mark.parametrize(
    ("pointed", "apart", "said"),
    [
        (
            Interval(1.0, 1.0, 1.0),
            Interval(0.0, -1.0, 1.0),
            "may all point at the same of the 2 layers: a at 1 (1 to 2), b at 1",
        ),
        (
            Interval(2.0, 2.0, 2.0),
            Interval(-1.0, -1.0, -1.0),
            "do not all point at the same of the 2 layers: a at 1 (1 to 2), b at 2 (2 to 2); apart",
        ),
        (None, None, "Fewer than two experiments point at a layer"),
    ],
)
def test_the_conclusion_says_whether_the_experiments_point_at_one_layer(
    pointed: Interval | None, apart: Interval | None, said: str
) -> None:
    pairs = (Pair("a", "b", Agreement(None, apart)),)
    view = ProfileView(
        "m", "t", 2, (evidence("a", Interval(1.0, 1.0, 2.0)), evidence("b", pointed)), pairs, "taskpoint profile"
    )
    assert said in blocks.conclusion(view)
    assert blocks.report_of(view).drawn


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"kinds": ["locate"]}, SettingError, "kinds are 'locate'; expected two or more"),
        ({"kinds": ["locate", "bench"]}, UnknownNameError, "experiment of a profile 'bench'"),
        ({"others": ["steps=3"]}, SettingError, "expected KIND.SETTING=VALUE"),
        ({"others": ["lora.speed=3"]}, SettingError, "lora has no setting 'speed'; expected one of"),
        ({"others": ["lora.steps=[1"]}, SettingError, "steps is '[1'; expected"),
        ({"others": ["lora.steps=fast"]}, SettingError, "steps is 'fast'"),
    ],
)
def test_settings_that_no_profile_has_are_refused_in_one_line(
    lm: LanguageModel, asked: dict[str, list[str]], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        tp.profile(lm, tp.task(TASK), **asked)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_line_takes_settings_of_single_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "taskpoint profile --task lexicon:plural --kinds locate --kinds ablate --items 4 --seeds 1 --shots 1"
    words += f" --set locate.controls=false --set ablate.critical=0.1 --out {tmp_path / 'run'}"
    monkeypatch.setattr("sys.argv", words.split())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    said = capsys.readouterr().out
    assert "point at" in said
    assert "report.html" in said
    assert "critical: 0.1" in (tmp_path / "run" / "ablate" / "config.json").read_text().replace('"', "")
