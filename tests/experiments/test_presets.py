"""Presets say what they mean: every file builds its settings, and a mistake is told with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskpoint.errors import DataError, UnknownNameError
from taskpoint.experiments.locate.config import LocateConfig
from taskpoint.experiments.presets import reading
from taskpoint.experiments.presets.data import DATA
from taskpoint.experiments.presets.preset import Value

NAMES = [name for paper in reading.papers() for name in reading.names(paper)]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_builds_the_settings_of_all_its_runs(name: str) -> None:
    found = reading.find(name)
    assert found.configs.keys() == found.preset.runs.keys()
    for run in found.preset.runs.values():
        assert run.model is None or run.model.revision == "main", "a hash that nobody checked"


@pytest.mark.parametrize("name", NAMES)
def test_published_curves_of_locate_are_named_like_the_measured_ones(name: str) -> None:
    """By a name that is not there a published curve would stand alone."""
    found = reading.find(name)
    for run, config in found.configs.items():
        published = found.preset.runs[run].published
        if published is None or not isinstance(config, LocateConfig):
            continue
        labels = {condition.label for condition in config.conditions}
        assert {one.curve for one in published.curves} <= labels
        assert {one.curve for one in published.numbers if one.curve} <= labels


def test_figure_3_holds_the_published_table() -> None:
    """Some of the numbers digitised from the notebooks, by x."""
    runs = reading.find("sia2024/fig3").preset.runs
    curves = [curve for run in runs.values() if run.published for curve in run.published.curves]
    assert len(curves) == 10
    assert {tuple(curve.points) for curve in curves} == {(4, 6, 8, 10, 11, 12, 14, 15, 16, 17, 18, 20, 24, 28, 32)}
    (bare,) = (
        run.published.curves for name, run in runs.items() if name == "llama-3.1-8b-no-instruction" and run.published
    )
    assert bare[0].points[16] == Value(35.5, 35.5)
    assert bare[0].points[24] == Value(41.0, 41.0, about=True)
    instruct = runs["llama-3.1-8b-instruct"].published
    assert instruct is not None
    by_name = {curve.curve: curve.points for curve in instruct.curves}
    assert by_name["examples hidden, instruction visible"][6].middle == 41.1
    assert by_name["instruction, examples and query hidden"][18].middle == 23.7


def test_the_efficiency_preset_holds_what_the_formula_gives() -> None:
    """(L - r) / L * k / (k + 1) at L = 32 (section on efficiency of the first version)."""
    runs = reading.find("sia2024/efficiency").preset.runs
    for name, shots in (("five-examples", 5), ("ten-examples", 10)):
        published = runs[name].published
        assert published is not None
        for number in published.numbers:
            assert number.table is not None
            after = int(number.table.row[2].split()[0])
            saved = (32 - after) / 32 * shots / (shots + 1)
            assert number.value.middle == pytest.approx(1 / (1 - saved), abs=0.002)


RUN = "runs:\n  one:\n    experiment: locate\n"
HEAD = "title: t\nshows: s\nsource: s\ncost: c\n"
BAD = {
    "a key that presets have not": (f"{HEAD}colour: red\n{RUN}", "line 5, colour: no preset has such an entry"),
    "no runs": (HEAD, "runs: is missing"),
    "runs that are none": (f"{HEAD}runs: {{}}\n", "line 5, runs"),
    "a title that says nothing": (f"{HEAD}{RUN}".replace("title: t", 'title: " "'), "line 1, title"),
    "a key twice": (f"{HEAD}title: again\n{RUN}", "line 5: key 'title' stands there twice"),
    "an experiment that is none": (f"{HEAD}{RUN}".replace("locate", "lokate"), "line 7, runs.one.experiment: unknown"),
    "a setting that locate has not": (
        f"{HEAD}{RUN}    settings: {{rank: 8}}\n",
        "line 8, runs.one.settings.rank: locate",
    ),
    "a setting of another type": (f"{HEAD}{RUN}    settings: {{seeds: two}}\n", "line 8, runs.one.settings.seeds"),
    "a truth value of YAML 1.1": (
        f"{HEAD}{RUN}    settings:\n      conditions:\n        - hide: examples\n          instruction: no\n",
        "line 11, runs.one.settings.conditions.0.instruction",
    ),
    "a setting out of range": (
        f"{HEAD}{RUN}    settings:\n      shots: [5]\n      seeds: 0\n",
        "line 10, runs.one.settings.seeds: seeds is 0; expected a whole number from 1",
    ),
    "a selector that is none": (
        f"{HEAD}{RUN}    settings:\n      conditions:\n        - {{hide: exampels, instruction: false}}\n",
        "line 8, runs.one.settings",
    ),
    "an option that locate has not": (
        f"{HEAD}{RUN}    data: {{shape: llama}}\n",
        "line 8, runs.one.data.shape: locate",
    ),
    "a data set that nobody knows": (
        f"{HEAD}{RUN}    data: {{task: 'flores:{{flores}}'}}\n",
        "line 8, runs.one.data.task",
    ),
    "a run whose name is no folder": (
        f"{HEAD}{RUN}".replace("one:", "../one:"),
        "line 5, runs: '../one' names a folder",
    ),
    "a published number that is none": (
        f"{HEAD}{RUN}    published:\n      model: m\n      layers: 4\n      curves:\n"
        "        - curve: c\n          points: {1: 2, 2: about 4}\n",
        "line 13, runs.one.published.curves.0.points.2: expected a number, a guess",
    ),
    "a published curve of one point": (
        f"{HEAD}{RUN}    published: {{model: m, layers: 4, curves: [{{curve: c, points: {{1: 2}}}}]}}\n",
        "line 8, runs.one.published.curves.0.points",
    ),
    "a number that is read nowhere": (
        f"{HEAD}{RUN}    published: {{model: m, layers: 4, numbers: [{{name: n, value: 1, read: ring}}]}}\n",
        "`curve` and `read` belong together",
    ),
    "a number without one": (
        f"{HEAD}{RUN}    published: {{model: m, layers: 4, numbers: [{{name: n}}]}}\n",
        "line 8, runs.one.published.numbers.0: needs one of `value`",
    ),
    "words that are read from a curve": (
        f"{HEAD}{RUN}    published: {{model: m, layers: 4, numbers: [{{name: n, says: a, curve: c, read: last}}]}}\n",
        "words cannot be read from a curve",
    ),
    "no YAML": (f"{HEAD}runs: [\n", "is no YAML"),
    "a control character": (f"{HEAD}runs: \x00\n", "is no YAML"),
    "nothing": ("", "is empty"),
    "a list": ("- one\n", "line 1"),
    "a date of another tag": (f"{HEAD}when: !!timestamp 2024-01-01\n{RUN}", "line 5: '2024-01-01' is no text"),
    "infinity": (f"{HEAD}when: 1e999\n{RUN}", "line 5: '1e999' is no text"),
    "aliases of aliases": (
        "a: &a [1,2,3,4,5,6,7,8,9]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
        "holds more than",
    ),
    "an alias of itself": ("a: &a [*a]\n", "is nested too deep"),
    "a nest": ("[" * 5000, "is nested too deep"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_told_with_its_line_and_field(name: str) -> None:
    text, says = BAD[name]
    with pytest.raises(DataError) as told:
        reading.parse(text, "bad.yaml", "bad")
    assert str(told.value).startswith("bad.yaml")
    assert says in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\xff")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("image.yaml", "folder.yaml", "none.yaml"):
        with pytest.raises(DataError, match=name):
            reading.find(str(tmp_path / name))


def test_unknown_presets_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sia2024'"):
        reading.names("sia2023")
    with pytest.raises(UnknownNameError, match="Did you mean 'sia2024/fig3'"):
        reading.find("sia2024/fig33")


def test_every_data_set_says_how_to_get_it_and_under_which_licence() -> None:
    for each in DATA.values():
        assert "https://" in each.get
        assert each.licence
        assert each.inside.partition("/")[0] in each.get


def test_the_preset_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    assert reading.parse(text, "docs", "docs").configs["plural"].items == 12  # type: ignore[attr-defined]
