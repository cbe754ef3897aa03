"""The whole of paper A's experiments 1 and 3 in one run each: conditions, numbers of examples, directions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.analysis.movement import movement
from taskpoint.asking.condition import GRID_CONDITIONS, PAPER_CONDITIONS, Condition, conditions
from taskpoint.asking.scores import curve_scores
from taskpoint.engine.paths.reference import mask_context
from taskpoint.errors import PromptError, SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.locate.config import Instruction, LocateConfig, _conditions
from taskpoint.experiments.locate.curves import figure_blocks
from taskpoint.experiments.locate.result import LocateResult
from taskpoint.experiments.locate.run import start
from taskpoint.experiments.locate.wording import movement_sentence
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.content import Place
from taskpoint.prompts.encode import encode
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.template import template
from taskpoint.results.folder import RunFolder
from taskpoint.tasks.mapping import MappingTask, Subtask

N = 12
PLURAL = "lexicon:plural"


def test_no_two_conditions_of_the_grid_share_a_name_or_a_label_and_the_papers_come_first() -> None:
    assert GRID_CONDITIONS[: len(PAPER_CONDITIONS)] == PAPER_CONDITIONS
    for named in ({one.name for one in GRID_CONDITIONS}, {one.label for one in GRID_CONDITIONS}):
        assert len(named) == len(GRID_CONDITIONS)


def test_names_of_what_was_there_before_are_as_they_were() -> None:
    assert [one.name for one in PAPER_CONDITIONS] == [
        "examples",
        "examples (with instruction)",
        "instruction,examples (with instruction)",
        "query (with instruction)",
        "instruction,examples,query (with instruction)",
    ]
    assert Condition("examples", True).setting == {"hide": "examples", "instruction": True}
    told = Condition("examples", True, Place.after_query, 2)
    assert told.name == "examples (with instruction after the query, wording 2)"
    assert told.setting == {"hide": "examples", "instruction": True, "place": "after-query", "wording": 2}


def test_the_zero_shot_control_is_told_what_to_do_in_the_same_way() -> None:
    told = Condition("examples", True, Place.after_query, 1)
    assert told.zero_shot == told
    assert Condition("all", True, Place.after_query, 1).zero_shot == Condition("examples", False)


@pytest.fixture(scope="module")
def grid(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[LocateResult, Path]:
    folder = tmp_path_factory.mktemp("grid")
    config = LocateConfig.of(
        conditions=GRID_CONDITIONS, shots=2, seeds=1, items=2, cuts=[6], max_new_tokens=3, controls=False
    )
    found = runner.run(EXPERIMENTS["locate"], start(Asked(lm, tp.task(PLURAL)), config), folder)
    return LocateResult(found.rows, found.view, found.folder), folder


def test_one_run_has_every_condition_and_its_controls(lm: LanguageModel, grid: tuple[LocateResult, Path]) -> None:
    found, folder = grid
    curves = {one.name for one in GRID_CONDITIONS}
    assert set(found.rows["condition"]) == curves
    assert view_of_folder(folder) == found.view
    assert "--grid" in found.view.command
    work = start(Asked(lm, tp.task(PLURAL)), LocateConfig.of(conditions=GRID_CONDITIONS, shots=2, seeds=1, items=2))
    (cells,) = work.groups(lambda: found.rows)
    assert {cell.name for cell in cells} - curves == {
        kind + one.telling for kind in ("zero-shot", "shuffled answers", "early exit") for one in GRID_CONDITIONS
    }


def test_the_figure_has_every_curve_of_the_grid_in_rows_that_tell_them_apart(grid: tuple[LocateResult, Path]) -> None:
    (curves,) = figure_blocks(grid[0].view)
    drawn = [curve for row in curves.rows for panel in row.panels for curve in panel]
    assert len(drawn) == len(GRID_CONDITIONS)
    assert all(any(level.dash == "dashed" for level in row.levels) for row in curves.rows)
    for row in curves.rows:
        looks = [curves.look(curve.style) for curve in row.panels[0]]
        assert len({look.light for look in looks}) == len(looks) <= 6
    assert len({curves.look(curve.style) for curve in drawn}) == len(drawn)


def test_a_row_of_the_newest_token_alone_is_what_fresh_prompts_give(
    lm: LanguageModel, grid: tuple[LocateResult, Path]
) -> None:
    rows = grid[0].rows
    found = rows[(rows["condition"] == "all (with instruction)") & (rows["cut"] == 6)].set_index("item")["text"]
    task, form = tp.task(PLURAL), template("qa")
    for item in task.items(2):
        prompt = encode(lm.tokenizer, form, task.content(item, 2, 0))
        ids = torch.from_numpy(prompt.ids)[None]
        for _ in range(3):
            drop = torch.arange(ids.shape[1])[None] >= int((prompt.segments == 0).sum())
            drop[:, -1] = False
            with torch.inference_mode(), mask_context(lm.model, 6, drop):
                ids = torch.cat([ids, lm.model(ids).logits[:, -1:].argmax(-1)], dim=1)
        assert form.answer(lm.tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True)) == found[item.id]


def test_the_grid_leaves_out_the_wordings_that_a_task_lacks_and_says_so(lm: LanguageModel) -> None:
    plural = tp.task(PLURAL)
    assert isinstance(plural, MappingTask)
    own = MappingTask("own", (Subtask("own", "Write the plural:", plural.subtasks[0].pairs),))
    config = LocateConfig.of(conditions=GRID_CONDITIONS, shots=2, seeds=1, items=2, controls=False)
    work = start(Asked(lm, own), config)
    (cells,) = work.groups(lambda: None)  # type: ignore[arg-type, return-value]
    asked = {cell.name for cell in cells}
    left_out = {one.name for one in GRID_CONDITIONS if one.wording}
    assert asked == {one.name for one in GRID_CONDITIONS} - left_out
    assert set(work.manifest["left_out"]) == left_out


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        ({"instruction": True, "wording": 3}, SettingError, "has 3; set wording to at most 2"),
        ({"instruction": True, "wording": -1}, SettingError, "wording is -1"),
        ({"wording": 1}, SettingError, "instruction=True"),
        ({"place": "after-query"}, SettingError, "instruction=True"),
        ({"instruction": True, "place": "last"}, SettingError, "first, before-query, after-query"),
        ({"instruction": True, "hide": "examples[2:]"}, PromptError, "picks none"),
        ({"hide": "all,examples"}, SettingError, "'all' beside other segments"),
    ],
)
def test_what_a_prompt_cannot_say_is_refused_in_one_line(
    lm: LanguageModel, named: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        tp.locate(lm, tp.task(PLURAL), **{"shots": 2, "seeds": 1, "items": 2, **named})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_instruction_behind_the_query_stands_there_and_can_be_hidden(lm: LanguageModel) -> None:
    task, form = tp.task(PLURAL), template("qa")
    content = replace(task.content(task.items(1)[0], 2, 0, wording=1), place=Place.after_query)
    prompt = encode(lm.tokenizer, form, content)
    mask = parse_selector("instruction").mask(prompt)
    query = np.flatnonzero(prompt.segments == 3)
    assert query[0] < np.flatnonzero(mask)[0] < query[-1]
    hidden = prompt.text[prompt.offsets[mask][0, 0] : prompt.offsets[mask][-1, 1]]
    assert hidden.strip() == content.instruction == "Write the plural form:"


def test_a_folder_from_before_places_and_wordings_is_read_and_continued(lm: LanguageModel, tmp_path: Path) -> None:
    named = {"shots": 1, "seeds": 1, "items": 2, "cuts": [6], "controls": False, "instruction": (False, True)}
    found = tp.locate(lm, tp.task(PLURAL), out=tmp_path, **named)  # type: ignore[arg-type]
    kept = json.loads((tmp_path / "config.json").read_text())["config"]["conditions"]
    assert kept == [{"hide": "examples", "instruction": False}, {"hide": "examples", "instruction": True}]
    assert view_of_folder(tmp_path) == found.view
    before = RunFolder.read(tmp_path).frame()
    again = tp.locate(lm, tp.task(PLURAL), out=tmp_path, **named)  # type: ignore[arg-type]
    assert again.rows.equals(before)


def test_numbers_of_examples_share_a_scale_and_are_compared_by_the_test(lm: LanguageModel, tmp_path: Path) -> None:
    shots = (1, 2, 4)
    named = {"seeds": 1, "items": 12, "max_new_tokens": 3, "controls": False, "out": tmp_path}
    found = tp.locate(lm, tp.task("lexicon"), shots=shots, **named)  # type: ignore[arg-type]
    (moved,) = found.view.movements
    scores = {k: curve_scores(found.rows, "examples", k, range(N + 1)).values for k in shots}
    pointed = {k: scores[k] for k, one in zip(shots, found.view.conditions, strict=True) if one.point.layer is not None}
    assert len(pointed) > 1
    assert moved.found == movement(range(N + 1), pointed)
    assert "with the number of examples" in movement_sentence(found.view, moved)
    (curves,) = figure_blocks(found.view)
    assert curves.scale == 3
    assert [curve.label.split(":")[0] for curve in curves.rows[0].panels[0]] == [
        "1 example",
        "2 examples",
        "4 examples",
    ]
    assert len({curves.look(curve.style).light for curve in curves.rows[0].panels[0]}) == 3
    assert view_of_folder(tmp_path) == found.view
    assert "Does the point move with the number of examples?" in found.report(tmp_path / "r.html").read_text()


def test_both_directions_of_a_pair_have_a_panel_each(lm: LanguageModel, tmp_path: Path) -> None:
    suite = tp.task("lexicon")
    assert isinstance(suite, MappingTask)
    pair = MappingTask("pair", tuple(one for one in suite.subtasks if one.name in ("plural", "capital")))
    found = tp.locate(lm, pair, shots=2, seeds=1, items=6, cuts=[6], max_new_tokens=3, controls=False)
    (curves,) = figure_blocks(found.view)
    assert curves.heads == tuple(part.name for part in found.view.conditions[0].parts) == ("capital", "plural")
    (row,) = curves.rows
    for column, part in enumerate(found.view.conditions[0].parts):
        assert row.panels[column][0].y == part.mean
        assert row.levels_by_panel[column][0].y == pytest.approx(part.point.ceiling)
    assert found.plot(tmp_path / "figure.svg").stat().st_size > 1000
    assert len(curves.strips) == 2


def test_of_a_typed_grid_the_conditions_are_those_of_the_grid() -> None:
    assert _conditions(None, Instruction.no, Place.first, None, False, True) == GRID_CONDITIONS
    for given in (
        (["query"], Instruction.no, Place.first, None),
        (None, Instruction.yes, Place.first, None),
        (None, Instruction.no, Place.after_query, None),
        (None, Instruction.no, Place.first, [1]),
    ):
        with pytest.raises(SettingError, match="--grid brings its own conditions"):
            _conditions(*given, False, True)
    with pytest.raises(SettingError, match="--paper and --grid"):
        _conditions(None, Instruction.no, Place.first, None, True, True)
    assert conditions("all", (False, True)) == (Condition("all", False), Condition("all", True))
