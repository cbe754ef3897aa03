"""Heads: what a run trains, measures and writes, and what its report says of it."""

from __future__ import annotations

import copy
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers as hf

import taskpoint as tp
from taskpoint.engine.calls.projections import output_projections
from taskpoint.errors import DataError, ModelError, PlanError, PromptError, RunFolderError, SettingError, TaskpointError
from taskpoint.experiments import runner
from taskpoint.experiments.heads import run as heads_run
from taskpoint.experiments.heads.blocks import sentence
from taskpoint.experiments.heads.config import HeadsConfig
from taskpoint.experiments.heads.result import HeadsResult
from taskpoint.experiments.heads.rows import GATES, LAYOUT, MASK, RANDOM, UNTOUCHED
from taskpoint.experiments.heads.run import Heads
from taskpoint.experiments.heads.view import layers_of, view_of
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.runs import read_run
from taskpoint.models.loading import LanguageModel
from taskpoint.results.folder import RunFolder
from taskpoint.training.gates import TrainedGates

SMALL: dict[str, Any] = {
    "train_shots": (0, 2),
    "shots": (0, 2),
    "seeds": 2,
    "items": 5,
    "train_items": 6,
    "epochs": 3,
    "random": 2,
    "batch_size": 4,
    "max_new_tokens": 3,
}
# Two layers of four heads, by seed: under the first seed three heads close, under the second none.
VALUES = np.array([[[1, 1, 0, 0.4], [1, 0.2, 1, 0.7]], [[1, 1, 1, 1], [0.9, 1, 1, 1]]])


@pytest.fixture(scope="module")
def tiny(lm: LanguageModel) -> LanguageModel:
    """A model of two layers with random weights, which reads the tokens of the bundled one."""
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=len(lm.tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return LanguageModel(hf.LlamaForCausalLM(config).eval(), lm.tokenizer, "tiny")


@pytest.fixture(scope="module")
def done(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> HeadsResult:
    """A run whose trainings end with known gates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            heads_run,
            "train_gates",
            lambda model, projections, training, held_out, settings, step: TrainedGates(
                VALUES[settings.seed].astype(np.float32), 2 + settings.seed, 0.5
            ),
        )
        return tp.heads(tiny, "lexicon:plural", **SMALL, out=tmp_path_factory.mktemp("runs") / "heads")


def test_every_condition_is_asked_every_item(done: HeadsResult) -> None:
    rows = done.rows
    counts = rows.groupby(["condition", "seed", "open_heads"]).size().to_dict()
    asked = 5 * 2  # items, numbers of shots
    assert counts == {
        (UNTOUCHED, 0, 8): asked,
        (UNTOUCHED, 1, 8): asked,
        (GATES, 0, 7): 2 * asked,
        (GATES, 1, 8): 2 * asked,
        (MASK, 0, 5): 2 * asked,
        (MASK, 1, 8): 2 * asked,
        (RANDOM, 0, 5): 2 * 2 * asked,  # under the other seed no head is closed, so that none could be chosen
    }
    assert rows[rows["seed"] == 1]["epochs"].dropna().unique().tolist() == [3]


def test_answers_are_those_of_the_model_with_the_gates_on_its_heads(tiny: LanguageModel, done: HeadsResult) -> None:
    task = tp.task("lexicon:plural")
    with tp.gated_heads(tiny.model, done.mask(0.01, 2, 0)):
        prompt = tp.compile_prompt(tiny, task, shots=2, seed=0, after=2, instruction=True)
        queries = [item.input for item in task.items(5)]
        examples = {example.input for example in task.context(2, 0).examples}
        expected = dict(zip(queries, prompt.generate(queries, max_new_tokens=3), strict=True))
    rows = done.rows
    found = rows[(rows["condition"] == MASK) & (rows["train_shots"] == 2) & (rows["seed"] == 0) & (rows["shots"] == 2)]
    others = found[~found["query"].isin(examples)]
    assert len(others) >= 3
    for query, text in zip(others["query"], others["text"], strict=True):
        assert expected[query] == text
    untouched = rows[(rows["condition"] == UNTOUCHED) & (rows["seed"] == 0) & (rows["shots"] == 2)]
    assert list(untouched["text"]) != list(found["text"])


def test_gates_and_masks_lie_in_the_folder_and_know_their_model(tiny: LanguageModel, done: HeadsResult) -> None:
    assert done.folder is not None
    for shots, seed in itertools.product((0, 2), (0, 1)):
        name = f"penalty-0.01-shots-{shots}-seed-{seed}.safetensors"
        gates, mask = tp.load_gates(done.folder / "gates" / name), tp.load_gates(done.folder / "masks" / name)
        np.testing.assert_allclose(gates.values, VALUES[seed], rtol=1e-6)
        assert np.array_equal(mask.values, VALUES[seed] > 0.5)
        assert (mask.model, mask.family) == ("tiny", "llama")
        assert done.gates(train_shots=shots, seed=seed).digest == gates.digest
        assert done.mask(train_shots=shots, seed=seed).digest == mask.digest
    with pytest.raises(SettingError, match=r"expected one of \(0.01, 0\), \(0.01, 2\)"):
        done.mask(penalty=0.1)
    with pytest.raises(SettingError, match="seed is 2"):
        done.mask(seed=2)


def test_the_report_says_how_many_heads_go_and_what_is_kept(done: HeadsResult) -> None:
    view = done.view
    assert view.trained[0].removed == (3, 0)
    assert "2 of 8 heads can go (19 %, seeds 0 %-38 %)" in sentence(view, view.trained[0])
    table = done.frame()
    assert table["removed"].tolist() == [1.5] * 4
    assert list(zip(table["train_shots"], table["shots"], strict=True)) == [(0, 0), (0, 2), (2, 0), (2, 2)]


def test_the_score_kept_is_the_mask_over_the_untouched_model_and_random_heads_are_a_mean(
    done: HeadsResult, tmp_path: Path
) -> None:
    folder = read_run(done.folder or "", "heads")
    rows = done.rows.copy()
    # Scores that tell what they are of: 8 untouched, 6 with the mask, with random heads 2 and 4 under the first seed.
    rows["score"] = rows["condition"].map({UNTOUCHED: 8.0, GATES: 7.0, MASK: 6.0, RANDOM: 2.0}) + 2.0 * rows["draw"]

    rows = rows.astype({"train_shots": object, "epochs": object}).replace({pd.NA: None, np.nan: None})
    with RunFolder.open(tmp_path, folder.manifest.config, "heads", LAYOUT) as changed:
        shutil.copytree(folder.path / "gates", tmp_path / "gates")
        changed.write("all", rows.to_dict("records"))
        scores = view_of(changed).trained[1].own_scores
    assert scores.shots == 2
    assert (scores.untouched.mean, scores.gates.mean, scores.mask.mean) == (8, 7, 6)
    assert scores.kept is not None
    assert (scores.kept.mean, scores.kept.low, scores.kept.high) == (0.75, 0.75, 0.75)
    assert scores.random is not None
    assert scores.random.mean == pytest.approx((3 + 8) / 2)  # no head was closed under the second seed


def test_layers_say_which_share_of_their_heads_stays(done: HeadsResult) -> None:
    found = layers_of(done.view)
    assert found.values.tolist() == [(0.5 + 1) / 2, (0.75 + 1) / 2]
    assert set(map(tuple, found.replicates.tolist())) == {(0.5, 0.75), (0.75, 0.875), (1.0, 1.0)}
    assert np.isnan(found.pointed)


def test_a_report_is_made_again_and_refuses_gates_that_are_not_its_own(done: HeadsResult, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(done.folder or "", run)
    assert view_of(read_run(run)).trained[0].removed == (3, 0)
    path = run / "gates" / "penalty-0.01-shots-0-seed-0.safetensors"
    other = run / "gates" / "penalty-0.01-shots-0-seed-1.safetensors"
    shutil.copy(other, path)
    with pytest.raises(RunFolderError, match="not those that the rows were measured with"):
        view_of(read_run(run))
    path.write_bytes(other.read_bytes()[:-4])
    with pytest.raises(RunFolderError, match="damaged or no file of gates"):
        view_of(read_run(run))
    path.unlink()
    with pytest.raises(RunFolderError, match=r"no file .* restore it"):
        view_of(read_run(run))


def test_a_run_that_was_stopped_ends_with_the_same_rows_and_gates(tiny: LanguageModel, tmp_path: Path) -> None:
    config = HeadsConfig.of(**SMALL | {"train_shots": 1, "shots": 1, "lr": 3.0, "penalty": 0.5})
    task = tp.task("lexicon:plural")

    def run(out: Path, stop_at: str = "") -> Any:
        work = Heads(tiny, task, config)

        def told(done: int, known: int, note: str = "") -> None:
            if stop_at and done == 8:
                raise KeyboardInterrupt

        return runner.run(EXPERIMENTS["heads"], work, out, told)

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", "in the middle")
    continued = run(tmp_path / "stopped")
    assert whole.rows.equals(continued.rows)
    for one, other in zip(whole.view.trained, continued.view.trained, strict=True):
        assert np.array_equal(one.gates, other.gates)
    assert any(whole.view.trained[0].removed)  # else equal gates would say nothing


def test_a_cell_is_found_by_its_key_and_counts_its_steps(tiny: LanguageModel) -> None:
    work = Heads(tiny, tp.task("lexicon:plural"), HeadsConfig.of(**SMALL))
    (cells,) = work.groups(lambda: None)  # type: ignore[arg-type,return-value]
    assert len({cell.key for cell in cells}) == len(cells) == 2 + 4
    assert [work.cell(cell.key) for cell in cells] == cells
    with pytest.raises(SettingError, match="is no cell of this run"):
        work.cell("penalty=1 train_shots=0 seed=0")


def test_training_and_test_have_no_query_in_common_and_the_held_out_part_has_every_sub_task(lm: LanguageModel) -> None:
    work = Heads(lm, tp.task("lexicon"), HeadsConfig.of(items=60, train_items=200))
    prompts = work._prompts
    asked, taught = ({(item.task, item.input.lower()) for item in some} for some in (prompts.items, prompts.training))
    assert not asked & taught
    training, held_out = prompts.taught(1, 0)
    assert (len(training), len(held_out)) == (180, 20)
    assert {item.task for item in prompts.training[-20:]} == {item.task for item in prompts.training}
    assert all(prompt.text.endswith("\n") for prompt in training)  # the end of an answer is taught too


def words(tmp_path: Path, count: int) -> str:
    path = tmp_path / "words.json"
    path.write_text(str([{"input": f"word {n}", "output": f"{n}"} for n in range(count)]).replace("'", '"'))
    return f"words:{path}"


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"penalty": -0.1}, SettingError, "penalty is -0.1; expected a number from 0 to"),
        ({"penalty": []}, SettingError, "penalty"),
        ({"penalty": (0.1, 0.1)}, SettingError, "different numbers"),
        ({"penalty": float("nan")}, SettingError, "penalty is nan"),
        ({"lr": 0.0}, SettingError, "lr is 0.0; expected a number above 0"),
        ({"temperature": float("inf")}, SettingError, "temperature is inf"),
        ({"threshold": 1.5}, SettingError, "threshold is 1.5; expected a number from 0 to 1"),
        ({"train_items": 1}, SettingError, "train_items is 1"),
        ({"shots": 400}, PromptError, "400 shots asked"),
        ({"train_shots": 400}, PromptError, "400 shots asked"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    tiny: LanguageModel, tmp_path: Path, settings: dict[str, Any], kind: type[TaskpointError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        tp.heads(tiny, "lexicon:plural", **SMALL | settings, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_task_without_anything_left_to_train_on_is_refused(tiny: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no item with an answer to train on"):
        tp.heads(tiny, words(tmp_path, 4), **SMALL, instruction=False)
    with pytest.raises(DataError, match="one item to train on"):
        tp.heads(tiny, words(tmp_path, 6), **SMALL, instruction=False)
    with pytest.raises(PromptError, match="has no instruction"):
        tp.heads(tiny, words(tmp_path, 9), **SMALL)


def test_a_model_whose_heads_are_not_found_is_refused(tiny: LanguageModel, lm: LanguageModel) -> None:
    broken = hf.LlamaForCausalLM(copy.deepcopy(tiny.model.config))
    broken.config.num_attention_heads = 5
    with pytest.raises(ModelError, match="not 5 heads of one size"):
        tp.heads(LanguageModel(broken, lm.tokenizer, "broken"), "lexicon", **SMALL)
    with tp.gated_heads(tiny.model, np.ones((2, 4))), pytest.raises(PlanError, match="gates on its heads already"):
        tp.heads(tiny, "lexicon", **SMALL)


def test_heads_of_the_bundled_model_that_give_nothing_are_closed(lm: LanguageModel) -> None:
    blank = [(2, 1), (7, 3)]
    model = hf.LlamaForCausalLM(lm.model.config).eval()
    model.load_state_dict(lm.model.state_dict())
    projections = output_projections(model)
    for layer, head in blank:
        projections[layer].module.weight.data[:, 32 * head : 32 * head + 32] = 0
    settings = {"train_shots": 0, "shots": 0, "seeds": 1, "items": 20, "train_items": 40, "random": 1}
    found = tp.heads(
        LanguageModel(model, lm.tokenizer, "lexicon with blank heads"),
        "lexicon",
        **settings,
        penalty=0.0005,
        epochs=12,
        lr=0.6,
        batch_size=36,
    )
    gates = found.gates().values
    assert [gates[place] for place in blank] == [0, 0]
    assert np.count_nonzero(gates == 0) < 12  # of 48
    assert found.frame()["mask"][0] >= 0.9 * found.frame()["untouched"][0]


@pytest.mark.parametrize("wrong", ["0.01", b"1", None, True, [0.1, "x"], np.array(["a"]), 1e9, -1])
def test_a_penalty_that_is_no_number_is_refused_in_one_line(wrong: Any) -> None:
    with pytest.raises(SettingError, match=r"^penalty is [^\n]*expected a number from 0 to 1e\+06$"):
        HeadsConfig.of(penalty=wrong)


def test_a_penalty_may_be_a_number_of_any_kind() -> None:
    kinds = (0, 0.0, np.float32(0), np.array(0.0), torch.tensor(0.0), [0], np.zeros(1))
    assert {HeadsConfig.of(penalty=kind) for kind in kinds} == {HeadsConfig(penalty=(0.0,))}
