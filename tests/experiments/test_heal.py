"""Adapters taught under a cut: what they are taught, what they answer, and what is said of them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.analysis.costs.savings import saving
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.analysis.recognition import recognition_point
from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.encoding import encoded
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.errors import DataError, ModelError, SettingError
from taskpoint.experiments.heal import healing, run
from taskpoint.experiments.heal.blocks import blocks, conclusion, figure_blocks, page_of, report_of
from taskpoint.experiments.heal.config import HealConfig
from taskpoint.experiments.heal.lessons import Lesson, lessons, predicted, together
from taskpoint.experiments.heal.prompts import Prompts
from taskpoint.experiments.heal.result import HealResult
from taskpoint.experiments.heal.rows import BY_HEART, HEALED, UNCUT, UNHEALED, ZERO_SHOT
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.template import template
from taskpoint.report import terminal

peft = pytest.importorskip("peft")

N, CUTS, ITEMS = 12, (1, 6), 12
SMALL: dict[str, Any] = {
    "after": CUTS, "shots": 3, "seeds": 1, "items": ITEMS, "training": 24, "batch": 8, "steps": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def healed(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> HealResult:
    return tp.heal(lm, "lexicon", out=tmp_path_factory.mktemp("heal") / "run", **SMALL)


@pytest.fixture(scope="module")
def taught(lm: LanguageModel) -> list[Lesson]:
    """Eight lessons of different lengths."""
    config = HealConfig.of(**SMALL | {"training": 8})
    task = tp.task("lexicon")
    prompts = Prompts(lm, task, template(task.template), config)
    asked, _ = prompts.training(0)
    return lessons(lm, AnswerEnd(lm, template(task.template)), asked.prompts, asked.hidden, prompts.max_new_tokens)


def texts(rows: pd.DataFrame, condition: str, cut: int) -> list[str]:
    found = rows[(rows["condition"] == condition) & (rows["cut"] == cut) & (rows["seed"] == 0)]
    return list(found["text"])


def answers(model: Any, lm: LanguageModel, rows: pd.DataFrame, cut: int) -> list[str]:
    """What a model answers under the cut by the library's own `generate`, one prompt at a time."""
    task = tp.task("lexicon")
    form, by_name = template(task.template), {item.id: item for item in task.items(ITEMS)}
    found = []
    for name in rows[(rows["condition"] == HEALED) & (rows["cut"] == cut)]["item"][:6]:
        (prompt,) = encoded(lm, form, [task.content(by_name[name], 3, 0, instruction=False)])
        ids, hidden = torch.from_numpy(prompt.ids)[None], torch.from_numpy(prompt.segments == 2)[None]
        with cut_context(model, cut, hidden):
            mask = torch.ones_like(ids)
            written = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False)
        found.append(form.answer(lm.tokenizer.decode(written[0, len(prompt.ids) :], skip_special_tokens=True)))
    return found


class TestRows:
    def test_every_condition_is_there_once_for_each_item(self, healed: HealResult) -> None:
        rows = healed.rows
        counted = rows.groupby(["condition", "cut"]).size().to_dict()
        expected = dict.fromkeys([(UNHEALED, cut) for cut in range(N + 1)], ITEMS)
        expected |= dict.fromkeys([(condition, cut) for condition in (HEALED, UNCUT) for cut in CUTS], ITEMS)
        assert counted == expected | {(ZERO_SHOT, N): ITEMS, (BY_HEART, N): ITEMS}
        trained = rows["condition"].isin([HEALED, UNCUT, BY_HEART])
        assert (rows["divergence"].notna() == trained).all()
        assert (rows.loc[trained, "divergence"] < rows.loc[trained, "divergence_before"]).all()

    def test_the_unhealed_curve_is_that_of_locate(self, healed: HealResult, lm: LanguageModel) -> None:
        located = tp.locate(lm, "lexicon", shots=3, seeds=1, items=ITEMS, controls=False).rows
        for cut in range(N + 1):
            assert texts(healed.rows, UNHEALED, cut) == texts(located, "examples", cut)

    def test_the_model_is_left_as_it_was(self, healed: HealResult, lm: LanguageModel) -> None:
        assert not hasattr(lm.model, "peft_config")
        assert all("lora" not in name for name in lm.model.state_dict())


class TestAdapters:
    @pytest.mark.parametrize("cut", CUTS)
    def test_plain_peft_opens_it_and_it_gives_the_answers_of_the_rows(
        self, healed: HealResult, lm: LanguageModel, cut: int
    ) -> None:
        model = peft.PeftModel.from_pretrained(tp.load().model, str(healed.adapters[cut])).eval()
        expected = texts(healed.rows, HEALED, cut)
        assert answers(model, lm, healed.rows, cut) == expected[:6]
        assert cut != 1 or texts(healed.rows, UNHEALED, cut)[:6] != expected[:6]

    def test_a_compiled_prompt_gives_the_answers_of_the_rows(self, healed: HealResult, tmp_path: Path) -> None:
        cut = CUTS[0]
        task, whole = tp.task("lexicon:plural"), tp.task("lexicon")
        adapted = tp.load("lexicon", adapter=healed.adapters[cut])
        merged = dataclasses.replace(
            tp.load(),
            model=peft.PeftModel.from_pretrained(tp.load().model, str(healed.adapters[cut])).merge_and_unload(),
        )
        context = task.context(3, 0, instruction=False).examples
        rows = healed.rows[(healed.rows["condition"] == HEALED) & (healed.rows["cut"] == cut)].set_index("item")
        asked = [item for item in whole.items(ITEMS) if item.task == "plural"]
        asked = [item for item in asked if whole.content(item, 3, 0, instruction=False).examples == context]
        assert asked
        for model in (adapted, merged):
            prompt = tp.compile_prompt(model, task, shots=3, after=cut)
            assert prompt.generate([item.input for item in asked]) == [rows.loc[item.id, "text"] for item in asked]
            again = tp.load_prompt(prompt.save(tmp_path / "p.safetensors"), model)
            assert again.generate(["cat"]) == prompt.generate(["cat"])

    def test_it_names_the_model_and_no_place_of_this_machine(self, healed: HealResult) -> None:
        for file in ("adapter_config.json", "README.md"):
            said = (healed.adapters[CUTS[0]] / file).read_text()
            assert "lexicon" in said
            assert str(Path(tp.__file__).parent) not in said


class TestLessons:
    def test_what_is_wanted_is_what_the_uncut_model_holds_of_its_own_answer(
        self, taught: list[Lesson], lm: LanguageModel
    ) -> None:
        end = AnswerEnd(lm, template("qa"))
        for lesson in taught:
            with torch.inference_mode():
                alone = lm.model(torch.from_numpy(lesson.ids)[None]).logits[0].float().log_softmax(-1)
            count = len(lesson.wanted)
            torch.testing.assert_close(lesson.wanted, alone[-count:], atol=1e-4, rtol=0)
            said = lesson.wanted.argmax(-1).tolist()
            assert said[:-1] == lesson.ids[len(lesson.ids) - count + 1 :].tolist()
            assert said[-1] in end.tokens
            assert not lesson.hidden[len(lesson.ids) - count :].any()

    @pytest.mark.parametrize("cut", [0, 5, N])
    def test_the_divergence_is_that_of_masking_and_is_nothing_where_nothing_is_cut(
        self, taught: list[Lesson], lm: LanguageModel, cut: int
    ) -> None:
        batch = together(lm, AnswerEnd(lm, template("qa")), taught)
        by_hand, tokens = 0.0, 0
        with torch.no_grad():
            with cut_context(lm.model, cut, batch.hidden):
                found = float(healing.divergence(predicted(lm, batch), batch.wanted))
            for lesson in taught:
                ids, hidden = torch.from_numpy(lesson.ids)[None], torch.from_numpy(lesson.hidden)[None]
                with mask_context(lm.model, cut, hidden):
                    said = lm.model(ids).logits[0, -len(lesson.wanted) :].double().softmax(-1)
                wanted = lesson.wanted.double().exp()
                by_hand += float((wanted * (wanted.log() - said.log())).sum())
                tokens += len(wanted)
        assert found == pytest.approx(by_hand / tokens, abs=1e-5)
        assert found < 1e-6 if cut == N else found > 1e-2

    def test_a_reference_answer_is_taught_with_its_end(self, lm: LanguageModel) -> None:
        task, config = tp.task("lexicon"), HealConfig.of(**SMALL | {"references": True, "training": 6})
        prompts = Prompts(lm, task, template(task.template), config)
        asked, without = prompts.training(0)
        end = AnswerEnd(lm, template(task.template))
        found = lessons(lm, end, asked.prompts, asked.hidden, prompts.max_new_tokens)
        items = task.training(6, prompts.items)
        assert without is not None
        for item, lesson, prompt, alone in zip(items, found, asked.prompts, without.prompts, strict=True):
            answer = len(prompt) - prompt.prompt_length
            assert lm.tokenizer.decode(lesson.ids[-answer:]).strip() == item.answers[0]
            assert len(lesson.wanted) == answer + 1
            other = lesson.asked_by(alone)
            assert other.ids.tolist() == [*alone.ids, *lesson.ids[-answer:]]
            assert not other.hidden.any()

    def test_nothing_that_is_scored_is_trained_on_or_stands_among_the_examples_of_training(
        self, lm: LanguageModel
    ) -> None:
        task, config = tp.task("lexicon:plural"), HealConfig.of(items=60, training=500)
        prompts = Prompts(lm, task, template("qa"), config)
        tests = {item.input for item in prompts.items}
        first, second = ([prompt.text for prompt in prompts.training(seed)[0].prompts] for seed in (0, 1))
        assert len(first) > 50
        for text in first:
            said = {line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("Q: ")}
            assert len(said) == 6
            assert not said & tests
        assert not set(first) & set(second)

    def test_a_task_of_which_all_is_scored_is_refused(self, lm: LanguageModel) -> None:
        with pytest.raises(DataError, match="score fewer"):
            tp.heal(lm, "lexicon:plural", items=1000)

    def test_nan_is_refused_and_what_the_last_step_does_is_looked_at_too(
        self, taught: list[Lesson], lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config, end = HealConfig.of(**SMALL | {"steps": 1}), AnswerEnd(lm, template("qa"))
        bad = dataclasses.replace(taught[0], wanted=torch.full_like(taught[0].wanted, float("nan")))

        def spoil(optimizer: torch.optim.AdamW) -> None:
            for weight in optimizer.param_groups[0]["params"]:
                weight.data.fill_(float("nan"))

        monkeypatch.setattr(torch.optim.AdamW, "step", spoil)
        with run.adapted(lm.model, range(N), run.AdapterSettings(dropout=0.0)):
            for given, after in (([bad], 0), (taught, 1)):
                with pytest.raises(ModelError, match=f"nan after {after} of 1 .*--lr"):
                    healing.heal(lm, end, given, 3, config, 0, lambda note: None)


class TestRun:
    def test_a_killed_run_continues_to_the_same_rows_and_adapters(
        self, healed: HealResult, lm: LanguageModel, tmp_path: Path
    ) -> None:
        class Killed(BaseException):
            pass

        done: list[int] = []

        def kill(at: int) -> Any:
            def told(count: int, known: int, note: str = "") -> None:
                done.append(count)
                if count == at:
                    raise Killed

            return told

        folder = tmp_path / "run"
        for at in (12, 19):  # within the first adapter that is kept, and within the second
            with pytest.raises(Killed):
                tp.heal(lm, "lexicon", out=folder, progress=kill(at), **SMALL)
        (folder / "adapters" / "r=6").mkdir(parents=True)  # as a kill while it is written leaves it
        again = tp.heal(lm, "lexicon", out=folder, **SMALL)
        pd.testing.assert_frame_equal(again.rows, healed.rows)
        for cut in CUTS:
            one, other = (result.adapters[cut] / "adapter_model.safetensors" for result in (again, healed))
            assert one.read_bytes() == other.read_bytes()
            assert sorted(path.name for path in again.adapters[cut].iterdir()) == sorted(
                path.name for path in healed.adapters[cut].iterdir()
            )

    def test_a_cell_is_known_by_its_key(self, lm: LanguageModel) -> None:
        work = run.start(Asked(lm, tp.task("lexicon")), HealConfig.of(**SMALL | {"seeds": 2}))
        (group,) = work.groups(pd.DataFrame)
        assert len({part.key for part in group}) == len(group) == 2 + 1 + 2 * (1 + len(CUTS))
        assert [work.cell(part.key) for part in group] == list(group)
        with pytest.raises(SettingError, match="no cell"):
            work.cell("r=3")

    @pytest.mark.parametrize(("which", "layers"), [("all", range(N)), ("below", range(4)), ("above", range(4, N))])
    def test_only_the_chosen_layers_are_adapted(
        self, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, which: str, layers: range
    ) -> None:
        chosen: list[Any] = []

        def noting(model: Any, layers: Any, settings: Any) -> Any:
            chosen.append((tuple(layers), settings))
            raise ModelError("enough")

        monkeypatch.setattr(run, "adapted", noting)
        config = HealConfig.of(**SMALL | {"training": 4, "layers": which, "rank": 3, "alpha": 5.0, "after": [4]})
        work = run.start(Asked(lm, tp.task("lexicon")), config)
        (group,) = work.groups(pd.DataFrame)
        for part in group:
            if part.trains:
                with pytest.raises(ModelError, match="enough"):
                    work.rows(part, lambda note: None)
        settings = run.AdapterSettings(rank=3, alpha=5.0, dropout=0.0, seed=0)
        assert chosen == [(tuple(range(N)), settings), (tuple(layers), settings)]  # by heart, and under the cut

    def test_a_hidden_query_has_no_control_without_it_and_no_adapter_is_kept_where_none_is_wanted(
        self, lm: LanguageModel, tmp_path: Path
    ) -> None:
        small = SMALL | {"after": [4], "items": 3, "training": 8, "steps": 1}
        found = tp.heal(lm, "lexicon", hide="query", out=tmp_path / "run", save_adapters=False, **small)
        assert set(found.rows["condition"]) == {UNHEALED, HEALED, UNCUT}
        assert found.view.zero_shot is found.view.by_heart is None
        assert found.adapters == {}
        assert not (tmp_path / "run" / "adapters").exists()

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"after": [N]}, "nothing is cut"),
            ({"after": [0, 3], "layers": "below"}, "cut 0"),
            ({"after": "some"}, "after is 'some'"),
            ({"layers": "middle"}, "all, below, above"),
            ({"lr": float("nan")}, "lr is nan"),
            ({"lr": 2}, "above 0, at most 1"),
            ({"alpha": float("inf")}, "finite"),
            ({"keep": 0}, "keep is 0"),
            ({"hide": "instruction,examples"}, "instruction"),
            ({"speed": 3}, "no setting 'speed'"),
        ],
    )
    def test_settings_that_do_not_fit_are_refused(self, lm: LanguageModel, wrong: dict[str, Any], says: str) -> None:
        with pytest.raises(SettingError, match=says):
            tp.heal(lm, "lexicon", **SMALL | wrong)

    @pytest.mark.parametrize(
        ("layers", "named", "expected"),
        [
            (12, None, (0, 2, 4, 6, 8, 10)),
            (32, None, (0, 5, 11, 16, 21, 27)),
            (3, None, (0, 1, 2)),
            (3, "all", (0, 1, 2)),
        ],
    )
    def test_cuts_that_are_not_named_are_spread_from_0_to_below_n(
        self, layers: int, named: Any, expected: tuple[int, ...]
    ) -> None:
        assert run._fitting(HealConfig(after=named), layers) == expected
        below = run._fitting(HealConfig(after=named, layers="below"), layers)
        assert below == tuple(sorted({max(1, cut) for cut in expected}))

    def test_a_model_with_an_adapter_is_refused(self, healed: HealResult) -> None:
        with pytest.raises(ModelError, match="adapters of peft already"):
            tp.heal(tp.load("lexicon", adapter=healed.adapters[6]), "lexicon", **SMALL)


class TestReport:
    def test_it_shows_what_the_rows_say(self, healed: HealResult) -> None:
        rows, view = healed.rows, healed.view
        means = rows.groupby(["condition", "cut"])["score"].mean()
        assert [point.mean for point in view.unhealed.points] == pytest.approx(list(means[UNHEALED]))
        # At r = N nothing is cut, so that there is nothing to heal.
        assert [point.mean for point in view.healed.points] == pytest.approx([*means[HEALED], means[UNHEALED, N]])
        assert view.by_heart is not None
        assert view.by_heart.mean == pytest.approx(means[BY_HEART, N])
        told = recognition_point(range(N + 1), _by_cut(rows), _by_cut(rows, ZERO_SHOT)[0]).layer
        assert view.recognition.layer == told
        table = healed.curves
        assert list(table[table["condition"] == "healed"]["cut"]) == [*CUTS, N]
        text = terminal.plain_text(report_of(view).blocks)
        for cut in CUTS:
            before, after = view.divergence[cut]
            assert f"{before:.2g}" in text
            assert f"{after:.2g}" in text
        again = view_of_folder(str(healed.folder), "heal")
        assert terminal.plain_text(report_of(again).blocks) == text
        (figure,) = figure_blocks(view)
        assert [curve.ring for curve in figure.rows[0].panels[0]][:2] == [
            float(view.unhealed.lowest.cut),
            float(view.healed.lowest.cut),
        ]

    def test_the_page_tells_the_settings(self, healed: HealResult, tmp_path: Path) -> None:
        page = healed.report(tmp_path / "page.html").read_text()
        for words in ("taskpoint heal --task lexicon --after 1,6", "rank 8, alpha 16", "6 steps of 8 prompts"):
            assert words in page
        assert healed.plot(tmp_path / "figure.svg").read_text().count("<svg") == 1
        assert len(page_of(healed.view).blocks) > len(report_of(healed.view).blocks)

    def test_the_sentence_says_what_was_won_and_where_nothing_was(self, healed: HealResult) -> None:
        view = healed.view
        lowest = view.unhealed.lowest
        won = dataclasses.replace(
            view,
            recognition=dataclasses.replace(view.recognition, layer=9, low=9, high=9, reason=None),
            unhealed=dataclasses.replace(
                view.unhealed, lowest=dataclasses.replace(lowest, cut=7, low=6, high=8), work=0.72
            ),
            healed=dataclasses.replace(view.healed, lowest=dataclasses.replace(lowest, cut=4, low=4, high=5), work=0.4),
        )
        assert conclusion(won) == (
            "Without healing the cut can go down to r = 7 (6-8) of 12 at 98 % of the score; healed to r = 4 (4-5): "
            "40 % of the uncut prompt's work is left instead of 72 %."
        )
        unknown = dataclasses.replace(won, healed=dataclasses.replace(won.healed, work=None))
        assert conclusion(unknown).endswith("healed to r = 4 (4-5).")
        assert "under none of the lower cuts" in conclusion(dataclasses.replace(won, healed=won.unhealed))
        lost = dataclasses.replace(won.recognition, layer=None, low=None, high=None, reason="all is lost")
        assert (
            conclusion(dataclasses.replace(won, recognition=lost))
            == "lexicon has nothing to lose under a cut: all is lost."
        )
        text = terminal.plain_text(blocks(dataclasses.replace(won, subtasks=1)))
        assert "by heart" in text.replace("\n", " ")

    def test_the_work_that_is_left_is_what_the_cut_does_not_save(self, healed: HealResult, lm: LanguageModel) -> None:
        rows = healed.rows[healed.rows["condition"] == UNHEALED]
        tokens, hidden = round(rows["tokens"].mean()), round(rows["hidden"].mean())
        shape = ModelShape.from_config(lm.model.config)
        for found in (healed.view.unhealed, healed.view.healed):
            assert found.work == pytest.approx(1 - saving(shape, tokens, hidden, found.lowest.cut, 3).work)

    def test_a_run_without_a_whole_curve_has_no_report_yet(self, healed: HealResult, tmp_path: Path) -> None:
        shutil.copytree(str(healed.folder), tmp_path / "run")
        (part,) = (path for path in (tmp_path / "run" / "rows").iterdir() if "r=6" in path.name)
        part.unlink()
        with pytest.raises(tp.RunFolderError, match="continue it"):
            view_of_folder(tmp_path / "run", "heal")


def _by_cut(rows: pd.DataFrame, condition: str = UNHEALED) -> np.ndarray:
    found = rows[rows["condition"] == condition].sort_values(["cut", "item"])
    cuts = found["cut"].nunique()
    return found["score"].to_numpy().reshape(cuts, 1, -1)
